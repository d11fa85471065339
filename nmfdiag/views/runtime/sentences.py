"""What timings say, in one sentence, with the figures that carry it."""

from collections.abc import Mapping, Sequence

from nmfdiag.jobs.requests import WHOLE_GRID, RuntimeRequest, RuntimeResult
from nmfdiag.measures.stats.regression import exponent
from nmfdiag.text import seconds_text
from nmfdiag.views.help_text import help_text

SOLVER_TITLES = {"hals": "HALS", "mu": "MU"}

BUSY = 1.25
RANKS_HELP = "Those to be timed; the plot over the rank takes the whole grid."


Timings = Mapping[RuntimeRequest, RuntimeResult]


def how_to_read(kind: str) -> str:
    """Return the text on a plot: one of :data:`nmfdiag.jobs.timing_request.KINDS`, or ``"benchmark"``."""
    return help_text(f"runtime-{kind}", shared=help_text("runtime-shared"))


def measured(results: Timings) -> Timings:
    """Without the points that the matrix is too small for."""
    return {request: timed for request, timed in results.items() if timed.wall_seconds}


def ranks_to_choose(channels: int) -> tuple[list[int], int]:
    """Powers of two below the number of channels, and the one to begin with."""
    powers = [2**i for i in range(9) if 2**i < channels] or [1]
    return powers, powers[max(0, len(powers) - 2)]


def answer_of(results: Timings, kind: str, layer: str) -> str:
    """The answer of a plot of one of :data:`nmfdiag.jobs.requests.KINDS`, about the first device that was measured."""
    there = measured(results)
    if not there:
        ranks = sorted({request.rank for request in results})
        full = max(min(timed.rows, timed.channels) for timed in results.values())
        return f"{layer} has too small a matrix on this batch for k = {_listed(ranks)}: its full rank is {full}."
    devices = list(dict.fromkeys(request.device for request in there))
    mine = {request: timed for request, timed in there.items() if request.device == devices[0]}
    rows, channels = (max(getattr(timed, of) for timed in mine.values()) for of in ("rows", "channels"))
    at = f"At {layer} ({rows:,} × {channels}{f', {devices[0]}' if len(devices) > 1 else ''})"
    if kind == "convergence":
        return f"{at} {_convergence(mine)}."
    return f"{at} {_rank(mine) if kind == 'rank' else _size(mine, kind)}."


def busy_words(results: Timings) -> str:
    """A warning where the processor was given to others for a good part of the time; else empty."""
    timed = [t for r, t in measured(results).items() if r.device == "cpu"]
    wall, cpu = (sum(sum(getattr(t, clock)) for t in timed) for clock in ("wall_seconds", "cpu_seconds"))
    if not timed or wall < BUSY * cpu:
        return ""
    return (
        f"The machine was busy: the clock on the wall ran {wall / cpu:.1f} times as long as the processor worked on this. "
        "Measure again when nothing else runs."
    )


def times_words(ratio: float) -> str:
    """A ratio of two times with two digits."""
    return f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.1f}"


def sooner(fast: RuntimeResult, slow: RuntimeResult) -> tuple[float, float] | None:
    """Seconds until ``fast`` has the final error of ``slow``, and those of ``slow``; None if it never has."""
    target = slow.trace[-1][3]
    reached = next((t for t, _, _, error in fast.trace if error <= target), None)
    return None if reached is None else (reached, slow.trace[-1][0])


def _rank(mine: Timings) -> str:
    alone: dict[str, dict[int, float]] = {}
    for request, timed in mine.items():
        if request.rank != WHOLE_GRID:
            alone.setdefault(request.solver, {})[request.rank] = timed.seconds
    stacked = next((t for r, t in mine.items() if r.rank == WHOLE_GRID), None)
    total = {solver: sum(at.values()) for solver, at in alone.items()}
    if stacked is None or any(set(at) != set(stacked.ranks) for at in alone.values()):
        return "; ".join(_from_to(solver, at) for solver, at in alone.items())
    words = f"all {len(stacked.ranks)} ranks take {seconds_text(stacked.seconds)} with HALS in one call"
    if "mu" in total:
        ratio = times_words(total["mu"] / stacked.seconds)
        words += f", {ratio} times less than with MU rank by rank ({seconds_text(total['mu'])}{_unfinished(mine)})"
    elif "hals" in total:
        ratio = times_words(total["hals"] / stacked.seconds)
        words += f", {ratio} times less than rank by rank ({seconds_text(total['hals'])})"
    return words


def _from_to(solver: str, at: Mapping[int, float]) -> str:
    low, high = min(at), max(at)
    words = f"{SOLVER_TITLES[solver]} takes {seconds_text(at[low])} at k = {low}"
    if low == high:
        return words
    return f"{words} and {seconds_text(at[high])} at k = {high}, {seconds_text(sum(at.values()))} for {len(at)} ranks"


def _unfinished(mine: Timings) -> str:
    missing = sum(not all(t.converged) for r, t in mine.items() if r.solver == "mu")
    return f"; {missing} of them not converged" if missing else ""


def _size(mine: Timings, kind: str) -> str:
    parts = []
    k = max(request.rank for request in mine)
    for solver in dict.fromkeys(request.solver for request in mine):
        line = {getattr(t, kind): t.seconds for r, t in mine.items() if (r.solver, r.rank) == (solver, k)}
        if not line:
            continue
        words = f"{SOLVER_TITLES[solver]} takes {seconds_text(line[max(line)])} at k = {k}"
        if len(line) > 2:
            slope, error = exponent(list(line), list(line.values()))
            grows = f"growing as {kind} to the power {slope:.2f} ± {error:.2f}"
            words += f", {grows if slope > 2 * error else f'not growing with the {kind} beyond the scatter'}"
        parts.append(words)
    return "; ".join(parts)


def _convergence(mine: Timings) -> str:
    by_rank: dict[int, dict[str, RuntimeResult]] = {}
    for request, timed in mine.items():
        by_rank.setdefault(request.rank, {})[request.solver] = timed
    pairs = {k: (at["hals"], at["mu"]) for k, at in by_rank.items() if {"hals", "mu"} <= set(at)}
    if not pairs:
        parts = [
            f"{SOLVER_TITLES[s]} stops at an error of {t.trace[-1][3]:.3g} after {seconds_text(t.trace[-1][0])} (k = {k})"
            for k, at in by_rank.items()
            for s, t in at.items()
        ]
        return "; ".join(parts)
    k = max(pairs)
    hals, mu = pairs[k]
    found = sooner(hals, mu)
    if found is None:
        return (
            f"HALS stops at an error of {hals.trace[-1][3]:.4g} after {seconds_text(hals.trace[-1][0])} and MU lower, at "
            f"{mu.trace[-1][3]:.4g}, after {seconds_text(mu.trace[-1][0])} (k = {k})"
        )
    ours, theirs = found
    how = "sooner" if ours <= theirs else "later"
    words = (
        f"HALS reaches MU's final error {times_words(max(theirs / ours, ours / theirs))} times {how} "
        f"({seconds_text(ours)} against {seconds_text(theirs)}, k = {k})"
    )
    others = {j: sooner(*pairs[j]) for j in sorted(pairs) if j != k}
    more = [f"k = {j}: {times_words(t[1] / t[0])} times" for j, t in others.items() if t]
    return words + (f"; {', '.join(more)}" if more else "")


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))
