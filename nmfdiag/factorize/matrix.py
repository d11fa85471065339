"""Check activation matrices, grids of ranks and options, for every method."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.kernels import Inner

NEARLY_FULL = 0.85
ROWS_AT_ONCE = 65536
SMALLEST_SCALE = 1e-6
"""Squares of matrices whose largest entry is between this and its inverse fit into float32."""
FAR_EXPONENT = 96
"""Exponent of two: factors of matrices whose largest entry is farther from 1 may not fit into float32."""


def activation_matrix(A: Tensor | np.ndarray, *, non_negative: bool = False) -> Tensor:
    """Check an activation matrix and convert it to float32 or float64.

    Args:
        A: (rows, channels), any float or integer dtype, any device. Never modified.
        non_negative: Whether a negative entry is an error.

    Returns:
        ``A`` as float64 if it was, else as float32; without a copy if it has that type.

    Raises:
        NmfdiagError: If A is not a matrix, is empty, not finite, all zero, or has a forbidden negative entry.
    """
    matrix = as_tensor(A, "An activation matrix")
    if matrix.ndim != 2 or matrix.numel() == 0:
        raise NmfdiagError(f"An activation matrix must have the shape (rows, channels), got {tuple(matrix.shape)}.")
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


def as_tensor(values: Any, title: str) -> Tensor:
    """Return values as a plain tensor of real numbers, detached; without a copy if possible.

    Args:
        values: A torch tensor or numpy array, in either byte order and with any strides.
        title: Their name in errors.

    Raises:
        NmfdiagError: If they are not numbers, complex, or a tensor that is sparse, quantised or without values.
    """
    accepted = f"{title} must be a plain torch tensor or numpy array of real numbers"
    if isinstance(values, np.ndarray) and (not values.dtype.isnative or any(s < 0 for s in values.strides)):
        values = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    try:
        tensor = torch.as_tensor(values).detach()
        problem = (tensor.is_meta and "without values") or (tensor.is_quantized and "quantised")
        problem = problem or (tensor.layout != torch.strided and "sparse") or (tensor.is_complex() and "complex")
        if problem:
            raise NmfdiagError(f"{accepted}, got one that is {problem} ({tensor.dtype}).")
        if tensor.dtype != torch.float64:
            torch.empty(1, dtype=tensor.dtype).float()  # some types of few bits can't be converted
    except NmfdiagError:
        raise
    except Exception:  # objects, texts, types of other libraries, lists of different lengths
        kind = f"{type(values).__name__} of {values.dtype}" if hasattr(values, "dtype") else type(values).__name__
        raise NmfdiagError(f"{accepted}, got {kind}.") from None
    return tensor


def matrix_batch(A: Tensor | np.ndarray) -> Tensor:
    """Return a batch of matrices as a tensor (batch, rows, channels).

    Raises:
        NmfdiagError: If it has another shape, or no matrix.
    """
    matrices = as_tensor(A, "A batch of matrices")
    if matrices.ndim != 3 or len(matrices) == 0:
        raise NmfdiagError(
            f"A batch of matrices must have the shape (batch, rows, channels), got {tuple(matrices.shape)}."
        )
    return matrices


def check_ranks(ranks: Sequence[int], full_rank: int) -> list[int]:
    """Return the ranks sorted and without repeats.

    Raises:
        NmfdiagError: If there are none, or one is not a whole number in ``1 .. full_rank``.
    """
    try:
        requested = list(ranks)
        distinct = sorted({int(k) for k in requested if int(k) == k})
        if distinct and len(distinct) == len(set(requested)) and distinct[0] >= 1 and distinct[-1] <= full_rank:
            return distinct
        got = str(requested)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # not a list, or not numbers
        got = repr(ranks)
    raise NmfdiagError(f"Ranks must be whole numbers in 1 .. {full_rank} for this matrix, got {got[:200]}.")


def check_seed(seed: Any) -> int:
    """Return a seed as a plain number.

    Raises:
        NmfdiagError: If it is not a whole number in ``0 .. 2^63 - 1``.
    """
    try:
        if not isinstance(seed, bool) and 0 <= operator.index(seed) < 2**63:
            return operator.index(seed)
    except (TypeError, ValueError, RuntimeError):
        pass
    raise NmfdiagError(f"A seed must be a whole number in 0 .. 2^63 - 1, got {repr(seed)[:200]}.")


def check_positive(**options: Any) -> None:
    """Refuse options that are not positive numbers.

    Raises:
        NmfdiagError: If one is not; the sentence names all of them.
    """
    if not all(isinstance(value, int | float | np.number) and value > 0 for value in options.values()):
        names, got = " and ".join(options), " and ".join(repr(value)[:100] for value in options.values())
        raise NmfdiagError(f"{names} must be positive, got {got}.")


def default_ranks(full_rank: int) -> list[int]:
    """Return the grid 1, 2, 3, 4, 6, 8, 12, 16, ... (two per doubling), then the full rank.

    Ranks close to the full one are omitted: they never converge, and add nothing to it.

    >>> default_ranks(64)
    [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
    """
    grid, k = [1, 2, 3], 4
    while k <= full_rank:
        grid += [k, k * 3 // 2]
        k *= 2
    return [k for k in grid if k <= NEARLY_FULL * full_rank] + [full_rank]


def coarse_ranks(full_rank: int) -> list[int]:
    """Return the powers of two, then the full rank: half the work of :func:`default_ranks`.

    >>> coarse_ranks(64)
    [1, 2, 4, 8, 16, 32, 64]
    """
    return [k for k in default_ranks(full_rank) if k & (k - 1) == 0 or k == full_rank]


def full_rank_of(A: Tensor) -> int:
    """Return the lowest rank at which a factorisation of A is exact: ``min(rows, channels)``."""
    return min(A.shape)


def squares(A: Tensor) -> Tensor:
    """Return ``||A||^2`` of each matrix of A (batch, rows, channels): (batch,), summed in float64."""
    parts = (chunk.contiguous() for chunk in A.split(ROWS_AT_ONCE, dim=1))
    return torch.stack([Inner([part], [part])()[:, 0].clone() for part in parts]).sum(0)


def frobenius(A: Tensor) -> float:
    """Return the Frobenius norm of A, summed in float64, safe from under- and overflow of the squares."""
    scale = max(abs(float(v)) for v in torch.aminmax(A))
    if scale == 0:
        return 0.0
    if SMALLEST_SCALE < scale < 1 / SMALLEST_SCALE:
        return float(squares(A[None])) ** 0.5
    total = sum(float(((chunk / scale) ** 2).sum(dtype=torch.float64)) for chunk in A.split(ROWS_AT_ONCE))
    return scale * total**0.5


def distance(A: Tensor, W: Tensor, H: Tensor) -> float:
    """Return ``||A - W H||`` (Frobenius), computed by chunks of rows."""
    parts = zip(A.split(ROWS_AT_ONCE), W.split(ROWS_AT_ONCE), strict=True)
    return sum(float(torch.linalg.vector_norm(a - w @ H)) ** 2 for a, w in parts) ** 0.5


def safe_distance(A: Tensor, W: Tensor, H: Tensor) -> float:
    """Return :func:`distance`, safe from under- and overflow of the squares."""
    largest = max(abs(float(v)) for v in torch.aminmax(A))
    if SMALLEST_SCALE < largest < 1 / SMALLEST_SCALE:
        return distance(A, W, H)
    scale, total = 2.0 ** math.frexp(largest)[1] / 2, 0.0
    for a, w in zip(A.split(ROWS_AT_ONCE), W.split(ROWS_AT_ONCE), strict=True):
        total += float(torch.linalg.vector_norm(a.double() / scale - (w.double() / scale) @ H.double())) ** 2
    return scale * total**0.5


def shared_scale(scale: float) -> tuple[float, float]:
    """Split the scale of a matrix into those of W and H: W gets all of it if that causes no over- or underflow."""
    exponent = math.frexp(scale)[1]
    if abs(exponent) < FAR_EXPONENT:
        return scale, 1.0
    h_scale = 2.0 ** (exponent // 2)
    return scale / h_scale, h_scale
