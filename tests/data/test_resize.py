"""Images are resized, by a data set's name or path."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nmfdiag.data import resize as resize_module
from nmfdiag.data.datasets import load
from nmfdiag.data.resize import checked_size, resize
from nmfdiag.errors import NmfdiagError


def test_as_pillow_resizes() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 1, 12, 20), dtype=np.uint8)
    result = resize(torch.from_numpy(images), (6, 9))
    assert result.dtype == torch.uint8 and result.shape == (3, 1, 6, 9)
    for before, after in zip(images[:, 0], result[:, 0].numpy(), strict=True):
        expected = np.asarray(Image.fromarray(before).resize((9, 6), Image.Resampling.BILINEAR))
        assert np.abs(expected.astype(int) - after).max() <= 1


def test_what_has_the_size_is_not_touched_and_floats_stay_floats() -> None:
    images = torch.rand(2, 3, 4, 4)
    assert resize(images, (4, 4)) is images
    assert resize(images, (8, 8)).dtype == torch.float32


def test_a_data_set_by_name_and_the_first_of_each_class() -> None:
    data = load("digits", size=16, limit_per_class=3)
    assert data.inputs.shape == (30, 1, 16, 16) and data.inputs.dtype == torch.uint8
    assert torch.bincount(data.labels).tolist() == [3] * 10
    full_data = load("digits")
    first = torch.nonzero(full_data.labels == 4).flatten()[:3]
    assert torch.equal(load("digits", limit_per_class=3).inputs[data.labels == 4], full_data.inputs[first])


@pytest.mark.parametrize("size", [0, -1, 5000, (8,), (8, 8, 8), (8, 0), 2.5, "8"])
def test_sizes_that_are_none(size: object) -> None:
    with pytest.raises(NmfdiagError, match=r"A size must be one or two whole numbers of pixels in 1 \.\. 4096, got"):
        load("digits", size=size)  # type: ignore[arg-type]


def test_what_would_fill_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resize_module, "MAX_RESIZED_BYTES", 1000)
    with pytest.raises(NmfdiagError, match="2 images take more than 0 GiB at 40x40 pixels: take fewer of each class"):
        resize(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), (40, 40))
    assert checked_size(8) == (8, 8) and checked_size((3, 4)) == (3, 4)
    with pytest.raises(NmfdiagError, match="limit_per_class must be at least 1, got 0"):
        load("digits", limit_per_class=0)
