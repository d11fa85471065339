"""Label randomisation and its checks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmfdiag.data.labels import check_labels, randomize_labels
from nmfdiag.errors import NmfdiagError

TRUE = torch.arange(20_000) % 10


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_the_share_of_wrong_labels_is_nine_tenths_of_p(p: float) -> None:
    noisy = randomize_labels(TRUE, p, 10, seed=3)
    assert noisy.wrong.float().mean().item() == pytest.approx(0.9 * p, abs=0.012)  # 3.5 standard deviations
    assert noisy.label_noise == p


def test_drawn_labels_are_uniform_and_tell_nothing_of_the_true_ones() -> None:
    noisy = randomize_labels(TRUE, 1.0, 10, seed=0)
    table = torch.bincount(10 * noisy.true + noisy.given, minlength=100).double()
    chi_square = ((table - 200) ** 2 / 200).sum().item()
    assert chi_square < 149.4  # the 0.1 % point at 99 degrees of freedom


@given(seed=st.integers(0, 2**32), low=st.floats(0, 1), high=st.floats(0, 1))
@settings(max_examples=40)
def test_levels_are_nested(seed: int, low: float, high: float) -> None:
    low, high = sorted((low, high))
    true = torch.arange(300) % 7
    less_noisy, noisier = (randomize_labels(true, p, 7, seed=seed) for p in (low, high))
    assert torch.equal(noisier.given[less_noisy.wrong], less_noisy.given[less_noisy.wrong])
    assert bool((noisier.wrong | ~less_noisy.wrong).all())


def test_the_seed_decides_and_the_input_is_left_alone() -> None:
    before = TRUE.clone()
    first, again, with_other_seed = (randomize_labels(TRUE, 0.5, 10, seed=s).given for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, with_other_seed)
    assert torch.equal(TRUE, before)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_out_of_range(p: float) -> None:
    with pytest.raises(NmfdiagError, match=r"Label noise p must lie in \[0, 1\], got"):
        randomize_labels(TRUE, p, 10)


@pytest.mark.parametrize(
    "labels", [torch.tensor([0.0, 1.0]), torch.zeros(2, 2, dtype=torch.long), torch.empty(0).long()]
)
def test_labels_of_the_wrong_kind(labels: torch.Tensor) -> None:
    with pytest.raises(NmfdiagError, match=r"Labels must be whole numbers of shape \(n,\), got torch\."):
        check_labels(labels, 2)


@pytest.mark.parametrize(("labels", "range_"), [([0, 3], "0 .. 3"), ([-1, 2], "-1 .. 2")])
def test_labels_out_of_range(labels: list[int], range_: str) -> None:
    with pytest.raises(NmfdiagError, match=rf"^Labels must lie in 0 \.\. 2, got {range_}\.$"):
        check_labels(torch.tensor(labels), 3)


def test_labels_become_int64() -> None:
    checked = check_labels(torch.tensor([0, 2], dtype=torch.uint8), 3)
    assert checked.dtype == torch.int64
    assert checked.tolist() == [0, 2]
