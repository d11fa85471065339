"""The whole grid of ranks at the five shapes: our solver against its peers, with the quality gate in the same run."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import mean

from nmfdiag.bench.bench_network import Say
from nmfdiag.bench.cases import Case, Options, cases_of, load_subject, row_of
from nmfdiag.bench.peers import LOOPED, OURS, SOLVERS, Factors, warm_up
from nmfdiag.bench.product_rate import bandwidth, share_of_gemm
from nmfdiag.bench.quality_gate import direct_error, judge
from nmfdiag.bench.table import Row, Section
from nmfdiag.jobs.timer import interleaved

MATRIX = 10_000
"""Factor of the matrix in the keys ``matrix * MATRIX + rank`` of errors, so that the gate compares every rank of every matrix."""
QUICK_SOLVERS = ("hals", "hals_looped", "sklearn_cd", "sklearn_mu")


def peers_section(options: Options, say: Say) -> Section:
    """Time every solver at every shape, the rate of plain products beside each, and the memory's bandwidth."""
    subject = load_subject(options, say)
    solvers = QUICK_SOLVERS if options.quick else tuple(SOLVERS)
    warm_up(solvers, options.device)
    bandwidth_section = bandwidth(options.device, options.repeats)
    rows, facts = bandwidth_section.rows, bandwidth_section.facts
    for case in cases_of(subject, options.quick):
        say(f"{case.name}: {len(case.ranks)} ranks, {len(solvers)} solvers, {options.repeats} times each")
        rows += compare_solvers(case, solvers, options.device, options.repeats, note=subject.title)
        share = share_of_gemm(case, options.device, options.repeats)
        rows += share.rows
        facts |= share.facts
    return Section(rows, facts)


def compare_solvers(
    case: Case,
    solvers: Sequence[str],
    device: str,
    repeats: int,
    *,
    section: str = "peers",
    note: str = "",
    budget: float = float("inf"),
) -> list[Row]:
    """Time solvers on one case, turn by turn, and compare the errors of their first run with ours.

    Args:
        case: Matrices and ranks.
        solvers: Names in :data:`SOLVERS`, ours among them.
        device: Device to run on.
        repeats: Rounds.
        section: Section of the rows.
        note: Note after each solver's settings.
        budget: Wall seconds that a solver may take and still be run again.

    Returns:
        A row per solver; without times and with the reason for one that can't run here.
    """
    missing_reasons = {name: SOLVERS[name].missing(device) for name in solvers}
    errors: dict[str, dict[int, float]] = {}

    def run(name: str) -> list[Factors]:
        return SOLVERS[name].run(case.A, case.ranks)

    def keep_errors(name: str, factors_of_matrices: list[Factors]) -> None:
        errors[name] = {
            m * MATRIX + k: direct_error(A, *factors[k])
            for m, (A, factors) in enumerate(zip(case.A, factors_of_matrices, strict=True))
            for k in case.ranks
        }

    tasks = {name: partial(run, name) for name in solvers if not missing_reasons[name]}
    timings = interleaved(tasks, repeats, device=device, inspect=keep_errors, budget=budget)
    rows = []
    for name in solvers:
        settings = "; ".join(filter(None, (missing_reasons[name] or SOLVERS[name].settings, note)))
        row = replace(row_of(section, device, case, name), note=settings)
        if not missing_reasons[name]:
            row = replace(
                row,
                mean_relative_error=mean(errors[name].values()),
                relative_errors=_by_rank(errors[name], case.ranks),
                **timings[name].columns(),
            )
        if not missing_reasons[name] and name not in (OURS, LOOPED):
            gate = judge(errors[OURS], errors[name])
            worst_text = f"ours is worst at k = {gate.worst_rank % MATRIX}"
            row = replace(
                row,
                mean_ratio=gate.mean_ratio,
                worst_ratio=gate.worst_ratio,
                gate=gate.word,
                note=f"{worst_text}; {settings}",
            )
        rows.append(row)
    return rows


def _by_rank(errors: dict[int, float], ranks: Sequence[int]) -> str:
    """Return the mean error over the matrices at each rank, as in the table."""
    by_rank = (mean(error for key, error in errors.items() if key % MATRIX == k) for k in ranks)
    return " ".join(f"{error:.5f}" for error in by_rank)
