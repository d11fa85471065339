"""What every method here takes: a checked activation matrix and a grid of ranks."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.panel import Inner

NEARLY_FULL = 0.85
ROWS_AT_ONCE = 65536
SMALLEST_SCALE = 1e-6
"""Matrices whose largest entry lies between this and its inverse have squares that float32 holds."""


def activation_matrix(A: Tensor | np.ndarray, *, non_negative: bool = False) -> Tensor:
    """Check an activation matrix and bring it to a dtype that can be computed in.

    Args:
        A: (rows, channels), any float or integer dtype, any device. Never modified.
        non_negative: Whether a negative entry is an error.

    Returns:
        ``A`` as float64 if it was, else as float32; the same memory where nothing had to be converted.

    Raises:
        NmfdiagError: If A is not a matrix, is empty, not finite, all zero, or negative where it must not be.
    """
    matrix = torch.as_tensor(A).detach()
    if matrix.ndim != 2 or matrix.numel() == 0:
        raise NmfdiagError(f"An activation matrix must have the shape (rows, channels), got {tuple(matrix.shape)}.")
    if matrix.is_complex():
        raise NmfdiagError(f"Activations must be real numbers, got {matrix.dtype}.")
    if matrix.dtype != torch.float64:
        matrix = matrix.float()
    low, high = (float(v) for v in torch.aminmax(matrix))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise NmfdiagError("The activations hold NaN or infinite values: only finite ones are accepted.")
    if low == high == 0:
        raise NmfdiagError("The activations are all zero: this layer is dead on this batch.")
    if non_negative and low < 0:
        raise NmfdiagError(
            f"The activations hold negative values (down to {low:.3g}): NMF needs the output of a ReLU. "
            f'The method "signed" (signed NMF), PCA and random ablation take any sign.'
        )
    return matrix


def check_ranks(ranks: Sequence[int], full_rank: int) -> list[int]:
    """Return the ranks sorted and without repeats.

    Raises:
        NmfdiagError: If there are none, or one is no whole number in ``1 .. full_rank``.
    """
    wanted = sorted({int(k) for k in ranks if int(k) == k})
    if not wanted or len(wanted) != len(set(ranks)) or wanted[0] < 1 or wanted[-1] > full_rank:
        raise NmfdiagError(f"Ranks must be whole numbers in 1 .. {full_rank} for this matrix, got {list(ranks)}.")
    return wanted


def default_ranks(full_rank: int) -> list[int]:
    """The grid 1, 2, 3, 4, 6, 8, 12, 16, ... (two a doubling), then the full rank.

    Ranks next to the full one are left out: they never converge, and they say nothing that the full one doesn't.

    >>> default_ranks(64)
    [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
    """
    grid, k = [1, 2, 3], 4
    while k <= full_rank:
        grid += [k, k * 3 // 2]
        k *= 2
    return [k for k in grid if k <= NEARLY_FULL * full_rank] + [full_rank]


def coarse_ranks(full_rank: int) -> list[int]:
    """The powers of two, then the full rank: half the work of :func:`default_ranks`.

    >>> coarse_ranks(64)
    [1, 2, 4, 8, 16, 32, 64]
    """
    return [k for k in default_ranks(full_rank) if k & (k - 1) == 0 or k == full_rank]


def full_rank_of(A: Tensor) -> int:
    """The rank from which on any factorisation of A is exact: ``min(rows, channels)``."""
    return min(A.shape)


def squares(A: Tensor) -> Tensor:
    """``||A||^2`` of each matrix of A (batch, rows, channels): (batch,), summed in float64."""
    parts = (chunk.contiguous() for chunk in A.split(ROWS_AT_ONCE, dim=1))
    return torch.stack([Inner([part], [part])()[:, 0].clone() for part in parts]).sum(0)


def frobenius(A: Tensor) -> float:
    """Frobenius norm of A, summed in float64 and safe against under- and overflow of the squares."""
    scale = max(abs(float(v)) for v in torch.aminmax(A))
    if scale == 0:
        return 0.0
    if SMALLEST_SCALE < scale < 1 / SMALLEST_SCALE:
        return float(squares(A[None])) ** 0.5
    total = sum(float(((chunk / scale) ** 2).sum(dtype=torch.float64)) for chunk in A.split(ROWS_AT_ONCE))
    return scale * total**0.5


def distance(A: Tensor, W: Tensor, H: Tensor) -> float:
    """``||A - W H||`` (Frobenius), a few rows at a time."""
    parts = zip(A.split(ROWS_AT_ONCE), W.split(ROWS_AT_ONCE), strict=True)
    return sum(float(torch.linalg.vector_norm(a - w @ H)) ** 2 for a, w in parts) ** 0.5
