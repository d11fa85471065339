"""The yardstick beside every timing: what the machine's plain matrix products and its memory reach."""

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

AT_LEAST = 0.2
"""Seconds that a timing of products should take, so that the clock's grain does not show."""
COPY_BYTES = 2**28
FEW, MANY = 4, 20
NEVER = 1e-14


def products(A: Tensor, K: int) -> Callable[[], None]:
    """The two products that an iteration at ranks of sum K needs: ``H A_c^T`` and ``W^T A_c`` for chunks of rows A_c."""
    random = torch.Generator().manual_seed(0)
    H = torch.rand((K, A.shape[1]), generator=random).to(A)
    W = torch.rand((K, min(CHUNK, len(A))), generator=random).to(A)

    def run() -> None:
        for chunk in A.split(CHUNK):
            torch.mm(H, chunk.T)
            torch.mm(W[:, : len(chunk)], chunk)

    return run


def share_of_gemm(case: Case, device: str, repeats: int) -> Section:
    """Time one iteration of the engine with all ranks active, and beside it the two products by themselves.

    The iteration's time is the difference of two runs without a stopping rule, over the iterations between them.

    Returns:
        A row of the solver ``"gemm"`` and one of ``"iteration"``, and the quotient of their rates.
    """
    A, ranks = case.A[0], list(case.ranks)
    multiply = products(A, sum(ranks))
    multiply()
    times = max(1, round(AT_LEAST / max(once(multiply, device)[2], 1e-9)))

    def gemm() -> None:
        for _ in range(times):
            multiply()

    run = _iterations(A, ranks)
    tasks: dict[str, Callable[[], None]] = {"gemm": gemm, "few": partial(run, FEW), "many": partial(run, MANY)}
    measured = interleaved(tasks, max(3, repeats), device=device)
    work = 4.0 * A.numel() * sum(ranks)
    seconds = measured["many"].seconds(device) - measured["few"].seconds(device)
    rate = times * work / measured["gemm"].seconds(device)
    reached = (MANY - FEW) * work / max(seconds, 1e-9)
    rows = [
        replace(
            row_of("peers", device, case, "gemm"),
            gflops=rate / 1e9,
            note=f"{times} times the products of one iteration",
            **measured["gemm"].columns(),
        ),
        replace(
            row_of("peers", device, case, "iteration"),
            gflops=reached / 1e9,
            note=f"{MANY} iterations less {FEW}: {reached / rate:.0%} of the rate of gemm",
            **measured["many"].columns(),
        ),
    ]
    return Section(rows, {f"share of gemm: {case.name}": reached / rate})


def _iterations(A: Tensor, ranks: list[int]) -> Callable[[int], None]:
    """What runs n iterations of the engine on all rows of A, (rows, channels), with all ranks active throughout."""
    components = nndsvd(A[None], max(ranks))
    starts = [[components[:, :k]] for k in ranks]

    def run(n: int) -> None:
        Stack(A[None], starts, 0.0).solve(NEVER, n, lambda done, words: None)

    return run


def bandwidth(device: str, repeats: int) -> Section:
    """Copy a block of memory larger than the caches: bytes read and written a second."""
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
