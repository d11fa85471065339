"""Principal components at a whole grid of ranks, from one eigendecomposition of the smaller Gram matrix."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nmfdiag.factorize.factorization import Factorization
from nmfdiag.factorize.matrix import activation_matrix, check_ranks, frobenius, full_rank_of
from nmfdiag.factorize.progress import Progress


def pca(
    A: Tensor | np.ndarray,
    ranks: Sequence[int],
    *,
    centered: bool = False,
    on_progress: Progress | None = None,
) -> Factorization:
    """Best rank-k approximation of A in the Frobenius norm, or of A minus its mean row.

    Uncentred is the default: it spends exactly k directions, as NMF does, where the centred one has the mean row besides.
    Measured on conv1_2 of the twelve digits CNNs (20 samples a class), it orders the networks as well: AuC .904 to .622 from
    p = 0 to p = 1 against .915 to .624 centred, Spearman's correlation with p -.891 both.

    Args:
        A: Activation matrix (rows, channels), any sign.
        ranks: Ranks in ``1 .. min(rows, channels)``.
        centered: Whether the mean row is taken out first and put back in the reconstruction.
        on_progress: Called once, at the end.

    Returns:
        W are the scores, H the orthonormal components; computed in float64, kept in A's dtype.

    Raises:
        NmfdiagError: If A is not finite or all zero, or a rank is out of range.

    References:
        Collins et al. 2018, figure 3 (PCA as the baseline of NMF compression).
    """
    matrix = activation_matrix(A)
    full_rank = full_rank_of(matrix)
    wanted = check_ranks(ranks, full_rank)
    scale = float(matrix.abs().max())
    X = matrix.double() / scale
    offset = X.mean(dim=0) if centered else None
    if offset is not None:
        X = X - offset
    squares = X.square().sum()
    V = _right_singular_vectors(X, wanted[-1])
    scores = X @ V.T
    norm = frobenius(matrix)
    left = [float((squares - scores[:, :k].square().sum()).clamp_min(0)) ** 0.5 * scale / norm for k in wanted]
    dtype = matrix.dtype
    if on_progress is not None:
        on_progress(1.0, "PCA done")
    return Factorization(
        method="pca",
        ranks=wanted,
        relative_error=[0.0 if k == full_rank else e for k, e in zip(wanted, left, strict=True)],
        n_iter=[0] * len(wanted),
        converged=[True] * len(wanted),
        norm=norm,
        full_rank=full_rank,
        _A=matrix,
        _factors={k: ((scores[:, :k] * scale).to(dtype), V[:k].to(dtype)) for k in wanted if k < full_rank},
        offset=None if offset is None else (offset * scale).to(dtype),
    )


def _right_singular_vectors(X: Tensor, k: int) -> Tensor:
    """The k leading right singular vectors (k, channels) of X (rows, channels), leading first."""
    if X.shape[1] <= X.shape[0]:
        return torch.linalg.eigh(X.T @ X).eigenvectors.flip(1)[:, :k].T
    U = torch.linalg.eigh(X @ X.T).eigenvectors.flip(1)[:, :k]
    return torch.nn.functional.normalize(U.T @ X, dim=1)
