"""From stored inputs to what a network sees."""

import numpy as np
import pytest
import torch

from nmfdiag.data import Normalization, load, normalization
from nmfdiag.errors import NmfdiagError


def images(n: int = 50) -> torch.Tensor:
    inputs = torch.randint(0, 200, (n, 2, 6, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    inputs[:, 1] += 40
    return inputs


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_it_standardises_each_channel(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(normalization, "CHUNK", chunk)
    found = Normalization.of(images())
    exact = images().numpy().astype(np.float64).transpose(1, 0, 2, 3).reshape(2, -1) / 255
    assert found.mean == pytest.approx(exact.mean(axis=1).tolist(), rel=1e-12)
    assert found.std == pytest.approx(exact.std(axis=1, ddof=1).tolist(), rel=1e-12)
    normalised = found(images())
    assert normalised.dtype == torch.float32
    assert normalised.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert (normalised.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-5


def test_a_large_offset_costs_no_digits() -> None:
    small = torch.randn(100, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert Normalization.of(small + 1e6).std[0] == pytest.approx(small.std().item(), rel=1e-6)


def test_it_scales_bytes_but_not_floats() -> None:
    identity = Normalization((0.0,), (1.0,))
    assert identity(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8)).item() == 1
    assert identity(torch.full((1, 1, 1, 1), 255.0, dtype=torch.float64)).item() == 255


def test_one_input_is_enough_and_stays_as_it_is() -> None:
    inputs = torch.full((1, 2, 2), 3.0)
    assert Normalization((1.0,), (2.0,))(inputs).tolist() == [[[1.0, 1.0], [1.0, 1.0]]]
    assert inputs.tolist() == [[[3.0, 3.0], [3.0, 3.0]]]


def test_a_constant_channel_is_only_centred() -> None:
    inputs = torch.full((4, 1, 2, 2), 51, dtype=torch.uint8)
    found = Normalization.of(inputs)
    assert (found.mean[0], found.std) == (pytest.approx(0.2), (1.0,))
    assert found(inputs).abs().max() < 1e-6


def test_digits() -> None:
    found = Normalization.of(load("digits").inputs)
    assert found.mean[0] == pytest.approx(4.884 / 16, abs=0.005)  # the mean grey level of all digits is 4.884 of 16


def test_other_channels_are_not_spread_over() -> None:
    three = Normalization((0.0,) * 3, (1.0,) * 3)
    with pytest.raises(NmfdiagError, match=r"of 3 channels: inputs must be \(\.\.\., 3, h, w\), got \(5, 1, 4, 4\)"):
        three(torch.zeros(5, 1, 4, 4))
    with pytest.raises(NmfdiagError, match=r"got \(3, 4\)"):
        three(torch.zeros(3, 4))


@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (3, 4, 4)])
def test_what_can_not_be_measured(shape: tuple[int, ...]) -> None:
    with pytest.raises(NmfdiagError, match=r"Inputs must be \(n, c, h, w\) and hold something, got \("):
        Normalization.of(torch.zeros(shape))


def test_inputs_that_are_not_finite() -> None:
    with pytest.raises(NmfdiagError, match="Means must be finite"):
        Normalization.of(torch.tensor([[[[1.0, float("nan")]]]]))


@pytest.mark.parametrize(
    ("mean", "std", "says"),
    [
        ((), (), "needs one mean and one standard deviation a channel, got 0 and 0"),
        ((0.0, 0.0), (1.0,), "got 2 and 1"),
        ((0.0,), (0.0,), "standard deviations above 0"),
        ((0.0,), (-1.0,), "standard deviations above 0"),
        ((float("inf"),), (1.0,), "Means must be finite"),
    ],
)
def test_impossible_numbers(mean: tuple[float, ...], std: tuple[float, ...], says: str) -> None:
    with pytest.raises(NmfdiagError, match=says):
        Normalization(mean, std)
