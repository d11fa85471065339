"""The door of the room: what counts as an activation matrix, and which ranks it allows."""

from collections.abc import Iterable, Iterator
from operator import index

import numpy as np
import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError

_CHUNK_ELEMENTS = 1 << 22
_SAFE_SCALE = (1e-6, 1e6)


def activation_matrix(A: Tensor | np.ndarray, *, non_negative: bool = False) -> Tensor:
    """Check an activation matrix and return it as a dense float32 or float64 tensor.

    Nothing is copied where the input already is one: the result may share its memory and is never written to.

    Args:
        A: activations, (rows, channels). float64 stays float64; half precision, integers and booleans become
            float32. Any device.
        non_negative: also refuse negative entries, as NMF must.

    Returns:
        `A`, (rows, channels), float32 or float64, on the device it came from, without autograd history.

    Raises:
        NmfdiagError: if `A` is no real 2-D array, is empty, holds NaN, infinite or (on demand) negative entries,
            or is zero throughout.
    """
    X = _as_real_tensor(A)
    if X.ndim != 2:
        raise NmfdiagError(
            f"The activation matrix must have two dimensions (rows, channels), got {X.ndim} with shape {tuple(X.shape)}; "
            "fold a convolution layer's n c h w to (n h w, c) first."
        )
    if X.numel() == 0:
        raise NmfdiagError(f"The activation matrix is empty: got shape {tuple(X.shape)}, want at least one row and column.")
    low, high = value_range(X)
    if np.isnan(low) or np.isnan(high):
        raise NmfdiagError("The activation matrix holds NaN; every entry must be a finite number.")
    if np.isinf(low) or np.isinf(high):
        raise NmfdiagError("The activation matrix holds infinite entries; every entry must be a finite number.")
    if low == 0 and high == 0:
        raise NmfdiagError("The layer is all zero: dead on this batch, so there is nothing to factorise.")
    if non_negative and low < 0:
        raise NmfdiagError(
            f"NMF takes non-negative activations, got a smallest entry of {low:.6g}; read the layer after its ReLU."
        )
    return X


def check_ranks(ranks: Iterable[int], full_rank: int) -> list[int]:
    """Return the ranks sorted, each once.

    Args:
        ranks: wanted ranks, in any order; repeats are dropped.
        full_rank: the largest rank that the matrix allows.

    Raises:
        NmfdiagError: if there is none, or one is not an integer between 1 and `full_rank`.
    """
    if isinstance(ranks, str) or not isinstance(ranks, Iterable):
        raise NmfdiagError(f"Ranks must be a list of positive integers, got {ranks!r}.")
    checked: set[int] = set()
    for k in ranks:
        try:
            rank = -1 if isinstance(k, (bool, np.bool_)) else index(k)
        except TypeError:
            rank = -1
        if rank < 1:
            raise NmfdiagError(f"Every rank must be a positive integer, got {k!r}.")
        checked.add(rank)
    if not checked:
        raise NmfdiagError("No rank was asked for: give at least one positive integer.")
    if max(checked) > full_rank:
        raise NmfdiagError(f"Rank {max(checked)} is too large: this matrix allows ranks from 1 to {full_rank}.")
    return sorted(checked)


def check_seed(seed: int) -> int:
    """Return the seed as an int that every generator takes.

    Raises:
        NmfdiagError: if it is not an integer in [0, 2**63).
    """
    try:
        value = index(seed)
    except TypeError:
        value = -1
    if not 0 <= value < 2**63:
        raise NmfdiagError(f"The seed must be a non-negative integer below 2**63, got {seed!r}.")
    return value


def value_range(X: Tensor) -> tuple[float, float]:
    """Return the smallest and the largest entry; NaN if any entry is NaN."""
    low, high = torch.aminmax(X)
    return float(low), float(high)


def row_chunks(rows: int, size: int) -> Iterator[slice]:
    """Cut `rows` rows into consecutive slices of at most `size`."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def squared_norm(X: Tensor) -> float:
    """Return the squared Frobenius norm, summed in float64 without a float64 copy of `X`."""
    size = max(1, _CHUNK_ELEMENTS // X.shape[1])
    return float(sum(float(X[rows].to(torch.float64).square().sum()) for rows in row_chunks(X.shape[0], size)))


def rescaled(X: Tensor) -> tuple[Tensor, float]:
    """Bring the entries to a size whose squares neither overflow nor vanish.

    Args:
        X: a checked matrix, (rows, channels).

    Returns:
        `Y` and `scale` with `X = Y * scale`. `Y` is `X` itself, not a copy, where its entries are of ordinary size;
        otherwise the scale is a power of two, so that nothing is rounded but what is too small to count.
    """
    low, high = value_range(X)
    largest = max(-low, high)
    if _SAFE_SCALE[0] <= largest <= _SAFE_SCALE[1]:
        return X, 1.0
    exponent = int(np.frexp(largest)[1])
    return torch.ldexp(X, torch.tensor(-exponent, device=X.device)), float(np.ldexp(1.0, exponent))


def _as_real_tensor(A: Tensor | np.ndarray) -> Tensor:
    """Return a strided float32 or float64 tensor that shares memory with `A` where it can."""
    if isinstance(A, np.ndarray):
        if A.dtype.kind not in "fiub":
            raise NmfdiagError(f"The activation matrix must hold real numbers, got a numpy array of dtype {A.dtype}.")
        wanted = np.float64 if A.dtype.kind == "f" and A.dtype.itemsize >= 8 else np.float32
        array = np.ascontiguousarray(A, dtype=wanted)
        # torch has no read-only tensors and warns of one: hand it a copy of its own
        return torch.from_numpy(array if array.flags.writeable else array.copy()).view(A.shape)
    if not isinstance(A, Tensor):
        raise NmfdiagError(f"The activation matrix must be a torch tensor or a numpy array, got {type(A).__name__}.")
    if A.layout != torch.strided or A.is_complex() or A.is_quantized:
        raise NmfdiagError(f"The activation matrix must be dense and real, got {A.layout} of {A.dtype}.")
    return A.detach().to(torch.float64 if A.dtype == torch.float64 else torch.float32)
