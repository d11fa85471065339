"""Multiplicative updates, the paper's solver, rank by rank from a random start, with its authors' published settings.

References:
    D. Lee, H. Seung, Algorithms for non-negative matrix factorization, 2001, theorem 1.
    E. Collins, R. Achanta, S. Suesstrunk, Deep Feature Factorization for concept discovery, 2018 (start, order of the updates,
    stopping rule).
"""

import time

import torch
from torch import Tensor

from nmfdiag.factorize.factorization import Solution
from nmfdiag.factorize.matrix import distance, frobenius
from nmfdiag.factorize.progress import Progress

ZERO_DENOMINATOR = 1e-7
CHECK_INTERVAL = 10


def multiplicative_updates(
    A: Tensor, ranks: list[int], tol: float, max_iter: int, seed: int, on_progress: Progress | None
) -> list[dict[int, Solution]]:
    """Solve every rank of every matrix of A (batch, rows, channels), one at a time.

    W and H start as ``|N(0, 1)| sqrt(mean(A) / k)``; ``W *= (A H^T) / (W H H^T)``, then ``H *= (W^T A) / (W^T W H)``. At
    iterations 1, 11, 21, ... a rank stops when ``||A - W H||`` has fallen by less than ``tol`` times its value at the start.
    See :func:`nmfdiag.factorize.nmf.nmf` for the arguments.
    """
    solved: list[dict[int, Solution]] = []
    for b, matrix in enumerate(A):
        norm, solutions = frobenius(matrix), {}
        for position, k in enumerate(ranks):

            def report(share: float, text: str, n_before: int = b * len(ranks) + position, k: int = k) -> None:
                if on_progress is not None:
                    on_progress((n_before + share) / (len(A) * len(ranks)), f"rank {k}, {text}")

            solutions[k] = _one_rank(matrix, k, norm, tol, max_iter, seed, report)
        solved.append(solutions)
    return solved


def _one_rank(A: Tensor, k: int, norm: float, tol: float, max_iter: int, seed: int, report: Progress) -> Solution:
    started = time.perf_counter()
    random = torch.Generator().manual_seed(seed)
    scale = (float(A.mean()) / k) ** 0.5
    W, H = ((torch.randn(shape, generator=random).abs() * scale).to(A) for shape in ((len(A), k), (k, A.shape[1])))
    first_error = error = distance(A, W, H)
    trace, converged = [], False
    for iteration in range(1, max_iter + 1):
        W *= (A @ H.T) / _nonzero(W @ (H @ H.T))
        H *= (W.T @ A) / _nonzero((W.T @ W) @ H)
        report(iteration / max_iter, f"iteration {iteration}")
        if iteration % CHECK_INTERVAL == 1 or iteration == max_iter:
            previous, error = error, distance(A, W, H)
            trace.append((time.perf_counter() - started, error / norm))
            converged = previous - error < tol * first_error
            if converged:
                break
    return Solution(W, H, error / norm, iteration, converged, trace)


def _nonzero(X: Tensor) -> Tensor:
    return X.masked_fill_(X == 0, ZERO_DENOMINATOR)
