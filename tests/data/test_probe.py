"""Probe batches and stratified subsets."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmfdiag.data import (
    load,
    multi_class_batch,
    randomize_labels,
    single_class_batch,
    single_class_batches,
    stratified_subset,
)
from nmfdiag.errors import NmfdiagError

GIVEN = torch.arange(200) % 4
INPUTS = torch.arange(200).float()[:, None]
TRUE = (GIVEN + 1) % 4


def test_a_single_class_batch_holds_that_class_and_points_back() -> None:
    batch = single_class_batch(INPUTS, GIVEN, 2, size=20, seed=1, true_labels=TRUE)
    assert batch.class_idx == 2
    assert batch.index.tolist() == sorted(set(batch.index.tolist()))
    assert len(batch) == 20
    assert set(batch.given_labels.tolist()) == {2}
    assert torch.equal(batch.inputs, INPUTS[batch.index])
    assert batch.true_labels is not None
    assert set(batch.true_labels.tolist()) == {3}


def test_a_batch_is_at_most_the_class() -> None:
    assert len(single_class_batch(INPUTS, GIVEN, 0, size=1000)) == 50
    assert len(multi_class_batch(INPUTS, GIVEN, size=1000)) == 200
    assert len(single_class_batch(INPUTS, GIVEN, 0)) == 50  # the default


def test_the_seed_decides() -> None:
    for draw in (
        lambda seed: single_class_batch(INPUTS, GIVEN, 1, size=10, seed=seed).index.tolist(),
        lambda seed: multi_class_batch(INPUTS, GIVEN, size=10, seed=seed).index.tolist(),
    ):
        assert draw(0) == draw(0)
        assert draw(0) != draw(1)


def test_every_sample_can_be_drawn() -> None:
    drawn = torch.cat([single_class_batch(INPUTS, GIVEN, 1, size=10, seed=s).index for s in range(60)])
    assert set(drawn.tolist()) == set(range(1, 200, 4))


def test_every_class_with_two_samples_gets_a_batch() -> None:
    given = torch.tensor([0, 0, 1, 3, 3, 3])
    batches = single_class_batches(torch.zeros(6, 1), given)
    assert [(b.class_idx, len(b)) for b in batches] == [(0, 2), (3, 3)]
    assert batches[0].true_labels is None


def test_batches_are_the_single_ones() -> None:
    for batch in single_class_batches(INPUTS, GIVEN, size=7, seed=4, true_labels=TRUE):
        assert batch.class_idx is not None
        alone = single_class_batch(INPUTS, GIVEN, batch.class_idx, size=7, seed=4)
        assert torch.equal(batch.index, alone.index)
        assert batch.true_labels is not None


def test_true_labels_do_not_influence_the_choice() -> None:
    with_them = multi_class_batch(INPUTS, GIVEN, size=20, true_labels=TRUE)
    assert torch.equal(with_them.index, multi_class_batch(INPUTS, GIVEN, size=20).index)


def test_wrong_labels_are_in_the_batch_as_often_as_in_the_set() -> None:
    # One seed draws the noise and the batch: that must not couple the two.
    digits = load("digits")
    shares = []
    for seed in range(30):
        noisy = randomize_labels(digits.labels, 0.5, 10, seed=seed)
        batch = multi_class_batch(digits.inputs, noisy.given, size=200, seed=seed, true_labels=noisy.true)
        assert batch.true_labels is not None
        shares.append(float(batch.given_labels.ne(batch.true_labels).float().mean()))
    assert sum(shares) / 30 == pytest.approx(0.45, abs=3.5 * (0.45 * 0.55 / 6000) ** 0.5)


def test_a_multi_class_batch_is_even() -> None:
    batch = multi_class_batch(INPUTS, GIVEN, size=22, seed=0)
    assert batch.class_idx is None
    assert sorted(torch.bincount(batch.given_labels).tolist()) == [5, 5, 6, 6]


def test_a_small_class_gives_all_and_the_others_fill_up() -> None:
    labels = torch.tensor([0] * 3 + [1] * 50 + [2] * 50)
    assert torch.bincount(labels[stratified_subset(labels, 43, 0)]).tolist() == [3, 20, 20]


@given(counts=st.lists(st.integers(0, 12), min_size=1, max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_subsets_are_as_even_as_they_can_be(counts: list[int], data: st.DataObject) -> None:
    labels = torch.tensor([c for c, count in enumerate(counts) for _ in range(count)])
    if not len(labels):
        return
    size = data.draw(st.integers(1, len(labels)))
    chosen = stratified_subset(labels, size, data.draw(st.integers(0, 99)))
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert len(chosen) == size
    got = torch.bincount(labels[chosen], minlength=len(counts)).tolist()
    most = max(got)
    assert all(g == have or g >= most - 1 for g, have in zip(got, counts, strict=True))


@pytest.mark.parametrize("size", [0, -1, 201])
def test_subset_of_an_impossible_size(size: int) -> None:
    with pytest.raises(NmfdiagError, match=rf"A subset must hold 1 \.\. 200 samples, got {size}\."):
        stratified_subset(GIVEN, size, 0)


@pytest.mark.parametrize(("class_idx", "has"), [(9, 0), (1, 1)])
def test_a_class_too_small(class_idx: int, has: int) -> None:
    with pytest.raises(NmfdiagError, match=f"Class {class_idx} has {has} samples.*: a probe batch needs at least 2"):
        single_class_batch(torch.zeros(4, 1), torch.tensor([0, 0, 0, 1]), class_idx)


def test_no_class_is_large_enough() -> None:
    with pytest.raises(NmfdiagError, match="No class has 2 samples with its given label: there are 4 samples"):
        single_class_batches(torch.zeros(4, 1), torch.arange(4))


def every_batch(inputs: torch.Tensor, labels: torch.Tensor, **options: object) -> list[object]:
    """Ask each of the three for a batch; returns what each raised."""
    raised: list[object] = []
    for draw in (
        lambda: single_class_batch(inputs, labels, 0, **options),  # type: ignore[arg-type]
        lambda: single_class_batches(inputs, labels, **options),  # type: ignore[arg-type]
        lambda: multi_class_batch(inputs, labels, **options),  # type: ignore[arg-type]
    ):
        with pytest.raises(NmfdiagError) as caught:
            draw()
        raised.append(str(caught.value))
    return raised


def test_lengths_that_disagree() -> None:
    assert every_batch(INPUTS, GIVEN[:3]) == ["There are 200 inputs but 3 given labels."] * 3
    assert every_batch(INPUTS, GIVEN, true_labels=TRUE[:3]) == ["There are 200 inputs but 3 true labels."] * 3


@pytest.mark.parametrize(("n", "size"), [(200, 1), (1, 50)])
def test_a_batch_of_one(n: int, size: int) -> None:
    assert every_batch(INPUTS[:n], GIVEN[:n], size=size) == ["A probe batch needs at least 2 samples, got 1."] * 3


@pytest.mark.parametrize("labels", [GIVEN.float(), GIVEN[:, None], GIVEN - 1])
def test_labels_that_are_none(labels: torch.Tensor) -> None:
    assert all(str(message).startswith("Labels must") for message in every_batch(INPUTS, labels))
