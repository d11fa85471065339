"""For every matrix each method gives the right answer or a clear error; chunks, threads and order change no answer."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import Factorization, RandomAblation, hals, hals_iterations, nmf, nmf_batch, pca, random_ablation

KINDS = ("uniform", "constant", "one-hot", "one entry", "rank 1", "sparse", "relu", "dead channels", "wide range")
SCALES = (1.0, 1e30, 1e37, 1e5, 2e6, 1e-5, 1e-7, 1e-30, 1e-41)
METHODS = ("hals", "mu", "batch", "pca", "centred", "random")
ROUNDING = 2e-3
RISE = 0.03
"""Share by which the error of a larger rank may exceed that of a smaller one: NMF has local minima."""
properties = settings(max_examples=20)


def values(kind: str, n: int, m: int, seed: int) -> np.ndarray:
    """Return a matrix of a kind with entries of about 1, in float64."""
    rng = np.random.default_rng(seed)
    A = rng.random((n, m))
    if kind == "constant":
        A[:] = 3.0
    elif kind == "one-hot":
        A = np.eye(m)[rng.integers(0, m, n)]
    elif kind == "one entry":
        A[:] = 0
        A[rng.integers(n), rng.integers(m)] = 2.0
    elif kind == "rank 1":
        A = np.outer(rng.random(n) + 0.01, rng.random(m) + 0.01)
    elif kind == "sparse":
        A *= rng.random((n, m)) < 0.2
    elif kind == "relu":
        A = np.maximum(rng.normal(size=(n, m)), 0)
    elif kind == "dead channels":
        A[:, : m // 2] = 0
    elif kind == "wide range":
        A = 10.0 ** rng.uniform(-30, 0, (n, m))
    return A


@st.composite
def matrices(draw: st.DrawFn, scales: tuple[float, ...] = SCALES, largest_side: int = 24) -> Tensor:
    n, m = draw(st.integers(1, largest_side)), draw(st.integers(1, largest_side))
    A = values(draw(st.sampled_from(KINDS)), n, m, draw(st.integers(0, 5))) * draw(st.sampled_from(scales))
    return torch.from_numpy(A).to(draw(st.sampled_from((torch.float32, torch.float64))))


def solved(method: str, A: Tensor, ranks: list[int]) -> Factorization | RandomAblation:
    if method == "batch":
        return nmf_batch(A[None], ranks)[0]
    if method == "random":
        return random_ablation(A, ranks, draws=3)
    if method in ("pca", "centred"):
        return pca(A, ranks, centered=method == "centred")
    return nmf(A, ranks, solver=method, max_iter=60)


def some_ranks(A: Tensor, method: str) -> list[int]:
    full = A.shape[1] if method == "random" else min(A.shape)
    return sorted({1, max(1, full // 3), max(1, full - 1), full})


def error_of(A: Tensor, B: Tensor) -> float:
    """Return ``||A - B|| / ||A||`` in float64, of scaled entries, without over- or underflow."""
    scale = float(A.double().abs().max())
    return float(((A.double() - B.double()) / scale).norm() / (A.double() / scale).norm())


@pytest.mark.parametrize("method", METHODS)
@properties
@given(A=matrices())
def test_errors_are_those_of_the_reconstructions(method: str, A: Tensor) -> None:
    before, ranks = A.clone(), some_ranks(A, method)
    if not A.any():
        with pytest.raises(NmfdiagError, match="all zero"):
            solved(method, A, ranks)
        return
    result = solved(method, A, ranks)
    assert result.ranks == ranks and torch.equal(A, before)
    assert math.isfinite(result.norm) and all(map(math.isfinite, result.absolute_error))
    for k, error in zip(result.ranks, result.relative_error, strict=True):
        approximations = list(result.reconstructions(k))
        assert all(bool(torch.isfinite(B).all()) for B in approximations)
        assert error == pytest.approx(np.mean([error_of(A, B) for B in approximations]), abs=ROUNDING)
        assert 0 <= error <= 1 + ROUNDING
        assert method in ("pca", "centred") or all(bool((B >= 0).all()) for B in approximations)
    if method != "random":
        assert torch.equal(result.reconstruct(result.full_rank), A) or method == "centred"


@pytest.mark.parametrize("method", ["hals", "pca", "random"])
@properties
@given(A=matrices())
def test_errors_fall_with_the_rank(method: str, A: Tensor) -> None:
    assume(bool(A.any()))
    full = A.shape[1] if method == "random" else min(A.shape)
    errors = solved(method, A, list(range(1, full + 1))).relative_error
    rise = RISE if method == "hals" else 0.0
    assert all(later <= (1 + rise) * earlier + ROUNDING for earlier, later in pairwise(errors))
    assert errors[-1] <= ROUNDING


@properties
@given(A=matrices(), k=st.integers(1, 24))
def test_no_nmf_beats_the_singular_values_and_pca_is_these(A: Tensor, k: int) -> None:
    assume(bool(A.any()) and k <= min(A.shape))
    scaled = A.double().numpy() / float(A.double().max())
    singular = np.linalg.svd(scaled, compute_uv=False)
    best = float(np.sqrt((singular[k:] ** 2).sum() / (singular**2).sum()))
    assert pca(A, [k]).relative_error[0] == pytest.approx(best, abs=ROUNDING)
    assert nmf(A, [k], max_iter=60).relative_error[0] >= best - ROUNDING


@properties
@given(n=st.integers(1, 30), m=st.integers(1, 30), kind=st.sampled_from(("constant", "one entry", "rank 1")), scale=st.sampled_from(SCALES))  # fmt: skip
def test_what_has_rank_one_is_found_at_rank_one(n: int, m: int, kind: str, scale: float) -> None:
    A = torch.from_numpy(values(kind, n, m, 0) * scale)
    for method in ("hals", "pca"):
        assert solved(method, A, [1]).relative_error[0] < ROUNDING


@pytest.mark.parametrize("solver", ["hals", "mu"])
@properties
@given(A=matrices(scales=(1.0,)), power=st.integers(-110, 110))
def test_a_multiple_of_a_matrix_has_the_same_factors_but_for_the_scale(solver: str, A: Tensor, power: int) -> None:
    A = (A * (A > 1e-4)).double()  # so that nothing of it is lost below the smallest number
    assume(bool(A.any()))
    ranks, factor = some_ranks(A, "nmf"), 2.0**power
    plain, multiplied = (nmf(X, ranks, solver=solver, max_iter=30) for X in (A, A * factor))
    tight = 1e-9 if solver == "hals" else ROUNDING  # where MU's denominators are zero it has a constant in their place
    for k in ranks:
        assert error_of(plain.reconstruct(k), multiplied.reconstruct(k) / factor) < tight
    assert multiplied.relative_error == pytest.approx(plain.relative_error, abs=tight)
    assert multiplied.norm == pytest.approx(plain.norm * factor)


@properties
@given(A=matrices(scales=(1.0, 1e30, 1e-30)), seed=st.integers(0, 99))
def test_the_order_of_rows_changes_nothing(A: Tensor, seed: int) -> None:
    assume(bool(A.any()))
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(A)))
    for method in ("pca", "random"):
        ranks = some_ranks(A, method)
        errors = solved(method, A[order], ranks).relative_error
        assert errors == pytest.approx(solved(method, A, ranks).relative_error, abs=1e-6)
    ranks = some_ranks(A, "hals")  # from two starts, as curves have them, which are found in the matrix and not drawn
    plain_errors, reordered_errors = (nmf(X, ranks, n_starts=2).relative_error for X in (A, A[order]))
    assert reordered_errors == pytest.approx(plain_errors, rel=RISE, abs=ROUNDING)


@contextmanager
def computing(threads: int = 1, rows: int | None = None) -> Iterator[None]:
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        if rows is not None:
            patch.setattr(hals_iterations, "_chunk_rows", lambda numbers: rows)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@pytest.mark.parametrize(("threads", "rows"), [(1, 64), (1, 501), (2, 64), (2, None), (3, 300)])
@pytest.mark.parametrize("kind", ["relu", "one-hot", "wide range"])
def test_neither_chunks_nor_threads_change_the_answer(kind: str, threads: int, rows: int | None) -> None:
    A, ranks = torch.from_numpy(values(kind, 1400, 10, 0)), [1, 2, 5, 9, 10]
    plain = nmf(A, ranks, max_iter=25)
    with computing(threads, rows):
        chunked = nmf(A, ranks, max_iter=25)
    assert chunked.relative_error == pytest.approx(plain.relative_error, rel=1e-3, abs=1e-6)
    for k in ranks:
        assert error_of(plain.reconstruct(k), chunked.reconstruct(k)) < 0.02


@properties
@given(A=matrices(largest_side=12), seed=st.integers(0, 5))
def test_a_batch_has_the_answers_of_its_matrices(A: Tensor, seed: int) -> None:
    B = torch.from_numpy(values("relu", *A.shape, seed)).to(A.dtype)
    assume(bool(A.any()) and bool(B.any()))
    ranks = some_ranks(A, "hals")
    for alone, batched in zip((A, B), nmf_batch(torch.stack([A, B]), ranks, max_iter=40), strict=True):
        assert batched.relative_error == pytest.approx(
            nmf(alone, ranks, max_iter=40).relative_error, rel=RISE, abs=ROUNDING
        )
        assert torch.equal(batched.reconstruct(batched.full_rank), alone)


@pytest.mark.parametrize("rows", [41, 60, 100, 400])
def test_ranks_beyond_the_rows_of_a_sample_are_found(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Factorise at ranks above the number of sampled rows, which are too few for a start."""
    sizes = {"ONE_STAGE": 40, "COARSE_ROWS": 20, "TWO_SAMPLES": 90, "MIDDLE_ROWS": 80}
    for name, size in sizes.items():
        monkeypatch.setattr(hals, name, size)
    A = torch.from_numpy(values("relu", rows, 50, 0))
    ranks = [1, 12, 25, 30, 40]
    result = nmf(A, ranks, max_iter=20)
    assert result.ranks == ranks and result.factors(40)[0].shape == (rows, 40)
    assert all(later <= earlier for earlier, later in pairwise(result.relative_error))
    for k, error in zip(ranks, result.relative_error, strict=True):
        assert error == pytest.approx(error_of(A, result.reconstruct(k)), abs=ROUNDING)


@pytest.mark.parametrize(
    ("value", "message"), [(float("inf"), "NaN or infinite"), (float("nan"), "NaN or infinite"), (-1.0, "negative")]
)
@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_activation_is_named(method: str, value: float, message: str) -> None:
    A = torch.ones(4, 3)
    A[2, 1] = value
    if message == "negative" and method in ("pca", "centred", "random"):
        assert solved(method, A, [3]).relative_error == [pytest.approx(0, abs=1e-6)]
        return
    with pytest.raises(NmfdiagError, match=message):
        solved(method, A, [1])


@pytest.mark.parametrize("method", METHODS)
def test_what_overflows_float16_is_named_and_what_fits_is_computed(method: str) -> None:
    with pytest.raises(NmfdiagError, match="NaN or infinite"):
        solved(method, torch.full((4, 3), 70000.0).half(), [1])
    result = solved(method, torch.full((4, 3), 60000.0).half(), [3])
    assert result.relative_error == [pytest.approx(0, abs=1e-6)] and math.isfinite(result.norm)
