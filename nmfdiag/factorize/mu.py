"""Multiplicative updates (Lee and Seung 2001), the paper's solver, rank by rank from a random start."""

import torch
from torch import Tensor

from nmfdiag.factorize.hals import Solution
from nmfdiag.factorize.matrix import frobenius
from nmfdiag.factorize.progress import Progress

TINY = 1e-12


def multiplicative_updates(
    A: Tensor, ranks: list[int], tol: float, max_iter: int, seed: int, on_progress: Progress | None
) -> dict[int, Solution]:
    """Solve every rank by itself; see :func:`nmfdiag.factorize.nmf.nmf` for the arguments.

    W and H start uniform in (0, 1), scaled to the mean of A; ``H *= (W^T A) / (W^T W H)``, then ``W *= (A H^T) / (W H H^T)``.

    References:
        D. Lee, H. Seung, Algorithms for non-negative matrix factorization, 2001, theorem 1.
        E. Collins, R. Achanta, S. Suesstrunk, Deep Feature Factorization, 2018 (solver on the GPU).
    """
    norm = frobenius(A)
    mean = float(A.mean())
    solved = {}
    for position, k in enumerate(ranks):
        random = torch.Generator().manual_seed(seed * 100_003 + k)
        level = (mean / k) ** 0.5
        W, H = (
            (torch.rand(shape, generator=random, dtype=torch.float64) * 2 * level).to(A) + TINY
            for shape in ((A.shape[0], k), (k, A.shape[1]))
        )
        last = float("inf")
        converged = False
        for iteration in range(1, max_iter + 1):
            H *= (W.T @ A) / (W.T @ W @ H).add_(TINY)
            AHt, G = A @ H.T, H @ H.T
            W *= AHt / (W @ G).add_(TINY)
            f = norm**2 - 2 * float((AHt.double() * W.double()).sum()) + float(((W.T @ W).double() * G.double()).sum())
            f = max(f, 0.0)
            if on_progress is not None:
                on_progress((position + iteration / max_iter) / len(ranks), f"rank {k}, iteration {iteration}")
            converged = last - f < tol * max(last, TINY) if last < float("inf") else False
            last = f
            if converged:
                break
        solved[k] = Solution(W, H, last**0.5 / norm, iteration, converged)
    return solved
