"""The growth of the engine's time with rows, channels and ranks, and the gain of a second thread."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from nmfdiag.bench.bench_network import Say
from nmfdiag.bench.cases import Case, Options, cases_of, grid, load_subject, row_of
from nmfdiag.bench.peers import OURS, warm_up
from nmfdiag.bench.table import Row, Section
from nmfdiag.factorize import nmf
from nmfdiag.jobs.timer import interleaved, threads
from nmfdiag.measures.stats.regression import exponent

PARTS = (1 / 8, 1 / 4, 1 / 2, 1)
SIZES: dict[str, Callable[[Row], int]] = {
    "rows": lambda row: row.rows,
    "channels": lambda row: row.channels,
    "rank": lambda row: int(row.ranks),
    "number of ranks": lambda row: row.n_ranks,
}
GROWTHS = tuple(SIZES)
THREADS = (1, 2)


def scaling_section(options: Options, say: Say) -> Section:
    """Time the engine on parts of the real matrices; the note of each row names what grows.

    Rows grow on the tallest matrix. Channels, a single rank and the number of ranks grow on the widest matrix whose full rank
    is its number of channels.
    """
    warm_up((OURS,), options.device)
    layer_cases = cases_of(load_subject(options, say), options.quick)
    tall = max(layer_cases, key=lambda case: case.shape[0])
    wide = max(layer_cases, key=lambda case: (case.shape[0] > case.shape[1], case.shape[1], case.shape[0]))
    rows = []
    for growth in GROWTHS:
        say(f"scaling with {growth}")
        rows += _time_parts(_parts_of(growth, tall if growth == "rows" else wide, options.quick), growth, options)
    say("scaling with threads")
    facts = {f"exponent of {growth}": value for growth, value in exponents(rows).items()}
    for case in {case.name: case for case in (tall, wide)}.values():
        single_thread, *more_threads = _thread_rows(case, options)
        rows += [single_thread, *more_threads]
        facts |= {
            f"{row.threads} threads: {case.name}": single_thread.wall_seconds / row.wall_seconds for row in more_threads
        }
    return Section(rows, facts)


def _parts_of(growth: str, case: Case, quick: bool) -> list[Case]:
    """Return parts of a case that differ in one size only."""
    A, ranks = case.A[0], case.ranks
    n_rows, n_channels = A.shape
    random = torch.Generator().manual_seed(0)
    if growth == "rows":
        order = torch.randperm(n_rows, generator=random)
        parts = [A[order[: int(n_rows * part)].sort().values.to(A.device)] for part in PARTS]
        return [Case(case.layer, part[None], ranks) for part in parts]
    if growth == "channels":
        order = torch.randperm(n_channels, generator=random)
        parts = [A[:, order[: int(n_channels * part)].sort().values.to(A.device)].contiguous() for part in PARTS]
        common = grid(min(min(part.shape) for part in parts), quick)
        return [Case(case.layer, part[None], common) for part in parts]
    if growth == "rank":
        return [Case(case.layer, A[None], (k,)) for k in ranks if k & (k - 1) == 0 and k > 1]
    return [Case(case.layer, A[None], ranks[::-step][::-1]) for step in (4, 3, 2, 1)]


def _time_parts(parts: list[Case], growth: str, options: Options) -> list[Row]:
    tasks = {str(i): partial(nmf, part.A[0], part.ranks) for i, part in enumerate(parts)}
    timings = interleaved(tasks, options.repeats, device=options.device, inspect=lambda *_: None)
    rows = [row_of("scaling", options.device, part, OURS) for part in parts]
    return [
        replace(row, case=f"{_size_text(growth, row)}: {row.case}", note=f"grows: {growth}", **timing.columns())
        for row, timing in zip(rows, timings.values(), strict=True)
    ]


def _size_text(growth: str, row: Row) -> str:
    return (
        f"rank {row.ranks}" if growth == "rank" else f"{row.n_ranks} ranks" if growth == "number of ranks" else growth
    )


def exponents(rows: Sequence[Row]) -> dict[str, float]:
    """Return the exponent of each growth in the rows of this section."""
    by_growth = {}
    for growth in GROWTHS:
        grown = [row for row in rows if row.section == "scaling" and row.note == f"grows: {growth}"]
        sizes = [SIZES[growth](row) for row in grown]
        if len(set(sizes)) > 1:
            by_growth[growth] = exponent(sizes, [row.seconds for row in grown])[0]
    return by_growth


def _thread_rows(case: Case, options: Options) -> list[Row]:
    rows = []
    for n in THREADS:
        with threads(n):
            nmf(case.A[0][:64], case.ranks[:2])
            task = {OURS: partial(nmf, case.A[0], case.ranks)}
            timing = interleaved(task, options.repeats, device=options.device)[OURS]
        row = row_of("scaling", options.device, case, OURS)
        rows.append(replace(row, case=f"threads: {row.case}", threads=n, note="grows: threads", **timing.columns()))
    return rows
