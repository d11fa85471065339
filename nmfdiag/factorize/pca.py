"""Compute principal components at a whole grid of ranks, from one eigendecomposition of the smaller Gram matrix."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from nmfdiag.factorize.factorization import Factorization
from nmfdiag.factorize.matrix import ROWS_AT_ONCE, activation_matrix, check_ranks, frobenius, full_rank_of, shared_scale
from nmfdiag.factorize.progress import Progress


def pca(
    A: Tensor | np.ndarray, ranks: Sequence[int], *, centered: bool = False, on_progress: Progress | None = None
) -> Factorization:
    """Compute the best rank-k approximation of A in the Frobenius norm, or of A minus its mean row.

    Uncentred is the default: it uses exactly k directions, as NMF does, while the centred one has the mean row in addition.
    Measured on conv1_2 of the twelve digits CNNs (20 samples a class), it orders the networks as well: AuC .904 to .622 from
    p = 0 to p = 1 against .915 to .624 centred, Spearman's correlation with p -.891 both.

    Args:
        A: Activation matrix (rows, channels), any sign.
        ranks: Ranks in ``1 .. min(rows, channels)``.
        centered: Whether the mean row is subtracted first and added to the reconstruction.
        on_progress: Called once, at the end.

    Returns:
        The scores W and the orthonormal components H, computed in float64 and stored in A's dtype. If that can't hold the scores of
        very large or small entries (beyond about 1e29 or below 1e-29 in float32), H has a power of two as a factor.

    Raises:
        NmfdiagError: If A is not finite or all zero, or a rank is out of range.

    References:
        Collins et al. 2018, figure 3 (PCA as the baseline of NMF compression).
    """
    matrix = activation_matrix(A)
    full_rank = full_rank_of(matrix)
    distinct_ranks = check_ranks(ranks, full_rank)
    low, high = torch.aminmax(matrix)
    scale = max(abs(float(low)), abs(float(high)))
    offset = matrix.mean(dim=0, dtype=torch.float64) / scale if centered else None
    V, energies = _right_singular_vectors(matrix, scale, offset, distinct_ranks[-1])
    w_scale, h_scale = shared_scale(scale)
    W = torch.cat([(chunk @ V.T * w_scale).to(matrix.dtype) for chunk in _chunks(matrix, scale, offset)])  # (rows, k)
    H = (V * h_scale).to(matrix.dtype)
    norm = frobenius(matrix)
    total = energies.sum()
    errors = [float((total - energies[:k].sum()).clamp_min(0)) ** 0.5 * scale / norm for k in distinct_ranks]
    if on_progress is not None:
        on_progress(1.0, "PCA done")
    return Factorization(
        method="pca",
        ranks=distinct_ranks,
        relative_error=[0.0 if k == full_rank else e for k, e in zip(distinct_ranks, errors, strict=True)],
        n_iter=[0] * len(distinct_ranks),
        converged=[True] * len(distinct_ranks),
        norm=norm,
        full_rank=full_rank,
        _A=matrix,
        _factors={k: (W[:, :k], H[:k]) for k in distinct_ranks if k < full_rank},
        offset=None if offset is None else (offset * scale).to(matrix.dtype),
    )


def _chunks(A: Tensor, scale: float, offset: Tensor | None) -> Iterator[Tensor]:
    """Yield chunks of A's rows in float64, scaled and centred."""
    for chunk in A.split(ROWS_AT_ONCE):
        X = chunk.double() / scale
        yield X if offset is None else X - offset


def _right_singular_vectors(A: Tensor, scale: float, offset: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """Return the k leading right singular vectors (k, channels), in order, and all squared singular values."""
    rows, channels = A.shape
    if channels <= rows:
        gram = A.new_zeros(channels, channels, dtype=torch.float64)
        for X in _chunks(A, scale, offset):
            gram.addmm_(X.T, X)
        squares, vectors = torch.linalg.eigh(gram)
        return vectors.flip(1)[:, :k].T, squares.flip(0).clamp_min(0)
    X = torch.cat(list(_chunks(A, scale, offset)))  # fewer rows than channels: small
    squares, U = torch.linalg.eigh(X @ X.T)
    return torch.nn.functional.normalize(U.flip(1)[:, :k].T @ X, dim=1), squares.flip(0).clamp_min(0)
