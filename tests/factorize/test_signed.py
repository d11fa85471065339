"""Signed NMF: a planted factorisation, plain NMF where nothing is negative, and errors that are those of the matrix itself."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from nmfdiag.errors import Cancelled, NmfdiagError
from nmfdiag.factorize import (
    default_ranks,
    nmf,
    nmf_batch,
    signed_full_rank,
    signed_nmf,
    signed_nmf_batch,
    signed_ranks,
)


def gelus(rows: int = 600, channels: int = 24, rank: int = 6, seed: int = 0) -> Tensor:
    """Return activations of a random layer after a GELU."""
    random = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, rank, generator=random) @ torch.randn(rank, channels, generator=random)
    return torch.nn.functional.gelu(hidden)


def error(A: Tensor, X: Tensor) -> float:
    return float((A - X).double().norm() / A.double().norm())


def test_a_planted_signed_factorisation_is_recovered() -> None:
    """Patterns that raise some channels and lower others; where two overlap they agree, so nothing cancels."""
    random = torch.Generator().manual_seed(1)
    W = torch.rand(3000, 4, generator=random) * (torch.rand(3000, 4, generator=random) > 0.5)
    signs = torch.randint(0, 2, (32,), generator=random) * 2 - 1
    H = torch.block_diag(*[torch.rand(1, 8, generator=random) for _ in range(4)])
    H[0, 8:12] = 0.5
    A = W @ (H * signs)
    solved = signed_nmf(A, [4])
    assert solved.relative_error[0] < 2e-3 and solved.method == "signed"
    patterns = torch.nn.functional.normalize(solved.factors(4)[1], dim=1)
    planted = torch.nn.functional.normalize(H * signs, dim=1)
    assert (patterns @ planted.T).amax(0).min() > 0.99
    assert A.min() < 0 < A.max()


@pytest.mark.parametrize("options", [{}, {"solver": "mu", "max_iter": 40}, {"n_starts": 2, "seed": 3, "tol": 1e-3}])
def test_without_a_negative_entry_it_is_plain_nmf(options: dict) -> None:
    A, grid = gelus().clamp_min(0), [1, 3, 8, 24]
    signed, plain = signed_nmf(A, grid, **options), nmf(A, grid, **options)
    assert signed.full_rank == plain.full_rank == signed_full_rank(A) == 24
    assert signed.relative_error == plain.relative_error and signed.n_iter == plain.n_iter
    for k in grid:
        assert all(torch.equal(a, b) for a, b in zip(signed.factors(k), plain.factors(k), strict=True))
        assert torch.equal(signed.reconstruct(k), plain.reconstruct(k))


def test_errors_are_those_of_the_matrix_itself() -> None:
    A, grid = gelus(), [1, 2, 4, 8, 16, 32, 48]
    before = A.clone()
    solved = signed_nmf(A, grid)
    assert solved.relative_error == pytest.approx([error(A, solved.reconstruct(k)) for k in grid], rel=1e-3, abs=1e-7)
    assert all(a > b for a, b in zip(solved.relative_error, solved.relative_error[1:], strict=False))
    assert solved.absolute_error[0] == pytest.approx(solved.relative_error[0] * float(A.norm()), rel=1e-4)
    for k in grid:
        W, H = solved.factors(k)
        assert W.shape == (600, k) and H.shape == (k, 24) and W.min() >= 0
    assert solved.factors(8)[1].min() < 0
    assert torch.equal(A, before)
    parts = nmf(torch.cat([A.clamp_min(0), -A.clamp_max(0)], 1), [8])
    assert solved.relative_error[3] <= math.sqrt(2) * parts.relative_error[0] * 1.001


@pytest.mark.parametrize(("shape", "full"), [((100, 8), 16), ((12, 8), 12), ((8, 8), 8), ((5, 8), 5)])
def test_full_rank_is_the_matrix_itself(shape: tuple[int, int], full: int) -> None:
    A = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert signed_full_rank(A) == full
    solved = signed_nmf(A, [2, full])
    W, H = solved.factors(full)
    assert W.shape == (shape[0], full) and W.min() >= 0
    assert torch.equal(solved.reconstruct(full), A) and torch.equal(W @ H, A)
    assert solved.relative_error[1] == 0 and solved.n_iter[1] == 0 and solved.converged[1]
    with pytest.raises(NmfdiagError, match=rf"1 \.\. {full}"):
        signed_nmf(A, [full + 1])


def test_the_grid_is_that_of_plain_nmf_and_the_full_rank() -> None:
    A = gelus(100, 16)
    assert signed_ranks(A, default_ranks) == [1, 2, 3, 4, 6, 8, 12, 16, 32]
    assert signed_ranks(A.clamp_min(0), default_ranks) == default_ranks(16)
    assert signed_ranks(A[:24], default_ranks) == [*default_ranks(16), 24]
    assert signed_ranks(A[:12], default_ranks) == default_ranks(12)


def test_it_goes_on_from_a_start() -> None:
    A = gelus()
    first = signed_nmf(A, [4, 8])
    again = signed_nmf(A * 1.01, [4, 8], start={k: first.factors(k)[1] for k in (4, 8)})
    assert again.relative_error == pytest.approx(first.relative_error, rel=0.02)
    assert sum(again.n_iter) < sum(first.n_iter)
    plain = A.clamp_min(0)
    starts = {4: nmf(plain, [4]).factors(4)[1]}
    assert signed_nmf(plain, [4], start=starts).relative_error == nmf(plain, [4], start=starts).relative_error
    with pytest.raises(NmfdiagError, match="start of rank 4"):
        signed_nmf(A, [4], start={4: first.factors(8)[1]})


def test_several_matrices_in_one_call() -> None:
    """Factorise matrices with and without negative entries, in any order."""
    matrices = torch.stack([gelus(seed=0), gelus(seed=1).clamp_min(0), gelus(seed=2)])
    together = signed_nmf_batch(matrices, [2, 6])
    for A, factorization in zip(matrices, together, strict=True):
        alone = signed_nmf(A, [2, 6])
        assert factorization.relative_error == pytest.approx(alone.relative_error, rel=1e-3)
        assert factorization.full_rank == alone.full_rank and factorization.norm == pytest.approx(
            float(A.norm()), rel=1e-5
        )
    assert together[1].relative_error == nmf_batch(matrices[1:2], [2, 6])[0].relative_error


def test_numpy_doubles_and_tiny_values() -> None:
    A = gelus(40, 6).double().numpy() * 1e-20
    before = A.copy()
    solved = signed_nmf(A, [3, 12])
    assert solved.factors(3)[0].dtype == torch.float64 and np.array_equal(A, before)
    assert solved.relative_error[0] == pytest.approx(signed_nmf(A * 1e20, [3]).relative_error[0], rel=1e-3)


def test_what_is_wrong_is_said() -> None:
    for A, message in (
        (torch.zeros(4, 3), "all zero"),
        (torch.full((4, 3), float("nan")), "NaN"),
        (torch.randn(4), "shape"),
    ):
        with pytest.raises(NmfdiagError, match=message):
            signed_nmf(A, [1])
    with pytest.raises(NmfdiagError, match="batch of matrices"):
        signed_nmf_batch(torch.randn(4, 3), [1])
    with pytest.raises(NmfdiagError, match="solver"):
        signed_nmf(gelus(), [2], solver="als")
    with pytest.raises(NmfdiagError, match='"signed"'):
        nmf(gelus(), [2])


def test_it_can_be_cancelled() -> None:
    def stop(share: float, text: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        signed_nmf(gelus(), [2], on_progress=stop)
