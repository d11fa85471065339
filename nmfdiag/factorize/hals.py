"""HALS for a whole grid of ranks at once, coarse to fine, over several matrices of one shape.

How the iterations work is told in :mod:`nmfdiag.factorize.hals_iterations`; here is what they start from. NMF has many local minima, and which
one is found is decided in the first iterations. So each rank begins from several starts on a few rows of A, where iterations are
cheap; the worse half is given up twice; and the best H goes on to more rows, and at last to all of them.
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
from nmfdiag.factorize.starts import nndsvd, some_rows, spread_rows

COARSE_ROWS = 2048
MIDDLE_ROWS = 8192
ONE_STAGE = 1500
"""Up to so many rows all starts run on all rows."""
TWO_SAMPLES = 8192
"""From more rows than that two samples are drawn: a minimum that is best on one sample may not be best on A."""
STARTS = ((1, 1), (4, 3), (16, 6))
MORE, MOST_STARTS = 2, 6
"""Starts in all of ranks up to 1, 4 and 16, and of larger ones, which take longer and find worse minima less often."""
COARSE_TRIALS = (10, 25)
FINE_TRIALS = (2,)
"""Iterations after which the worse half of a rank's starts is given up."""
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

    With a ``start``, H (batch, k, channels) of every rank, iterations go on from it on all rows at once.

    See :func:`nmfdiag.factorize.nmf.nmf` for the other arguments.

    Returns:
        For each matrix, the solution at each rank.
    """
    begun = time.perf_counter()
    order = np.random.Generator(np.random.PCG64(seed)).permutation(A.shape[1])
    if start is not None:
        levels, n_samples = [A.shape[1]], 1
        starts = [[_without_zeros(start[k])] for k in ranks]
    else:
        levels, n_samples = levels_of(A.shape[1], max(ranks))
        starts = _starts(_samples(A, order, levels[0], n_samples), ranks, n_starts, n_samples, seed)
    for level, rows in enumerate(levels):
        matrices = _samples(A, order, rows, n_samples if level == 0 else 1)
        stack = Stack(matrices, starts, begun)
        trials = COARSE_TRIALS if level == 0 else FINE_TRIALS if level == 1 and n_samples > 1 else ()
        stack.solve(tol, max_iter, _share(on_progress, level, len(levels)), trials)
        starts = [list(result.H.chunk(n_samples if level == 0 else 1)) for result in stack.results]
    return [
        {k: _measured(A[b], result.solution(b)) for k, result in zip(ranks, stack.results, strict=True)}
        for b in range(len(A))
    ]


def levels_of(rows: int, largest: int) -> tuple[list[int], int]:
    """How many rows each stage works on, and how many samples the first one draws; a sample has at least the largest rank's rows."""
    if rows <= ONE_STAGE:
        return [rows], 1
    coarse = max(min(COARSE_ROWS, rows // 2), largest)
    if rows <= TWO_SAMPLES or 2 * coarse > rows:
        return [coarse, rows], 1
    return [coarse, *([MIDDLE_ROWS] if rows >= 4 * MIDDLE_ROWS and coarse < MIDDLE_ROWS else []), rows], 2


def _samples(A: Tensor, order: np.ndarray, rows: int, n_samples: int) -> Tensor:
    """Disjoint samples of A's rows, one below the other on the batch axis: (n_samples * batch, rows, channels); A itself if all."""
    if rows == A.shape[1]:
        return A
    chosen = np.sort(order[: n_samples * rows].reshape(n_samples, rows), axis=1)
    return torch.cat([A[:, torch.from_numpy(part).to(A.device)] for part in chosen])


def _starts(A: Tensor, ranks: list[int], at_most: int, n_samples: int, seed: int) -> list[list[Tensor]]:
    """For each rank its starts (batch, k, channels): the first k components of sets that serve every rank."""
    n_of = starts_of(ranks, at_most, n_samples)
    largest = max(ranks)
    sets = [nndsvd(A, largest), spread_rows(A, largest)]
    sets += [some_rows(A, largest, seed + i) for i in range(max(n_of.values()) - len(sets))]
    return [[components[:, :k] for components in sets[: n_of[k]]] for k in ranks]


def starts_of(ranks: list[int], at_most: int, n_samples: int) -> dict[int, int]:
    """From how many starts each rank begins on each sample."""
    in_all = {k: min(at_most, next((n for limit, n in STARTS if k <= limit), MORE)) for k in ranks}
    return {k: -(-n // n_samples) for k, n in in_all.items()}


def _without_zeros(H: Tensor) -> Tensor:
    """H with unit rows, and small values in the place of zeros: a component that died may come back."""
    return normalize(normalize(H, dim=2) + SMALL_VALUE, dim=2)


def _measured(A: Tensor, solution: Solution) -> Solution:
    """Measure a tiny error directly: the Gram form loses its digits to cancellation there."""
    if solution.relative_error >= GRAM_IS_SAFE:
        return solution
    return replace(solution, relative_error=distance(A, solution.W, solution.H) / frobenius(A))


def _share(on_progress: Progress | None, stage: int, stages: int) -> Progress:
    if on_progress is None:
        return lambda done, words: None
    return lambda done, words: on_progress((stage + done) / stages, words)
