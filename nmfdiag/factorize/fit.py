"""What a solver hands back for one rank, and how its error is measured."""

from typing import NamedTuple

import torch
from torch import Tensor

from nmfdiag.factorize.matrix import row_chunks

_CHUNK_ROWS = 4096


class Fit(NamedTuple):
    """One rank's answer: `A ~ W @ H`, W (rows, k), H (k, channels)."""

    W: Tensor
    H: Tensor
    relative_error: float
    n_iter: int
    converged: bool


def squared_residual(A: Tensor, W: Tensor, H: Tensor, mean: Tensor | None = None) -> float:
    """Return `||A - W H - mean||^2` (Frobenius) from residuals formed a few rows at a time, summed in float64.

    Args:
        A: (rows, channels).
        W: (rows, k).
        H: (k, channels).
        mean: (channels,), added to every row of the approximation; None for none.
    """
    total = 0.0
    target = A if mean is None else None
    for rows in row_chunks(A.shape[0], _CHUNK_ROWS):
        chunk = target[rows] if target is not None else A[rows] - mean
        total += float(torch.addmm(chunk, W[rows], H, alpha=-1).to(torch.float64).square().sum())
    return total
