"""Starts of HALS: non-negative components whose first j are a start for rank j, so that one computation serves every rank."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def nndsvd(A: Tensor, k: int) -> Tensor:
    """Return components (batch, k, channels) from the singular vectors of A (batch, rows, channels).

    They are the positive or the negative part of each singular vector, whichever carries more of A.

    References:
        C. Boutsidis, E. Gallopoulos, SVD based initialization: A head start for nonnegative matrix factorization, 2008.
    """
    V = _leading_directions(A, k)
    scores = A @ V.mT  # (batch, rows, k): u * sigma
    positive, negative = V.clamp_min(0), (-V).clamp_min(0)
    plus = positive.norm(dim=2) * scores.clamp_min(0).norm(dim=1)
    minus = negative.norm(dim=2) * (-scores).clamp_min(0).norm(dim=1)
    return normalize(torch.where((plus >= minus)[:, :, None], positive, negative), dim=2)


def spread_rows(A: Tensor, k: int) -> Tensor:
    """Return rows of A (batch, k, channels): the one of largest norm, then always the one furthest from the span of the previous ones.

    References:
        M. Araujo et al., The successive projections algorithm for variable selection in spectroscopic multicomponent analysis, 2001.
    """
    residual, rows = A.clone(), []
    batch = torch.arange(len(A), device=A.device)
    for _ in range(k):
        furthest = residual.square().sum(2).argmax(1)
        rows.append(A[batch, furthest])
        direction = normalize(residual[batch, furthest], dim=1)[:, :, None]
        residual -= (residual @ direction) @ direction.mT
    return normalize(torch.stack(rows, 1), dim=2)


def random_rows(A: Tensor, k: int, seed: int) -> Tensor:
    """Return random rows of A (batch, k, channels), the same for every matrix."""
    random = torch.Generator().manual_seed(seed)
    rows = torch.randperm(A.shape[1], generator=random)[:k].to(A.device)
    return normalize(A[:, rows], dim=2)


def _leading_directions(A: Tensor, k: int) -> Tensor:
    """Return the k leading right singular vectors (batch, k, channels), from the smaller Gram matrix."""
    if A.shape[2] <= A.shape[1]:
        return torch.linalg.eigh(A.mT @ A).eigenvectors.flip(2)[:, :, :k].mT
    U = torch.linalg.eigh(A @ A.mT).eigenvectors.flip(2)[:, :, :k]
    return normalize(U.mT @ A, dim=2)
