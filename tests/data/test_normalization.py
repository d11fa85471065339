"""Normalisations by name, of bytes and of numbers, compared with numpy."""

import numpy as np
import pytest
import torch

from nmfdiag.data.normalization import NORMALIZATIONS, Normalization, normalization, normalizations
from nmfdiag.errors import NmfdiagError

BYTES = torch.randint(0, 256, (6, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", lambda x: x / 255),
        ("half", lambda x: x / 127.5 - 1),
        ("bytes", lambda x: x),
        ("imagenet", lambda x: (x / 255 - MEAN[:, None, None]) / STD[:, None, None]),
        ("data", lambda x: (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True, ddof=1)),
        ("0.1,0.2,0.3/2,4,8", lambda x: (x / 255 - [[[0.1]], [[0.2]], [[0.3]]]) / [[[2]], [[4]], [[8]]]),
        ("0.5/0.25", lambda x: (x / 255 - 0.5) / 0.25),
    ],
)
def test_by_name(name: str, expected) -> None:
    result = normalization(name, BYTES)(BYTES)
    assert result.dtype == torch.float32
    assert np.allclose(result, expected(BYTES.double().numpy()), rtol=1e-4, atol=1e-4)


def test_vectors_have_a_channel_for_each_number() -> None:
    vectors = torch.rand(9, 4) * torch.tensor([1.0, 10, 100, 1])
    result = normalization("data", vectors)(vectors)
    assert np.allclose(result.mean(0), 0, atol=1e-5) and np.allclose(result.std(0), 1, atol=1e-4)
    assert torch.equal(normalization("none", vectors)(vectors), vectors)


def test_which_ones_fit() -> None:
    assert list(normalizations(BYTES)) == ["imagenet", "none", "data", "half", "bytes"]
    assert list(normalizations(BYTES[:, :1])) == ["none", "data", "half", "bytes"]
    assert list(normalizations(torch.rand(4, 5))) == ["none", "data", "half", "bytes"]
    assert list(normalizations(torch.randn(4, 3, 2, 2) * 9)) == ["none", "data"]
    assert set(normalizations(BYTES)) | {"auto"} == set(NORMALIZATIONS)


def test_a_constant_channel_is_not_divided_by_zero() -> None:
    x = torch.zeros(4, 2, 3, 3)
    assert bool(torch.isfinite(Normalization.measure(x)(x)).all())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("imagnet", r"Unknown normalisation 'imagnet': accepted are auto, none, .*or MEAN,\.\.\./STD"),
        ("0.5", "Unknown normalisation '0.5'"),
        ("a/b", "Unknown normalisation 'a/b'"),
        ("0.5/0", "its deviations positive, got '0.5/0'"),
        ("nan/1", "means must be finite"),
        ("0.5,0.5/1", r"has 2 channels, the inputs have 3 \(shape \(3, 4, 5\)\)"),
    ],
)
def test_what_is_none(name: str, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        normalization(name, BYTES)


@pytest.mark.parametrize(("dtype", "largest"), [(torch.float32, 255), (torch.int64, 255), (torch.float32, 65_535)])
def test_numbers_of_0_to_255_are_divided_before_what_starts_from_0_to_1(dtype: torch.dtype, largest: int) -> None:
    stored = BYTES.long() * (largest // 255)
    stored[0, 0, 0, 0] = largest
    results = {name: way(stored.to(dtype)) for name, way in normalizations(stored.to(dtype)).items()}
    unit = stored / largest
    assert torch.allclose(results[f"0/{largest}"], unit, atol=1e-6)
    assert torch.allclose(results["half"], unit * 2 - 1, atol=1e-5)
    assert torch.allclose(results["imagenet"], normalization("imagenet", unit)(unit), atol=1e-5)
    assert torch.equal(results["none"], stored.float())
    counts = torch.tensor([[0.0, 16.0], [3.0, 1.0]])
    assert list(normalizations(counts)) == ["none", "data"]
