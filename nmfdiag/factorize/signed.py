"""Signed NMF, for activations that can be negative: NMF of the positive and the negative part of A, side by side.

``[max(A, 0), max(-A, 0)] ~ W [H+, H-]`` over non-negative factors, so ``A ~ W (H+ - H-)``: each sample is still a mixture of k
patterns without cancellation, and a pattern raises some channels and lowers others. The paper covers only ReLU; this is our extension.
On a matrix without a negative entry it is plain NMF, bit by bit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nmfdiag.factorize.factorization import Factorization
from nmfdiag.factorize.matrix import activation_matrix, as_tensor, full_rank_of, matrix_batch, safe_distance
from nmfdiag.factorize.nmf import nmf_batch


def signed_nmf(
    A: Tensor | np.ndarray, ranks: Sequence[int], *, start: Mapping[int, Tensor] | None = None, **options: Any
) -> Factorization:
    """Factorise a matrix of any sign as ``W (H+ - H-)`` with non-negative W, H+ and H-, for every rank.

    Args:
        A: Activation matrix (rows, channels); torch or numpy, any float dtype, any device. Not modified.
        ranks: Ranks up to :func:`signed_full_rank`, which is exact and not iterated.
        start: H (k, channels) of any sign to start from, by rank, such as ``factors(k)[1]`` of a similar matrix.
        **options: The other options of :func:`nmfdiag.nmf`.

    Returns:
        ``factors(k)`` are W (rows, k) and ``H+ - H-`` (k, channels). Errors are those of A itself, ``||A - W (H+ - H-)|| / ||A||``;
        convergence and ``trace`` refer to the two parts side by side, which are minimised (their errors may cancel in A, or add up to
        at most sqrt(2) times theirs).

    Raises:
        NmfdiagError: If A is not a finite matrix with an entry other than zero, or a rank or option is out of range.

    >>> A = torch.tensor([[1.0, -2.0, 0.0], [2.0, -4.0, 0.0], [0.0, 0.0, 3.0]])
    >>> signed_nmf(A, [2]).relative_error[0] < 1e-3
    True
    """
    return _solve([activation_matrix(A)], ranks, start, options)[0]


def signed_nmf_batch(
    A: Tensor | np.ndarray, ranks: Sequence[int], *, start: Mapping[int, Tensor] | None = None, **options: Any
) -> list[Factorization]:
    """Factorise several matrices of one shape in one call, as :func:`nmfdiag.factorize.nmf.nmf_batch` does.

    Args:
        A: Activation matrices (batch, rows, channels) of any sign.
        ranks: Ranks up to the full rank of each matrix.
        start: As in :func:`signed_nmf`.
        **options: As in :func:`signed_nmf`.

    Returns:
        A factorisation per matrix, up to rounding as from :func:`signed_nmf`.

    Raises:
        NmfdiagError: As in :func:`signed_nmf`, for any of the matrices.
    """
    return _solve([activation_matrix(matrix) for matrix in matrix_batch(A)], ranks, start, options)


def signed_full_rank(A: Tensor) -> int:
    """Return the lowest rank at which signed NMF is exact: ``min(rows, 2 channels)``, or plain NMF's if no entry is negative."""
    return min(len(A), 2 * A.shape[1]) if has_negative(A) else full_rank_of(A)


def signed_ranks(A: Tensor, grid: Callable[[int], Sequence[int]]) -> list[int]:
    """Return a grid's ranks for plain NMF, and the full rank: those in between never converge, and add nothing to it.

    Args:
        A: The matrix.
        grid: Function of the full rank that returns ranks, such as :func:`nmfdiag.factorize.default_ranks`.
    """
    plain, full = full_rank_of(A), signed_full_rank(A)
    return [*grid(plain), *([full] if full > plain else [])]


def has_negative(A: Tensor) -> bool:
    """Return whether an entry is negative."""
    return bool(A.amin() < 0)


def parts_of(A: Tensor) -> Tensor:
    """Return the positive and the negative part side by side: (rows, 2 channels), non-negative."""
    return torch.cat([A.clamp_min(0), A.neg().clamp_min_(0)], dim=1)


def _solve(
    matrices: list[Tensor], ranks: Sequence[int], start: Mapping[int, Tensor] | None, options: dict[str, Any]
) -> list[Factorization]:
    solved: dict[int, Factorization] = {}
    signed = [i for i, A in enumerate(matrices) if has_negative(A)]
    plain = [i for i in range(len(matrices)) if i not in signed]
    if plain:
        starts = {k: as_tensor(H, "A start").clamp_min(0) for k, H in (start or {}).items()}
        batch = [matrices[i] for i in plain]
        for i, factorization in zip(plain, nmf_batch(_batch(batch), ranks, start=starts, **options), strict=True):
            solved[i] = replace(factorization, method="signed")
    if signed:
        starts = {k: parts_of(as_tensor(H, "A start")) for k, H in (start or {}).items()}
        batch = [parts_of(matrices[i]) for i in signed]
        for i, parts in zip(signed, nmf_batch(_batch(batch), ranks, start=starts, **options), strict=True):
            solved[i] = _joined(matrices[i], parts)
    return [solved[i] for i in range(len(matrices))]


def _batch(matrices: list[Tensor]) -> Tensor:
    """Stack matrices; a single one is not copied."""
    return torch.stack(matrices) if len(matrices) > 1 else matrices[0][None]


def _joined(A: Tensor, parts: Factorization) -> Factorization:
    """Return the factorisation of A from that of its two parts."""
    factors = {}
    for k in parts.ranks:
        W, H = parts.factors(k)
        plus, minus = H.chunk(2, dim=1)
        factors[k] = W, plus - minus
    errors = [
        0.0 if k == parts.full_rank else safe_distance(A, *factors[k]) / parts.norm for k in parts.ranks
    ]  # ||A|| is also the norm of its parts
    return replace(parts, method="signed", relative_error=errors, _A=A, _factors=factors)
