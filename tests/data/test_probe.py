"""Probe batches, stratified subsets and normalisation."""

import pytest
import torch

from nmfdiag.data.normalization import Normalization
from nmfdiag.data.probe import multi_class_batch, single_class_batch, single_class_batches, stratified_subset
from nmfdiag.errors import NmfdiagError

GIVEN = torch.arange(200) % 4
INPUTS = torch.arange(200).float()[:, None]
TRUE = (GIVEN + 1) % 4


def test_a_single_class_batch_holds_that_class_and_points_back() -> None:
    batch = single_class_batch(INPUTS, GIVEN, 2, size=20, seed=1, true_labels=TRUE)
    assert batch.class_idx == 2
    assert batch.index.tolist() == sorted(set(batch.index.tolist()))
    assert len(batch.index) == 20
    assert set(batch.given_labels.tolist()) == {2}
    assert torch.equal(batch.inputs, INPUTS[batch.index])
    assert batch.true_labels is not None
    assert set(batch.true_labels.tolist()) == {3}


def test_a_batch_is_at_most_the_class() -> None:
    assert len(single_class_batch(INPUTS, GIVEN, 0, size=1000).index) == 50


def test_the_seed_decides() -> None:
    for draw in (
        lambda seed: single_class_batch(INPUTS, GIVEN, 1, size=10, seed=seed).index.tolist(),
        lambda seed: multi_class_batch(INPUTS, GIVEN, size=10, seed=seed).index.tolist(),
    ):
        assert draw(0) == draw(0)
        assert draw(0) != draw(1)


def test_every_class_with_two_samples_gets_a_batch() -> None:
    labels = torch.tensor([0, 0, 1, 3, 3, 3])
    batches = single_class_batches(torch.zeros(6, 1), labels)
    assert [(b.class_idx, len(b.index)) for b in batches] == [(0, 2), (3, 3)]
    assert batches[0].true_labels is None


def test_a_multi_class_batch_is_even() -> None:
    batch = multi_class_batch(INPUTS, GIVEN, size=22, seed=0)
    assert batch.class_idx is None
    assert sorted(torch.bincount(batch.given_labels).tolist()) == [5, 5, 6, 6]


def test_a_small_class_gives_all_and_the_others_fill_up() -> None:
    labels = torch.tensor([0] * 3 + [1] * 50 + [2] * 50)
    assert torch.bincount(labels[stratified_subset(labels, 43, 0)]).tolist() == [3, 20, 20]


@pytest.mark.parametrize("size", [0, -1, 201])
def test_subset_of_an_impossible_size(size: int) -> None:
    with pytest.raises(NmfdiagError, match=rf"A subset must hold 1 \.\. 200 samples, got {size}\."):
        stratified_subset(GIVEN, size, 0)


def test_a_class_too_small() -> None:
    with pytest.raises(
        NmfdiagError, match="Class 9 has 0 samples with that given label: a probe batch needs at least 2"
    ):
        single_class_batch(INPUTS, GIVEN, 9)


def test_lengths_that_disagree() -> None:
    with pytest.raises(NmfdiagError, match="There are 200 inputs but 3 labels"):
        multi_class_batch(INPUTS, GIVEN[:3])
    with pytest.raises(NmfdiagError, match="There are 200 inputs but 3 true labels"):
        single_class_batch(INPUTS, GIVEN, 0, true_labels=TRUE[:3])


@pytest.mark.parametrize(("n", "size"), [(200, 1), (1, 50)])
def test_a_batch_of_one(n: int, size: int) -> None:
    with pytest.raises(NmfdiagError, match="A probe batch needs at least 2 samples, got 1"):
        multi_class_batch(INPUTS[:n], GIVEN[:n], size=size)


def test_normalisation_standardises_each_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 200, (50, 2, 6, 6), generator=generator).to(torch.uint8)
    inputs[:, 1] += 40
    normalised = Normalization.measure(inputs)(inputs)
    assert normalised.dtype == torch.float32
    assert normalised.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert (normalised.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-5


def test_normalisation_scales_bytes_but_not_floats() -> None:
    identity = Normalization((0.0,), (1.0,))
    assert identity(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8)).item() == 1
    assert identity(torch.full((1, 1, 1, 1), 255.0)).item() == 255


def test_a_constant_channel_stays_finite() -> None:
    inputs = torch.full((4, 1, 2, 2), 7, dtype=torch.uint8)
    assert bool(torch.isfinite(Normalization.measure(inputs)(inputs)).all())
