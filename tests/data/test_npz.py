"""Arrays in an .npz, every one of them hostile."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nmfdiag.data import arrays, load
from nmfdiag.data.npz import load_npz
from nmfdiag.errors import NmfdiagError

X, Y = np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.array([1, 0])


def save(path: Path, **named: np.ndarray) -> Path:
    np.savez(path, allow_pickle=True, **named)
    return path


def npy(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    padded = header.ljust(117) + "\n"
    return b"\x93NUMPY" + version + len(padded).to_bytes(2, "little") + padded.encode() + body


def header(shape: str, descr: str = "|u1") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("inputs", "targets"), ("x", "labels")])
def test_the_names(tmp_path: Path, names: tuple[str, str]) -> None:
    found = load_npz(save(tmp_path / "a.npz", **dict(zip(names, (X, Y), strict=True))), "train")
    assert np.array_equal(found.inputs, X[:, None])
    assert found.inputs.dtype == np.uint8
    assert (found.labels.tolist(), found.class_names) == ([1, 0], ("0", "1"))


def test_two_splits_share_their_classes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X[:1] + 100, y_test=np.array([[4]]))
    train, test = load(path), load(path, "test")
    assert train.class_names == test.class_names == ("0", "1", "2", "3", "4")
    assert (len(train), test.labels.tolist(), int(test.inputs[0, 0, 0, 0])) == (2, [4], 100)


def test_what_is_not_split_is_a_training_set(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x=X, y=Y)
    assert load(str(path)).input_shape == (1, 3, 4)
    with pytest.raises(NmfdiagError, match=r"a\.npz has no split 'test': x and y are a training set"):
        load(path, "test")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 5, 6), (2, 1, 5, 6)),
        ((2, 3, 5, 6), (2, 3, 5, 6)),
        ((2, 5, 6, 3), (2, 3, 5, 6)),
        ((2, 5, 6, 1), (2, 1, 5, 6)),
        ((2, 3, 5, 3), (2, 3, 5, 3)),  # ambiguous: the second axis wins
        ((2, 4, 5, 6), (2, 4, 5, 6)),
    ],
)
def test_which_axis_is_the_channels(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).random(shape)
    found = load_npz(save(tmp_path / "a.npz", x=images, y=Y), "train")
    assert found.inputs.shape == expected
    assert found.inputs.dtype == np.float32
    if shape[1:] == (5, 6, 3):
        assert np.array_equal(found.inputs[1, 2], images[1, :, :, 2].astype(np.float32))


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
def test_floats_become_float32(tmp_path: Path, dtype: str) -> None:
    data = load(save(tmp_path / "a.npz", x=np.asfortranarray(X.astype(dtype)), y=Y.astype(">u2")))
    assert data.inputs.dtype == torch.float32
    assert np.array_equal(data.inputs[:, 0].numpy(), X)
    assert data.labels.dtype == torch.int64


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x=np.array([{}, {}], dtype=object), y=Y)
    with pytest.raises(NmfdiagError, match=r"x\.npy must hold numbers, got object"):
        load_npz(path, "train")


@pytest.mark.parametrize("shape", ["(1000000, 1000, 1000)", "(2, 3)", "(0,)", "(-2, -2)", "(-1, 1, -4)", "(4,)"])
def test_a_header_that_lies(tmp_path: Path, make_zip: Any, shape: str) -> None:
    entry = npy(header(shape), bytes(5 if shape == "(4,)" else 4))
    with pytest.raises(NmfdiagError, match=r"the header of x\.npy lies about its size"):
        load_npz(make_zip(tmp_path / "a.npz", {"x.npy": entry, "y.npy": entry}), "train")


def test_header_and_zip_that_lie_together(tmp_path: Path, make_zip: Any) -> None:
    entry = npy(header(f"({2**31},)"), bytes(4))
    path = make_zip(tmp_path / "a.npz", {"y.npy": entry, "x.npy": entry})
    content = path.read_bytes()
    directory = content.rindex(b"PK\x01\x02")  # of x, the last
    size = (2**31 + len(entry) - 4).to_bytes(4, "little")
    path.write_bytes(content[: directory + 24] + size + content[directory + 28 :])
    with pytest.raises(NmfdiagError, match=r"a\.npz: x\.npy promises 2,147,\d+,\d+ bytes, which a file of that size"):
        load_npz(path, "train")


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"not an array",
        npy("{'descr': "),
        npy("__import__('os').abort()"),
        npy("(" * 100),
        npy(header("('a',)")),
        npy(header("(1, 1, 1)"), b"\x00", version=b"\x03\x00"),
        npy(header("(1, 1, 1)"), b"\x00", version=b"\x09\x09"),
        npy(header("(1, 1, 1)", descr="<U1"), bytes(4)),
    ],
)
def test_a_damaged_header(tmp_path: Path, make_zip: Any, entry: bytes) -> None:
    with pytest.raises(NmfdiagError, match=r"a\.npz: .*x\.npy"):
        load_npz(make_zip(tmp_path / "a.npz", {"x.npy": entry, "y.npy": entry}), "train")


def test_what_expands_too_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAX_BYTES", 100)
    with pytest.raises(NmfdiagError, match=r"x\.npy takes 152 bytes, 100 are accepted"):
        load_npz(save(tmp_path / "a.npz", x=X, y=Y), "train")


def test_what_does_not_unpack(tmp_path: Path, garble: Any) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=X, y=Y)
    with pytest.raises(NmfdiagError, match=r"a\.npz: x\.npy can't be read"):
        load_npz(garble(path), "train")
    path.write_bytes(b"PK nonsense")
    with pytest.raises(NmfdiagError, match=r"a\.npz is neither a folder nor a readable zip"):
        load_npz(path, "train")


def test_without_the_names(tmp_path: Path) -> None:
    with pytest.raises(
        NmfdiagError,
        match=r"must hold arrays called x or images or inputs, and y or labels or targets, .*; it holds other, x\.",
    ):
        load_npz(save(tmp_path / "a.npz", x=X, other=Y), "train")


@pytest.mark.parametrize("x", [X[0], X[None, None], X[:, :0]])
def test_inputs_of_the_wrong_shape(tmp_path: Path, x: np.ndarray) -> None:
    with pytest.raises(NmfdiagError, match=r"x must be \(n, h, w\), \(n, c, h, w\) or \(n, h, w, c\), got \("):
        load_npz(save(tmp_path / "a.npz", x=x, y=Y), "train")


@pytest.mark.parametrize("dtype", ["int64", "bool", "int8"])
def test_inputs_of_an_unknown_scale(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(NmfdiagError, match=rf"x must be uint8 \(0 \.\. 255\) or floats, got {dtype}"):
        load_npz(save(tmp_path / "a.npz", x=X.astype(dtype), y=Y), "train")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_inputs_that_are_not_finite(tmp_path: Path, value: float) -> None:
    x = X.astype(float)
    x[0, 0, 0] = value
    with pytest.raises(NmfdiagError, match="x holds NaN, infinities, or numbers beyond float32"):
        load_npz(save(tmp_path / "a.npz", x=x, y=Y), "train")


@pytest.mark.parametrize("y", [Y.astype(float), np.zeros((2, 2), int), np.zeros(0, int), Y.astype(bool)])
def test_labels_of_the_wrong_kind(tmp_path: Path, y: np.ndarray) -> None:
    with pytest.raises(NmfdiagError, match=r"y must be whole numbers of shape \(n,\), got"):
        load_npz(save(tmp_path / "a.npz", x=X, y=y), "train")


@pytest.mark.parametrize("label", [-1, 10**15])
def test_impossible_labels(tmp_path: Path, label: int) -> None:
    with pytest.raises(NmfdiagError, match=r"y must lie in 0 \.\. 99999, got"):
        load_npz(save(tmp_path / "a.npz", x=X, y=np.array([0, label])), "train")


def test_as_many_labels_as_inputs(tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match="x has 2 samples but y has 1 labels"):
        load_npz(save(tmp_path / "a.npz", x=X, y=Y[:1]), "train")
