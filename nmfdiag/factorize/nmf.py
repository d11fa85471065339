"""Non-negative matrix factorisation at a whole grid of ranks.

Notation, here and everywhere: the activation matrix ``A`` (rows, channels) >= 0; rank ``k``; ``A ~ W @ H`` with ``W``
(rows, k) >= 0 and ``H`` (k, channels) >= 0. This is scikit-learn's order and that of Deep Feature Factorization;
torchnmf calls our ``W`` H and our ``H`` W. A convolution layer's ``n c h w`` is folded to ``(n h w) c``.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.factorization import Factorization, Solution
from nmfdiag.factorize.hals import MOST_STARTS, hals
from nmfdiag.factorize.matrix import (
    SMALLEST_SCALE,
    activation_matrix,
    as_tensor,
    check_positive,
    check_ranks,
    check_seed,
    frobenius,
    full_rank_of,
    matrix_batch,
    shared_scale,
)
from nmfdiag.factorize.mu import multiplicative_updates
from nmfdiag.factorize.progress import Progress
from nmfdiag.factorize.threads import subnormals

TOLERANCES = {"hals": 1e-4, "mu": 1e-4}
"""Default tolerances of the solvers, whose rules differ, see :func:`nmf`."""


def nmf(
    A: Tensor | np.ndarray,
    ranks: Sequence[int],
    *,
    solver: str = "hals",
    tol: float | None = None,
    max_iter: int = 200,
    seed: int = 0,
    n_starts: int | None = None,
    start: Mapping[int, Tensor] | None = None,
    on_progress: Progress | None = None,
) -> Factorization:
    """Minimise ``||A - W H||`` (Frobenius) over non-negative W and H, for every rank.

    The full rank ``min(rows, channels)`` is exact and not iterated.

    Args:
        A: Non-negative activation matrix (rows, channels); torch or numpy, any float dtype, any device. Not modified.
        ranks: Ranks in ``1 .. min(rows, channels)``.
        solver: ``"hals"``: hierarchical alternating least squares, all ranks together (fast); ``"mu"``: multiplicative
            updates from a random start, as published by the paper's authors.
        tol: Tolerance; default is the solver's. ``"hals"``: a rank stops when the squared error falls by less than this share in
            each of two iterations. ``"mu"``: when the error falls by less than this share of its first value in ten iterations.
        max_iter: Largest number of iterations; a rank that needs more is marked as not converged.
        seed: Seed of the rows that ``"hals"`` starts from and samples, and of the start of ``"mu"``.
        n_starts: Largest number of starts of each rank for ``"hals"``; default is up to six, by rank. NMF has local minima:
            more starts find lower ones (.1 % lower errors on average with six than with two), in more time.
        start: H (k, channels) to start from, by rank: that of a similar matrix, such as the same layer's an epoch ago. It replaces
            the ``n_starts`` of its rank; ``"hals"`` only.
        on_progress: Called in each iteration with the share done and a short text; may raise to cancel.

    Returns:
        Factors, errors and convergence at each rank, on A's device; float64 if A is, else float32.

    Raises:
        NmfdiagError: If A is not a non-negative finite matrix with a positive entry, or a rank or option is out of range.

    References:
        Collins, Bigdeli, Suesstrunk, Detecting Memorization in ReLU Networks, 2018, section 3.
        Gillis, Glineur, Accelerated multiplicative updates and hierarchical ALS algorithms for NMF, 2012.

    >>> import torch
    >>> A = torch.rand(20, 2, generator=torch.Generator().manual_seed(0)) @ torch.eye(2, 6)
    >>> nmf(A, [2]).relative_error[0] < 1e-3
    True
    """
    matrix = activation_matrix(A, non_negative=True)
    return _solve(matrix[None], ranks, solver, tol, max_iter, seed, n_starts, start, on_progress)[0]


def nmf_batch(A: Tensor | np.ndarray, ranks: Sequence[int], **options: Any) -> list[Factorization]:
    """Factorise several matrices of one shape in one call, such as the classes of a layer; on a GPU that is much faster.

    Args:
        A: Non-negative activation matrices (batch, rows, channels).
        ranks: Ranks, as in :func:`nmf`.
        **options: Options of :func:`nmf`.

    Returns:
        A factorisation per matrix, up to rounding as from :func:`nmf`.

    Raises:
        NmfdiagError: As in :func:`nmf`, for any of the matrices.
    """
    matrices = matrix_batch(A)
    checked = [activation_matrix(matrix, non_negative=True) for matrix in matrices]
    batch = matrices if matrices.dtype == checked[0].dtype else torch.stack(checked)
    return _solve(batch, ranks, **options)


def _solve(
    A: Tensor,
    ranks: Sequence[int],
    solver: str = "hals",
    tol: float | None = None,
    max_iter: int = 200,
    seed: int = 0,
    n_starts: int | None = None,
    start: Mapping[int, Tensor] | None = None,
    on_progress: Progress | None = None,
) -> list[Factorization]:
    if not isinstance(solver, str) or solver not in TOLERANCES:
        raise NmfdiagError(f"Unknown NMF solver {solver!r}: accepted are {', '.join(TOLERANCES)}.")
    tol = TOLERANCES[solver] if tol is None else tol
    n_starts = MOST_STARTS if n_starts is None else n_starts
    check_positive(tol=tol, max_iter=max_iter, n_starts=n_starts)
    max_iter, n_starts, seed = math.ceil(max_iter), math.ceil(n_starts), check_seed(seed)
    full_rank = full_rank_of(A[0])
    distinct_ranks = check_ranks(ranks, full_rank)
    iterated = [k for k in distinct_ranks if k < full_rank]
    largest = A.amax(dim=(1, 2))
    fits = bool(((largest > SMALLEST_SCALE) & (largest < 1 / SMALLEST_SCALE)).all())
    scales = torch.ldexp(torch.ones_like(largest), largest.frexp().exponent - 1)  # powers of two: nothing is rounded
    scaled = A if fits else A / scales[:, None, None]
    solved: list[dict[int, Solution]] = [{}] * len(A)
    with subnormals(keep=False):
        if iterated and solver == "hals":
            given_starts = _checked_starts(start or {}, iterated, A)
            ranks_without_start = [k for k in iterated if k not in given_starts]
            parts = []
            if ranks_without_start:
                parts.append(hals(scaled, ranks_without_start, tol, max_iter, seed, on_progress, n_starts))
            if given_starts:
                parts.append(hals(scaled, list(given_starts), tol, max_iter, seed, on_progress, start=given_starts))
            solved = [{k: solution for part in parts for k, solution in part[i].items()} for i in range(len(A))]
        elif iterated:
            solved = multiplicative_updates(scaled, iterated, tol, max_iter, seed, on_progress)
    if on_progress is not None:
        on_progress(1.0, "NMF done")
    return [
        _factorization(matrix, distinct_ranks, full_rank, solution, 1.0 if fits else float(scale))
        for matrix, solution, scale in zip(A, solved, scales, strict=True)
    ]


def _checked_starts(start: Mapping[int, Tensor], ranks: list[int], A: Tensor) -> dict[int, Tensor]:
    """Return the given H of these ranks, on A's device and with its type, for each matrix: (batch, k, channels)."""
    starts = {}
    for k in ranks:
        if k in start:
            H = as_tensor(start[k], f"A start of rank {k}").to(A)
            if H.shape != (k, A.shape[2]) or not bool(torch.isfinite(H).all()) or bool((H < 0).any()):
                raise NmfdiagError(
                    f"A start of rank {k} must be finite, non-negative and ({k}, {A.shape[2]}), got {tuple(H.shape)}."
                )
            starts[k] = H.expand(len(A), -1, -1)
    return starts


def _factorization(
    A: Tensor, ranks: list[int], full_rank: int, solved: dict[int, Solution], scale: float
) -> Factorization:
    return Factorization(
        method="nmf",
        ranks=ranks,
        relative_error=[solved[k].relative_error if k in solved else 0.0 for k in ranks],
        n_iter=[solved[k].n_iter if k in solved else 0 for k in ranks],
        converged=[solved[k].converged if k in solved else True for k in ranks],
        norm=frobenius(A),
        full_rank=full_rank,
        trace={k: solution.trace for k, solution in solved.items()},
        _A=A,
        _factors={k: _scaled(solution.W, solution.H, scale) for k, solution in solved.items()},
    )


def _scaled(W: Tensor, H: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return the factors of a matrix from those of the matrix divided by a scale."""
    w_scale, h_scale = shared_scale(scale)
    return W if w_scale == 1.0 else W * w_scale, H if h_scale == 1.0 else H * h_scale
