"""NMF against scikit-learn, a planted answer, and its own promises; on ReLU features of the real digits."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF
from torch import Tensor

from nmfdiag.errors import Cancelled, NmfdiagError
from nmfdiag.factorize import default_ranks, nmf, nmf_batch
from nmfdiag.factorize.threads import subnormals

RANKS = [1, 2, 4, 8, 16, 24]


@pytest.fixture(scope="module")
def features() -> Tensor:
    """ReLU features (800, 64) of the digits."""
    x = torch.tensor(load_digits().data[:800] / 16, dtype=torch.float32)
    mix = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    return torch.relu((x - 0.3) @ mix / 4)


def direct_errors(A: Tensor, solved: object, ranks: list[int]) -> list[float]:
    return [float((A - solved.reconstruct(k)).double().norm() / A.double().norm()) for k in ranks]  # type: ignore[attr-defined]


def test_hals_is_as_good_as_scikit_learn(features: Tensor) -> None:
    ranks = [1, 4, 12]
    solved = nmf(features, ranks)
    theirs = []
    for k in ranks:
        model = NMF(k, init="nndsvd", max_iter=500)
        W = model.fit_transform(features.numpy())
        theirs.append(np.linalg.norm(features.numpy() - W @ model.components_) / float(features.norm()))
    assert np.mean(np.array(solved.relative_error) / theirs) < 1.005


@pytest.mark.parametrize("solver", ["hals", "mu"])
def test_errors_are_those_of_the_factors(features: Tensor, solver: str) -> None:
    before = features.clone()
    solved = nmf(features, RANKS, solver=solver)
    assert solved.relative_error == pytest.approx(direct_errors(features, solved, RANKS), rel=1e-3)
    assert all(a > b for a, b in zip(solved.relative_error, solved.relative_error[1:], strict=False))
    for k in RANKS:
        W, H = solved.factors(k)
        assert W.shape == (800, k) and H.shape == (k, 64)
        assert W.min() >= 0 and H.min() >= 0
    assert torch.equal(features, before)


def test_a_planted_factorisation_is_recovered() -> None:
    random = torch.Generator().manual_seed(1)
    W = torch.rand(5000, 4, generator=random) * (torch.rand(5000, 4, generator=random) > 0.5)
    A = W @ torch.block_diag(*[torch.rand(1, 8, generator=random) for _ in range(4)])
    assert nmf(A, [4]).relative_error[0] < 1e-3


def test_multiplicative_updates_never_rise(features: Tensor) -> None:
    errors = [nmf(features, [8], solver="mu", max_iter=n, tol=1e-12).relative_error[0] for n in (1, 3, 10, 30, 100)]
    assert all(a >= b for a, b in itertools.pairwise(errors))


def test_hals_gains_by_iterating(features: Tensor) -> None:
    early, late = (nmf(features, [16], max_iter=n).relative_error[0] for n in (1, 100))
    assert late < 0.99 * early


@pytest.mark.parametrize("shape", [(40, 8), (8, 40)])
def test_full_rank_is_the_matrix_itself(shape: tuple[int, int]) -> None:
    A = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    solved = nmf(A, [2, 8])
    W, H = solved.factors(8)
    assert torch.equal(solved.reconstruct(8), A) and torch.equal(W @ H, A)
    assert solved.relative_error[1] == 0 and solved.n_iter[1] == 0 and solved.converged[1]


@pytest.mark.parametrize("solver", ["hals", "mu"])
def test_same_seed_same_answer(features: Tensor, solver: str) -> None:
    tall = torch.cat([features] * 6)
    first, second, with_other_seed = (
        nmf(tall, [6], solver=solver, seed=s, max_iter=20).factors(6)[1] for s in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, with_other_seed)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(features: Tensor, dtype: torch.dtype) -> None:
    solved = nmf(features.to(dtype), [4])
    assert solved.factors(4)[0].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert solved.relative_error[0] == pytest.approx(nmf(features, [4]).relative_error[0], rel=0.01)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scale_does_not_matter(features: Tensor, scale: float) -> None:
    A = features.double()
    assert nmf(A * scale, [4]).relative_error[0] == pytest.approx(nmf(A, [4]).relative_error[0], rel=1e-3)


def test_numpy_and_dead_channels() -> None:
    A = np.random.default_rng(0).random((30, 6)).astype(np.float32)
    A[:, 2] = 0
    A[3] = 0
    solved = nmf(A, [3])
    assert np.isfinite(solved.relative_error[0]) and torch.isfinite(solved.reconstruct(3)).all()


def test_progress_and_cancelling(features: Tensor) -> None:
    shares: list[float] = []
    nmf(features, RANKS, on_progress=lambda share, text: shares.append(share))
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 5

    def stop(share: float, text: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        nmf(features, RANKS, on_progress=stop)


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (torch.ones(3), "shape"),
        (torch.zeros(3, 3), "all zero"),
        (torch.tensor([[1.0, float("nan")]]), "NaN"),
        (torch.tensor([[1.0, -1.0]]), "negative"),
    ],
)
def test_bad_matrices(A: Tensor, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        nmf(A, [1])


@pytest.mark.parametrize("ranks", [[], [0], [7], [1.5]])
def test_bad_ranks(ranks: list) -> None:
    with pytest.raises(NmfdiagError, match="Ranks must be"):
        nmf(torch.ones(6, 6), ranks)


def test_the_default_grid_ends_at_the_full_rank() -> None:
    for full in (1, 2, 3, 5, 20, 50, 64, 512):
        grid = default_ranks(full)
        assert grid[-1] == full and grid == sorted(set(grid)) and grid[0] == 1


def test_a_batch_gives_what_each_matrix_gives(features: Tensor) -> None:
    halves = features.reshape(2, 400, 64)
    together = nmf_batch(halves, RANKS)
    for A, factorization in zip(halves, together, strict=True):
        alone = nmf(A, RANKS)
        assert factorization.relative_error == pytest.approx(alone.relative_error, rel=1e-3)
        assert factorization.relative_error == pytest.approx(direct_errors(A, factorization, RANKS), rel=1e-3)


def test_a_batch_samples_rows_as_one_matrix_does(features: Tensor) -> None:
    tall = torch.cat([features] * 12)
    together = nmf_batch(torch.stack([tall, tall.flip(0)]), [4, 16])
    assert together[0].relative_error == pytest.approx(nmf(tall, [4, 16]).relative_error, rel=1e-3)


def test_bad_batches(features: Tensor) -> None:
    with pytest.raises(NmfdiagError, match="batch of matrices"):
        nmf_batch(features, [2])
    with pytest.raises(NmfdiagError, match="all zero"):
        nmf_batch(torch.stack([features, torch.zeros_like(features)]), [2])


def test_threads_change_rounding_only(features: Tensor) -> None:
    tall = torch.cat([features] * 12)
    alone = nmf(tall, [4, 16], max_iter=20)
    torch.set_num_threads(2)
    try:
        several = nmf(tall, [4, 16], max_iter=20)
        again = nmf(tall, [4, 16], max_iter=20)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert several.relative_error == pytest.approx(alone.relative_error, rel=1e-3)
    assert torch.equal(several.factors(16)[0], again.factors(16)[0])


def test_the_trace_falls_to_the_error(features: Tensor) -> None:
    for solver in ("hals", "mu"):
        solved = nmf(features, [6, 12], solver=solver)
        for k, error in zip(solved.ranks, solved.relative_error, strict=True):
            seconds, errors = zip(*solved.trace[k], strict=True)
            assert list(seconds) == sorted(seconds) and seconds[0] > 0
            assert errors[-1] == pytest.approx(error) and errors[-1] < errors[0]


def test_tall_and_flat_matrices_leave_no_row_out() -> None:
    random = torch.Generator().manual_seed(0)
    for rows in (3, 1499, 3001, 8200, 33000):
        A = torch.rand(rows, 12, generator=random)
        solved = nmf(A, [2])
        assert solved.factors(2)[0].shape == (rows, 2)
        assert solved.relative_error[0] == pytest.approx(direct_errors(A, solved, [2])[0], rel=1e-3)


def test_subnormals_are_flushed_and_put_back() -> None:
    tiny = torch.tensor([1e-39])
    with subnormals(keep=False):
        assert float(tiny * 0.5) == 0
        with subnormals(keep=True):
            assert float(tiny * 0.5) > 0
        assert float(tiny * 0.5) == 0
    assert float(tiny * 0.5) > 0
    nmf(torch.rand(20, 5), [2])
    assert float(tiny * 0.5) > 0


def test_a_rank_can_go_on_from_an_earlier_h() -> None:
    A = torch.rand(300, 6, generator=torch.Generator().manual_seed(0)) @ torch.rand(
        6, 40, generator=torch.Generator().manual_seed(1)
    )
    before = nmf(A, [2, 4])
    near = (A + 0.01 * torch.rand(A.shape, generator=torch.Generator().manual_seed(2))).clamp_min(0)
    continued = nmf(near, [2, 4, 8], start={k: before.factors(k)[1] for k in (2, 4)})
    cold = nmf(near, [2, 4, 8])
    assert continued.relative_error == pytest.approx(cold.relative_error, rel=0.02)
    soon = nmf(near, [4], start={4: before.factors(4)[1]}, max_iter=2).relative_error[0]
    assert soon < nmf(near, [4], n_starts=1, max_iter=2).relative_error[0]  # it continues from the start
    dead = nmf(near, [4], start={4: torch.eye(4, 40) * torch.tensor([1.0, 1.0, 0.0, 0.0])[:, None]})
    assert dead.relative_error[0] == pytest.approx(cold.relative_error[1], rel=0.05)  # zero components recover
    for wrong in (torch.ones(3, 40), -torch.ones(4, 40), torch.full((4, 40), float("nan"))):
        with pytest.raises(NmfdiagError, match="start of rank 4"):
            nmf(near, [4], start={4: wrong})
