"""PCA against numpy's SVD; random ablation against counting."""

import numpy as np
import pytest
import torch

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import pca, random_ablation


@pytest.mark.parametrize("shape", [(60, 9), (9, 60)])
@pytest.mark.parametrize("centered", [False, True])
def test_pca_is_the_truncated_svd(shape: tuple[int, int], centered: bool) -> None:
    A = np.random.default_rng(0).random(shape)
    solved = pca(A, [1, 3, 5], centered=centered)
    mean = A.mean(axis=0) if centered else 0
    U, s, Vt = np.linalg.svd(A - mean, full_matrices=False)
    for k, error in zip(solved.ranks, solved.relative_error, strict=True):
        best = U[:, :k] * s[:k] @ Vt[:k] + mean
        np.testing.assert_allclose(solved.reconstruct(k).numpy(), best, atol=1e-8)
        assert error == pytest.approx(np.linalg.norm(A - best) / np.linalg.norm(A), rel=1e-6)


def test_random_ablation_keeps_k_nested_channels() -> None:
    A = torch.rand(20, 12, generator=torch.Generator().manual_seed(0)) + 0.1
    solved = random_ablation(A, [3, 5, 12], draws=7, seed=2)
    assert (solved.masks(3).sum(dim=1) == 3).all()
    assert (solved.masks(3) <= solved.masks(5)).all()
    reconstructions = list(solved.reconstructions(5))
    assert len(reconstructions) == 7 and all(int((X.sum(dim=0) > 0).sum()) == 5 for X in reconstructions)
    assert torch.equal(next(iter(solved.reconstructions(12))), A)
    by_hand = np.mean([float((A - X).norm() / A.norm()) for X in reconstructions])
    assert solved.relative_error[1] == pytest.approx(by_hand, rel=1e-5)
    assert torch.equal(random_ablation(A, [3], seed=2, draws=7).masks(3), solved.masks(3))


def test_random_ablation_needs_a_draw() -> None:
    with pytest.raises(NmfdiagError, match="draw"):
        random_ablation(torch.ones(3, 3), [1], draws=0)
