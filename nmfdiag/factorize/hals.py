"""HALS for a whole grid of ranks at once, coarse to fine, over several matrices of one shape.

The iterations are in :mod:`nmfdiag.factorize.hals_iterations`; this module chooses their starts. NMF has many local minima, and the
first iterations decide which one is found. So each rank begins from several starts on a few rows of A, where iterations are cheap; the
worse half is dropped twice; and the best H continues on more rows, and finally on all of them.
"""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from nmfdiag.factorize.factorization import Solution
from nmfdiag.factorize.hals_iterations import Stack
from nmfdiag.factorize.matrix import distance, frobenius
from nmfdiag.factorize.progress import Progress
from nmfdiag.factorize.starts import nndsvd, random_rows, spread_rows

COARSE_ROWS = 2048
MIDDLE_ROWS = 8192
ONE_STAGE = 1500
"""Largest number of rows for which all starts run on all rows."""
TWO_SAMPLES = 8192
"""Number of rows above which two samples are drawn: the best minimum on one sample may not be the best on A."""
STARTS = ((1, 1), (4, 3), (16, 6))
DEFAULT_STARTS, MOST_STARTS = 2, 6
"""Total number of starts of ranks up to 1, 4 and 16, and of larger ones, which take longer and find bad minima less often."""
COARSE_TRIALS = (10, 25)
FINE_TRIALS = (2,)
"""Iterations after which the worse half of a rank's starts is dropped."""
GRAM_IS_SAFE = 1e-3
SMALL_VALUE = 1e-3


def hals(
    A: Tensor,
    ranks: list[int],
    tol: float,
    max_iter: int,
    seed: int,
    on_progress: Progress | None,
    n_starts: int = MOST_STARTS,
    start: Mapping[int, Tensor] | None = None,
) -> list[dict[int, Solution]]:
    """Solve every rank of every matrix of A (batch, rows, channels).

    With a ``start``, H (batch, k, channels) of every rank, iterations continue from it on all rows at once.

    See :func:`nmfdiag.factorize.nmf.nmf` for the other arguments.

    Returns:
        For each matrix, the solution at each rank.
    """
    started = time.perf_counter()
    order = np.random.Generator(np.random.PCG64(seed)).permutation(A.shape[1])
    if start is not None:
        levels, n_samples = [A.shape[1]], 1
        starts = [[_without_zeros(start[k])] for k in ranks]
    else:
        levels, n_samples = levels_of(A.shape[1], max(ranks))
        starts = _starts(_samples(A, order, levels[0], n_samples), ranks, n_starts, n_samples, seed)
    for level, rows in enumerate(levels):
        matrices = _samples(A, order, rows, n_samples if level == 0 else 1)
        stack = Stack(matrices, starts, started)
        trials = COARSE_TRIALS if level == 0 else FINE_TRIALS if level == 1 and n_samples > 1 else ()
        stack.solve(tol, max_iter, _stage_progress(on_progress, level, len(levels)), trials)
        starts = [list(result.H.chunk(n_samples if level == 0 else 1)) for result in stack.results]
    return [
        {k: _with_exact_tiny_error(A[b], result.solution(b)) for k, result in zip(ranks, stack.results, strict=True)}
        for b in range(len(A))
    ]


def levels_of(rows: int, largest: int) -> tuple[list[int], int]:
    """Return the number of rows of each stage, and of samples in the first one; a sample has at least as many rows as the largest rank."""
    if rows <= ONE_STAGE:
        return [rows], 1
    coarse = max(min(COARSE_ROWS, rows // 2), largest)
    if rows <= TWO_SAMPLES or 2 * coarse > rows:
        return [coarse, rows], 1
    return [coarse, *([MIDDLE_ROWS] if rows >= 4 * MIDDLE_ROWS and coarse < MIDDLE_ROWS else []), rows], 2


def _samples(A: Tensor, order: np.ndarray, rows: int, n_samples: int) -> Tensor:
    """Return disjoint samples of A's rows, stacked on the batch axis: (n_samples * batch, rows, channels); A itself for all rows."""
    if rows == A.shape[1]:
        return A
    row_sets = np.sort(order[: n_samples * rows].reshape(n_samples, rows), axis=1)
    return torch.cat([A[:, torch.from_numpy(part).to(A.device)] for part in row_sets])


def _starts(A: Tensor, ranks: list[int], most_starts: int, n_samples: int, seed: int) -> list[list[Tensor]]:
    """Return the starts of each rank (batch, k, channels): the first k components of sets for all ranks."""
    n_starts = starts_by_rank(ranks, most_starts, n_samples)
    largest = max(ranks)
    sets = [nndsvd(A, largest), spread_rows(A, largest)]
    sets += [random_rows(A, largest, seed + i) for i in range(max(n_starts.values()) - len(sets))]
    return [[components[:, :k] for components in sets[: n_starts[k]]] for k in ranks]


def starts_by_rank(ranks: list[int], most_starts: int, n_samples: int) -> dict[int, int]:
    """Return the number of starts of each rank on each sample."""
    totals = {k: min(most_starts, next((n for limit, n in STARTS if k <= limit), DEFAULT_STARTS)) for k in ranks}
    return {k: -(-n // n_samples) for k, n in totals.items()}


def _without_zeros(H: Tensor) -> Tensor:
    """Return H with unit rows, and small values instead of zeros, so that a dead component can recover."""
    return normalize(normalize(H, dim=2) + SMALL_VALUE, dim=2)


def _with_exact_tiny_error(A: Tensor, solution: Solution) -> Solution:
    """Measure a tiny error directly: the Gram form loses its digits to cancellation there."""
    if solution.relative_error >= GRAM_IS_SAFE:
        return solution
    return replace(solution, relative_error=distance(A, solution.W, solution.H) / frobenius(A))


def _stage_progress(on_progress: Progress | None, stage: int, stages: int) -> Progress:
    if on_progress is None:
        return lambda share, text: None
    return lambda share, text: on_progress((stage + share) / stages, text)
