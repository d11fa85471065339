"""Entries as large and small as float32 can hold, and inputs that are not a matrix: the reported error is that of the result."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import nmf, nmf_batch, pca, random_ablation, signed_nmf

ANY_SIGN = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
METHODS: dict[str, Callable[[Tensor], Any]] = {
    "signed": lambda A: signed_nmf(A, [2, 4]),
    "hals": lambda A: nmf(A.abs(), [2, 4]),
    "mu": lambda A: nmf(A.abs(), [2, 4], solver="mu"),
    "pca": lambda A: pca(A, [2, 4]),
    "centred pca": lambda A: pca(A, [2, 4], centered=True),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("largest", [3e38, 1e25, 1e19, 1.0, 1e-22, 1e-30, 1e-37])
def test_the_error_is_that_of_the_reconstruction(method: str, largest: float) -> None:
    A = (ANY_SIGN / ANY_SIGN.abs().max()).double().mul(largest).float()
    solved = METHODS[method](A)
    exact = (A.abs() if method in ("hals", "mu") else A).double() / largest
    for k, error in zip(solved.ranks, solved.relative_error, strict=True):
        W, H = solved.factors(k)
        assert bool(torch.isfinite(W).all()) and bool(torch.isfinite(H).all())
        missing = exact - solved.reconstruct(k).double() / largest
        assert error == pytest.approx(float(missing.norm() / exact.norm()), rel=1e-3, abs=1e-5)


def test_entries_of_one_smallest_number_are_no_error() -> None:
    for A in (torch.full((4, 3), 1e-45), torch.full((4, 3), 3.4e38)):
        for solved in (nmf(A, [1]), pca(A, [1]), signed_nmf(A, [1])):
            assert solved.relative_error[0] < 1e-3 and bool(torch.isfinite(solved.factors(1)[0]).all())


@pytest.mark.parametrize("shape", [(12, 6), (5, 6)])
def test_factors_of_the_full_rank_give_the_matrix_with_the_offset(shape: tuple[int, int]) -> None:
    A = ANY_SIGN[: shape[0]]
    solved = pca(A, [min(shape)], centered=True)
    W, H = solved.factors(min(shape))
    torch.testing.assert_close(W @ H + solved.offset, A)
    assert torch.equal(solved.reconstruct(min(shape)), A)


ODD: dict[str, Any] = {
    "without values": torch.empty(3, 3, device="meta"),
    "sparse": torch.eye(3).to_sparse(),
    "complex": torch.ones(2, 2, dtype=torch.complex64),
    "ndarray of object": np.array([[object()]]),
    "str": "abc",
    "NoneType": None,
    "list": [[1, 2], [3]],
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_matrix_is_named(kind: str) -> None:
    for function in (nmf, signed_nmf, pca, random_ablation, nmf_batch):
        with pytest.raises(NmfdiagError, match=f"real numbers, got .*{kind}") as raised:
            function(ODD[kind], [1])
        assert "0x" not in str(raised.value)


def test_either_byte_order_and_any_strides_are_taken() -> None:
    A = np.random.default_rng(0).random((6, 5)).astype("f4")
    assert nmf(A.astype(">f4"), [2]).relative_error == nmf(A, [2]).relative_error
    assert nmf(A[::-1], [2]).relative_error == nmf(A[::-1].copy(), [2]).relative_error


@pytest.mark.parametrize("ranks", [5, "ab", [None], [float("nan")], [float("inf")], [1j], [[1]], None, [object()]])
def test_ranks_that_are_none_are_named(ranks: Any) -> None:
    for function in (nmf, pca, random_ablation):
        with pytest.raises(NmfdiagError, match=r"Ranks must be whole numbers in 1 \.\. 6") as raised:
            function(ANY_SIGN.abs(), ranks)
        assert "0x" not in str(raised.value)


@pytest.mark.parametrize("seed", ["a", None, 1.5, -1, 2**70, True])
def test_seeds_that_are_none_are_named(seed: Any) -> None:
    for function in (nmf, random_ablation):
        with pytest.raises(NmfdiagError, match="A seed must be a whole number"):
            function(ANY_SIGN.abs(), [2], seed=seed)
    assert nmf(ANY_SIGN.abs(), [2], seed=np.int64(3)).relative_error == nmf(ANY_SIGN.abs(), [2], seed=3).relative_error


@pytest.mark.parametrize("options", [{"tol": "x"}, {"tol": float("nan")}, {"max_iter": "3"}, {"n_starts": 0}, {"solver": []}, {"start": {2: "x"}}])  # fmt: skip
def test_options_that_are_none_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(NmfdiagError, match=r"must be positive|Unknown NMF solver|A start of rank 2"):
        nmf(ANY_SIGN.abs(), [2], **options)
