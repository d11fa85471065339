"""Label randomisation and the checks of labels."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmfdiag.data import NoisyLabels, check_labels, load, randomize_labels
from nmfdiag.errors import NmfdiagError

TRUE = torch.arange(20_000) % 10


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 3])
def test_the_share_of_wrong_labels_is_nine_tenths_of_p(p: float, seed: int) -> None:
    noisy = randomize_labels(TRUE, p, 10, seed=seed)
    share = 0.9 * p
    bound = 3.5 * (share * (1 - share) / len(TRUE)) ** 0.5
    assert noisy.wrong.float().mean().item() == pytest.approx(share, abs=bound + 1e-9)
    assert noisy.label_noise == p


def test_no_noise_changes_nothing() -> None:
    noisy = randomize_labels(TRUE, 0, 10)
    assert torch.equal(noisy.given, TRUE)
    assert not noisy.wrong.any()


def test_drawn_labels_are_uniform_and_tell_nothing_of_the_true_ones() -> None:
    noisy = randomize_labels(TRUE, 1.0, 10, seed=0)
    table = torch.bincount(10 * noisy.true + noisy.given, minlength=100).double()
    chi_square = ((table - 200) ** 2 / 200).sum().item()
    assert chi_square < 149.4  # the 0.1 % point at 99 degrees of freedom


@given(seed=st.integers(0, 2**32), low=st.floats(0, 1), high=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_levels_are_nested(seed: int, low: float, high: float) -> None:
    low, high = sorted((low, high))
    true = torch.arange(300) % 7
    few, many = (randomize_labels(true, p, 7, seed=seed) for p in (low, high))
    assert torch.equal(many.given[few.wrong], few.given[few.wrong])
    assert bool((many.wrong | ~few.wrong).all())


def test_the_replaced_ones_are_nested_whatever_they_were() -> None:
    # Two true labellings that differ everywhere show which labels are replaced, even by the true class.
    replaced = []
    for p in (0.2, 0.4, 1.0):
        a, b = (randomize_labels(torch.full((5000,), c), p, 10, seed=2).given for c in (0, 1))
        replaced.append(a == b)
    assert [round(float(r.float().mean()), 1) for r in replaced] == [0.2, 0.4, 1.0]
    assert bool((replaced[1] | ~replaced[0]).all())
    assert bool(replaced[2].all())


def test_the_seed_decides_and_the_input_is_left_alone() -> None:
    before = TRUE.clone()
    first, again, other = (randomize_labels(TRUE, 0.5, 10, seed=s).given for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(TRUE, before)


def test_global_random_state_plays_no_part() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    first = randomize_labels(TRUE, 0.5, 10).given
    torch.manual_seed(1)
    np.random.seed(1)
    state = torch.random.get_rng_state()
    assert torch.equal(randomize_labels(TRUE, 0.5, 10).given, first)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_draws_are_those_that_the_shipped_networks_were_trained_on() -> None:
    # No oracle but a seal: with other draws, the probe labels of shipped networks could not be recomputed.
    given = randomize_labels(load("digits").labels, 0.4, 10, seed=1).given
    assert hashlib.sha256(given.numpy().tobytes()).hexdigest()[:16] == "fe749c6a87c49c79"


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_out_of_range(p: float) -> None:
    with pytest.raises(NmfdiagError, match=r"Label noise p must lie in \[0, 1\], got"):
        randomize_labels(TRUE, p, 10)


@pytest.mark.parametrize("seed", [-1, 0.5, "a", None])
def test_what_is_no_seed(seed: object) -> None:
    with pytest.raises(NmfdiagError, match="A seed must be a whole number, 0 or more, got"):
        randomize_labels(TRUE, 0.5, 10, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (torch.tensor([0.0, 1.0]), r"^Labels must be whole numbers \(int64\), got torch\.float32\.$"),
        (torch.tensor([True, False]), r"got torch\.bool\.$"),
        (torch.tensor([1j]), r"got torch\.complex64\.$"),
        (torch.zeros(2, 2, dtype=torch.long), r"^Labels must have the shape \(n,\), one a sample, got \(2, 2\)\.$"),
        (torch.tensor(1), r"got \(\)\.$"),
        (torch.empty(0).long(), "^There are no labels"),
        (["cat", "dog"], "^Labels must be whole numbers, one a sample, got list"),
    ],
)
def test_labels_of_the_wrong_kind(labels: torch.Tensor, says: str) -> None:
    with pytest.raises(NmfdiagError, match=says):
        check_labels(labels, 2)


@pytest.mark.parametrize(("labels", "range_"), [([0, 3], "0 .. 3"), ([-1, 2], "-1 .. 2")])
def test_labels_out_of_range(labels: list[int], range_: str) -> None:
    for check in (check_labels, lambda values, n: randomize_labels(values, 0.1, n)):
        with pytest.raises(NmfdiagError, match=rf"^Labels must lie in 0 \.\. 2, got {range_}\.$"):
            check(torch.tensor(labels), 3)


def test_negative_labels_without_a_number_of_classes() -> None:
    assert check_labels(torch.tensor([7, 0])).tolist() == [7, 0]
    with pytest.raises(NmfdiagError, match=r"^Labels must be 0 or more, got -1 \.\. 7\.$"):
        check_labels(torch.tensor([7, -1]))


@pytest.mark.parametrize("labels", [torch.tensor([0, 2], dtype=torch.uint8), np.array([0, 2], np.uint16), [0, 2]])
def test_labels_become_int64(labels: torch.Tensor) -> None:
    checked = check_labels(labels, 3)
    assert checked.dtype == torch.int64
    assert checked.tolist() == [0, 2]


def test_wrong_is_where_given_and_true_differ() -> None:
    assert NoisyLabels(torch.tensor([0, 1, 2]), torch.tensor([0, 2, 2]), 0.5).wrong.tolist() == [False, True, False]
