"""Sentences of the page *Runtime*, with the figures that carry them."""

from collections.abc import Mapping

from nmfdiag.jobs.requests import WHOLE_GRID, RuntimeRequest, RuntimeResult
from nmfdiag.measures.stats.regression import exponent
from nmfdiag.text import seconds_text
from nmfdiag.views.help_text import help_text

SOLVER_TITLES = {"hals": "HALS", "mu": "MU"}

BUSY = 1.25
RANKS_HELP = "Those to be timed."


Timings = Mapping[RuntimeRequest, RuntimeResult]


def how_to_read(kind: str) -> str:
    """Return the text on a plot: one of :data:`nmfdiag.jobs.requests.KINDS`, or ``"benchmark"``."""
    return help_text(f"runtime-{kind}", shared=help_text("runtime-shared"))


def measured_points(results: Timings) -> Timings:
    """Return the points that were timed; the matrix is too small for others."""
    return {request: timed for request, timed in results.items() if timed.wall_seconds}


def ranks_to_choose(channels: int) -> tuple[list[int], int]:
    """Return the powers of two below the number of channels, and the default one."""
    powers = [2**i for i in range(9) if 2**i < channels] or [1]
    return powers, powers[max(0, len(powers) - 2)]


def answer_of(results: Timings, kind: str, layer: str) -> str:
    """Return the answer of a plot of one of :data:`nmfdiag.jobs.requests.KINDS`, about the first device that was measured."""
    points = measured_points(results)
    if not points:
        ranks = sorted({request.rank for request in results})
        full = max(min(timed.rows, timed.channels) for timed in results.values())
        return f"{layer} has too small a matrix on this batch for k = {', '.join(map(str, ranks))}: its full rank is {full}."
    devices = list(dict.fromkeys(request.device for request in points))
    device_points = {request: timed for request, timed in points.items() if request.device == devices[0]}
    rows, channels = (max(getattr(timed, side) for timed in device_points.values()) for side in ("rows", "channels"))
    start = f"At {layer} ({rows:,} × {channels}{f', {devices[0]}' if len(devices) > 1 else ''})"
    if kind == "convergence":
        return f"{start} {_convergence_sentence(device_points)}."
    return f"{start} {_rank_sentence(device_points) if kind == 'rank' else _size_sentence(device_points, kind)}."


def busy_text(results: Timings) -> str:
    """Return a warning if other processes took a good part of the processor's time; else empty."""
    timed = [t for r, t in measured_points(results).items() if r.device == "cpu"]
    wall, cpu = (sum(sum(getattr(t, clock)) for t in timed) for clock in ("wall_seconds", "cpu_seconds"))
    if not timed or wall < BUSY * cpu:
        return ""
    return f"Machine busy: wall time was {wall / cpu:.1f} times the CPU time. Measure again when nothing else runs."


def times_text(ratio: float) -> str:
    """Return a ratio of two times with two digits."""
    return f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.1f}"


def sooner(fast: RuntimeResult, slow: RuntimeResult) -> tuple[float, float] | None:
    """Return the seconds until ``fast`` reaches the final error of ``slow``, and those of ``slow``; None if it never does."""
    target = slow.trace[-1][3]
    reached = next((t for t, _, _, error in fast.trace if error <= target), None)
    return None if reached is None else (reached, slow.trace[-1][0])


def _rank_sentence(points: Timings) -> str:
    alone: dict[str, dict[int, float]] = {}
    for request, timed in points.items():
        if request.rank != WHOLE_GRID:
            alone.setdefault(request.solver, {})[request.rank] = timed.seconds
    stacked = next((t for r, t in points.items() if r.rank == WHOLE_GRID), None)
    total = {solver: sum(seconds.values()) for solver, seconds in alone.items()}
    if stacked is None or any(set(seconds) != set(stacked.ranks) for seconds in alone.values()):
        return "; ".join(_range_sentence(solver, seconds) for solver, seconds in alone.items())
    sentence = f"all {len(stacked.ranks)} ranks take {seconds_text(stacked.seconds)} with HALS in one call"
    if "mu" in total:
        ratio = times_text(total["mu"] / stacked.seconds)
        sentence += (
            f", {ratio} times less than with MU rank by rank ({seconds_text(total['mu'])}{_unfinished_text(points)})"
        )
    elif "hals" in total:
        ratio = times_text(total["hals"] / stacked.seconds)
        sentence += f", {ratio} times less than rank by rank ({seconds_text(total['hals'])})"
    return sentence


def _range_sentence(solver: str, seconds: Mapping[int, float]) -> str:
    low, high = min(seconds), max(seconds)
    start = f"{SOLVER_TITLES[solver]} takes {seconds_text(seconds[low])} at k = {low}"
    if low == high:
        return start
    return f"{start} and {seconds_text(seconds[high])} at k = {high}, {seconds_text(sum(seconds.values()))} for {len(seconds)} ranks"


def _unfinished_text(points: Timings) -> str:
    missing = sum(not all(t.converged) for r, t in points.items() if r.solver == "mu")
    return f"; {missing} of them not converged" if missing else ""


def _size_sentence(points: Timings, kind: str) -> str:
    parts = []
    k = max(request.rank for request in points)
    for solver in dict.fromkeys(request.solver for request in points):
        line = {getattr(t, kind): t.seconds for r, t in points.items() if (r.solver, r.rank) == (solver, k)}
        if not line:
            continue
        part = f"{SOLVER_TITLES[solver]} takes {seconds_text(line[max(line)])} at k = {k}"
        if len(line) > 2:
            slope, error = exponent(list(line), list(line.values()))
            grows = f"growing as {kind} to the power {slope:.2f} ± {error:.2f}"
            part += f", {grows if slope > 2 * error else f'not growing with the {kind} beyond the scatter'}"
        parts.append(part)
    return "; ".join(parts)


def _convergence_sentence(points: Timings) -> str:
    by_rank: dict[int, dict[str, RuntimeResult]] = {}
    for request, timed in points.items():
        by_rank.setdefault(request.rank, {})[request.solver] = timed
    pairs = {k: (solvers["hals"], solvers["mu"]) for k, solvers in by_rank.items() if {"hals", "mu"} <= set(solvers)}
    if not pairs:
        parts = [
            f"{SOLVER_TITLES[s]} stops at an error of {t.trace[-1][3]:.3g} after {seconds_text(t.trace[-1][0])} (k = {k})"
            for k, solvers in by_rank.items()
            for s, t in solvers.items()
        ]
        return "; ".join(parts)
    k = max(pairs)
    hals, mu = pairs[k]
    times = sooner(hals, mu)
    if times is None:
        return (
            f"HALS stops at an error of {hals.trace[-1][3]:.4g} after {seconds_text(hals.trace[-1][0])} and MU lower, at "
            f"{mu.trace[-1][3]:.4g}, after {seconds_text(mu.trace[-1][0])} (k = {k})"
        )
    hals_seconds, mu_seconds = times
    order = "sooner" if hals_seconds <= mu_seconds else "later"
    sentence = (
        f"HALS reaches MU's final error {times_text(max(mu_seconds / hals_seconds, hals_seconds / mu_seconds))} times {order} "
        f"({seconds_text(hals_seconds)} against {seconds_text(mu_seconds)}, k = {k})"
    )
    other_ranks = {j: sooner(*pairs[j]) for j in sorted(pairs) if j != k}
    further = [f"k = {j}: {times_text(t[1] / t[0])} times" for j, t in other_ranks.items() if t]
    return sentence + (f"; {', '.join(further)}" if further else "")
