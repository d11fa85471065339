"""The compiled inner loops against torch operations, and Triton's kernel in its interpreter against both."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from nmfdiag.factorize import kernels, llvm_compile, triton_sweep
from nmfdiag.factorize.kernels import Grams, Inner, Sweep, torch_sweep_

RANKS = (1, 2, 3, 4, 5, 8, 13, 64, 67)

Problems = tuple[list[Tensor], list[Tensor], list[Tensor]]


def problems(columns: int, dtype: torch.dtype) -> Problems:
    """Return X, B and G of every rank for two matrices; one component of rank 5 is dead."""
    random = torch.Generator().manual_seed(0)
    A = torch.rand(2, 30, columns, generator=random, dtype=dtype)
    Ys = [torch.rand(2, 30, k, generator=random, dtype=dtype) for k in RANKS]
    Ys[4][:, :, 2] = 0
    stack = torch.rand(2, sum(RANKS), columns, generator=random, dtype=dtype)
    return list(stack.split(RANKS, dim=1)), [Y.mT @ A for Y in Ys], [(Y.mT @ Y).contiguous() for Y in Ys]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [1, 50, 64, 200])
def test_the_compiled_sweep_is_the_plain_one(columns: int, dtype: torch.dtype) -> None:
    assert llvm_compile.kernels("float") is not None, "no machine code on this processor: everything would be slow"
    (Xs, Bs, Gs), (expected, expected_Bs, _) = problems(columns, dtype), problems(columns, dtype)
    Sweep(Xs, Bs, Gs)(3)
    for X, B, G in zip(expected, expected_Bs, Gs, strict=True):
        torch_sweep_(X, B, G, 3)
    for got, right, B in zip(Xs, expected, Bs, strict=True):
        torch.testing.assert_close(got, right, rtol=1e-4, atol=1e-5)
        assert torch.equal(got, B)


def test_a_sweep_finds_the_minimum_of_each_component() -> None:
    X, B, G = (tensors[:1] for tensors in problems(40, torch.float64))  # rank 1: least squares
    answer = (B[0] / G[0]).clamp_min(0)
    Sweep(X, B, G)(1)
    torch.testing.assert_close(X[0], answer)


def test_a_dead_component_stays_as_it_is() -> None:
    Xs, Bs, Gs = problems(20, torch.float32)
    before = Xs[4][:, 2].clone()
    Sweep(Xs, Bs, Gs)(2)
    assert torch.equal(Xs[4][:, 2], before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [1, 50, 333])
def test_gram_matrices_and_inner_products(columns: int, dtype: torch.dtype) -> None:
    Xs, Bs, _ = problems(columns, dtype)
    out = [torch.full((2, k, k), float("nan"), dtype=dtype) for k in RANKS]
    grams = Grams(Xs, out)
    grams()
    for X, S in zip(Xs, out, strict=True):
        torch.testing.assert_close(S, X @ X.mT, rtol=1e-4, atol=1e-5)
    grams(add=True)
    for X, S in zip(Xs, out, strict=True):
        torch.testing.assert_close(S, 2 * X @ X.mT, rtol=1e-4, atol=1e-5)
    right = torch.stack([(X.double() * B.double()).sum((1, 2)) for X, B in zip(Xs, Bs, strict=True)], 1)
    torch.testing.assert_close(Inner(Xs, Bs)(), right, rtol=1e-6, atol=0)


def test_without_machine_code_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from nmfdiag.factorize import nmf

    A = torch.rand(300, 40, generator=torch.Generator().manual_seed(0))
    compiled = nmf(A, [3, 8])
    monkeypatch.setattr(kernels, "kernels", lambda scalar: None)
    plain = nmf(A, [3, 8])
    assert plain.relative_error == pytest.approx(compiled.relative_error, rel=1e-3)


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the kernel in Triton's interpreter, for which it is compiled again."""
    pytest.importorskip("triton", reason="torch came without Triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    triton_sweep._kernel.cache_clear()
    yield
    triton_sweep._kernel.cache_clear()


@pytest.mark.usefixtures("interpreted")
def test_tritons_kernel_is_the_plain_sweep() -> None:
    assert "Interpreted" in type(triton_sweep._kernel()).__name__
    random = torch.Generator().manual_seed(0)
    for columns, k in ((70, 3), (20, 1)):
        Y = torch.rand(2, 9, k, generator=random)
        Y[:, :, -1] *= k == 1
        B, G = Y.mT @ torch.rand(2, 9, columns, generator=random), (Y.mT @ Y).contiguous()
        stack = torch.rand(2, k + 3, columns, generator=random)
        X, plain = stack[:, 1 : k + 1], stack[:, 1 : k + 1].clone()
        expected = B.clone()
        triton_sweep.triton_sweep_(X, B, G, 2)
        torch_sweep_(plain, expected, G, 2)
        torch.testing.assert_close(X, plain)
        assert torch.equal(X, B)
