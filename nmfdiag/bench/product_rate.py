"""The yardstick of every timing: the rates of plain matrix products and of memory on this machine."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median

import torch
from torch import Tensor

from nmfdiag.bench.cases import Case, row_of
from nmfdiag.bench.table import Row, Section
from nmfdiag.factorize.hals_iterations import CHUNK, Stack
from nmfdiag.factorize.starts import nndsvd
from nmfdiag.jobs.timer import interleaved, once

LEAST_SECONDS = 0.2
"""Least duration of a timing of products, in seconds, well above the resolution of the clock."""
COPY_BYTES = 2**28
FEW, MANY = 4, 20
"""Iterations of the two runs whose difference is timed."""
NO_TOLERANCE = 1e-14
"""A tolerance that is never reached."""


def products(A: Tensor, K: int) -> Callable[[], None]:
    """Return a function that computes the two products of an iteration at ranks of sum K: ``H A_c^T`` and ``W^T A_c`` for chunks of rows A_c."""
    random = torch.Generator().manual_seed(0)
    H = torch.rand((K, A.shape[1]), generator=random).to(A)
    W = torch.rand((K, min(CHUNK, len(A))), generator=random).to(A)

    def run() -> None:
        for chunk in A.split(CHUNK):
            torch.mm(H, chunk.T)
            torch.mm(W[:, : len(chunk)], chunk)

    return run


def share_of_gemm(case: Case, device: str, repeats: int) -> Section:
    """Time one iteration of the engine with all ranks active, and its two products alone.

    The iteration's time is the difference of two runs without a stopping rule, over the iterations between them.

    Returns:
        A row of the solver ``"gemm"`` and one of ``"iteration"``, and the quotient of their rates.
    """
    A, ranks = case.A[0], list(case.ranks)
    multiply = products(A, sum(ranks))
    multiply()
    times = max(1, round(LEAST_SECONDS / max(once(multiply, device)[2], 1e-9)))

    def gemm() -> None:
        for _ in range(times):
            multiply()

    run = _iterations(A, ranks)
    tasks: dict[str, Callable[[], None]] = {"gemm": gemm, "few": partial(run, FEW), "many": partial(run, MANY)}
    timings = interleaved(tasks, max(3, repeats), device=device)
    work = 4.0 * A.numel() * sum(ranks)
    seconds = timings["many"].seconds(device) - timings["few"].seconds(device)
    rate = times * work / timings["gemm"].seconds(device)
    reached = (MANY - FEW) * work / max(seconds, 1e-9)
    rows = [
        replace(
            row_of("peers", device, case, "gemm"),
            gflops=rate / 1e9,
            note=f"{times} times the products of one iteration",
            **timings["gemm"].columns(),
        ),
        replace(
            row_of("peers", device, case, "iteration"),
            gflops=reached / 1e9,
            note=f"{MANY} iterations less {FEW}: {reached / rate:.0%} of the rate of gemm",
            **timings["many"].columns(),
        ),
    ]
    return Section(rows, {f"share of gemm: {case.name}": reached / rate})


def _iterations(A: Tensor, ranks: list[int]) -> Callable[[int], None]:
    """Return a function that runs n iterations of the engine on all rows of A, (rows, channels), with all ranks active."""
    components = nndsvd(A[None], max(ranks))
    starts = [[components[:, :k]] for k in ranks]

    def run(n: int) -> None:
        Stack(A[None], starts, 0.0).solve(NO_TOLERANCE, n, lambda share, text: None)

    return run


def bandwidth(device: str, repeats: int) -> Section:
    """Measure the bytes read and written per second by copying a block of memory larger than the caches."""
    source = torch.ones(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)

    copy()
    timing = interleaved({"copy": copy}, max(3, repeats), device=device)["copy"]
    rate = 2 * COPY_BYTES / median(timing.wall) / 1e9
    note = f"{rate:.1f} GB/s, {COPY_BYTES >> 20} MiB read and as much written"
    row = Row("peers", device, "memory bandwidth", solver="copy", note=note)
    return Section([replace(row, **timing.columns())], {"memory bandwidth, GB/s": rate})
