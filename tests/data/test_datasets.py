"""Data sets by name: digits, IDX files, and the real ones if they are installed."""

import argparse
import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from nmfdiag.commands.network_options import add_network_options
from nmfdiag.data.datasets import DATASETS, DatasetInfo, load, read_idx
from nmfdiag.data.files import load_image_folder
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.browse import data_sets, proposed_name, samples
from nmfdiag.zoo.add_network import free_folder
from nmfdiag.zoo.recipes import Recipe


def idx(shape: tuple[int, ...], body: bytes, magic: bytes = b"\x00\x00\x08") -> bytes:
    return gzip.compress(magic + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body)


def test_digits_are_whole_and_split_without_overlap() -> None:
    train, test = load("digits"), load("digits", "test")
    assert (len(train), len(test)) == (1200, 597)
    assert train.input_shape == (1, 8, 8)
    assert train.n_classes == 10
    assert train.inputs.dtype == torch.uint8
    assert train.labels.dtype == torch.int64
    assert int(train.inputs.max()) == 255
    counts = torch.bincount(train.labels)
    assert int(counts.max() - counts.min()) <= 8  # stratified: the set itself has 174 to 183 of each
    rows = [{image.numpy().tobytes() for image in part.inputs} for part in (train, test)]
    assert not rows[0] & rows[1]


def test_digits_are_the_same_each_time() -> None:
    assert torch.equal(load("digits").inputs, load("digits").inputs)


def test_idx_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(idx((2, 3), bytes(range(6))))
    assert read_idx(path).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "content",
    [
        idx((2, 3), bytes(5)),
        idx((2, 3), bytes(7)),
        idx((2, 3), bytes(6), magic=b"\x00\x00\x0d"),
        idx((2**31, 2**31, 4), b""),  # a product that overflows 64 bits to zero
        idx((), b"\x00"),
        gzip.compress(b""),
        gzip.compress(b"\x00\x00\x08\x03\x00"),
    ],
    ids=[
        "short",
        "long",
        "magic",
        "overflow",
        "no shape",
        "empty",
        "half a header",
    ],  # gzip stamps the time into its bytes
)
def test_idx_that_lies(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    with pytest.raises(NmfdiagError, match=r"^a\.gz is not an IDX file of unsigned bytes, or it is truncated\.$"):
        read_idx(path)


@pytest.mark.parametrize("damage", ["plain", "truncated", "garbled"])
def test_idx_that_does_not_unpack(tmp_path: Path, damage: str) -> None:
    whole = idx((400,), np.random.default_rng(0).bytes(400))
    content = {"plain": b"not gzip", "truncated": whole[:-20], "garbled": whole[:10] + b"\xff" * 40 + whole[50:]}[
        damage
    ]
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    with pytest.raises(NmfdiagError, match=r"^a\.gz can't be read: "):
        read_idx(path)


def write_mnist(root: Path, images: bytes, labels: bytes) -> None:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(images)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(labels)


def test_mnist_from_its_files(tmp_path: Path) -> None:
    write_mnist(tmp_path, idx((2, 3, 3), bytes(range(18))), idx((2,), b"\x07\x01"))
    data = load("mnist", root=tmp_path)
    assert data.inputs.shape == (2, 1, 3, 3)
    assert data.labels.tolist() == [7, 1]


def test_as_many_labels_as_images(tmp_path: Path) -> None:
    write_mnist(tmp_path, idx((2, 3, 3), bytes(18)), idx((3,), b"\x07\x01\x02"))
    with pytest.raises(NmfdiagError, match="do not match"):
        load("mnist", root=tmp_path)


def test_labels_beyond_the_classes(tmp_path: Path) -> None:
    write_mnist(tmp_path, idx((1, 3, 3), bytes(9)), idx((1,), b"\x0a"))
    with pytest.raises(NmfdiagError, match=r"Labels must lie in 0 \.\. 9, got 10 \.\. 10"):
        load("mnist", root=tmp_path)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn"])
def test_a_data_set_that_is_not_there_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match=r"was not found in .*NMFDIAG_DATA.*download=True"):
        load(name, root=tmp_path)


def test_unknown_names() -> None:
    with pytest.raises(NmfdiagError, match=r"Unknown data set 'imagenot': accepted are digits, mnist"):
        load("imagenot")
    with pytest.raises(NmfdiagError, match="Unknown split 'valid': accepted are train, test"):
        load("digits", "valid")


def read_toy(root: Path, split: str, _download: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    values = np.load(root / "toys" / f"{split}.npy")
    return values, np.arange(len(values)) % 2, ("even", "odd")


def test_a_new_data_set_is_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a toy, which is then read, offered and named like the others."""
    monkeypatch.setitem(
        DATASETS, "toys", DatasetInfo("toys", "Toys", "made here", read_toy, places=("toys/train.npy",))
    )
    assert data_sets(tmp_path) == ["digits"]
    (tmp_path / "toys").mkdir()
    np.save(tmp_path / "toys" / "train.npy", np.zeros((4, 3), np.float32))
    np.savez(tmp_path / "toys" / "x.npz", x=np.zeros(3))
    assert data_sets(tmp_path) == ["digits", "toys"] and samples(tmp_path) == []  # on the page
    data = load("toys", root=tmp_path)
    assert (data.name, data.class_names, data.labels.tolist()) == ("toys", ("even", "odd"), [0, 1, 0, 1])
    assert proposed_name("toys") == "toys-2"
    parser = argparse.ArgumentParser()
    add_network_options(parser)
    assert "urban_sound, toys)" in " ".join(parser.format_help().split())
    with pytest.raises(NmfdiagError, match=r"Unknown data set 'toy': accepted are digits, .*, toys, or the path"):
        load("toy", root=tmp_path)
    with pytest.raises(NmfdiagError, match="toys"):
        free_folder("toys", tmp_path / "zoo")
    assert Recipe("toys", "mlp", label_noise=0.0, seed=0, n_train=100).name == "toys-mlp-p0-s0"


def test_every_data_set_is_listed_under_its_name() -> None:
    assert all(name == info.name and info.title and info.source for name, info in DATASETS.items())


@pytest.mark.real_data
def test_fashion_mnist(data_root: Path) -> None:
    data = load("fashion_mnist", "test", root=data_root)
    assert data.inputs.shape == (10_000, 1, 28, 28)
    assert torch.bincount(data.labels).tolist() == [1000] * 10
    assert data.class_names[9] == "Ankle boot"
    assert data.inputs.float().mean().item() == pytest.approx(73.1, abs=0.2)  # 0.2868 of 255


@pytest.mark.real_data
@pytest.mark.parametrize("split", [pytest.param("train", marks=pytest.mark.soak), "test"])
def test_cifar10(data_root: Path, split: str) -> None:
    images, labels, names = load_image_folder(data_root / "cifar10_jpeg.zip", split, limit_per_class=5)
    assert images.shape == (50, 3, 32, 32)
    assert np.bincount(labels).tolist() == [5] * 10
    assert len(set(names)) == 10
    assert images.std() > 30


@pytest.mark.real_data
def test_the_folder_comes_from_the_environment(
    data_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NMFDIAG_DATA", str(data_root))
    assert len(load("fashion_mnist", "test")) == 10_000
    monkeypatch.setenv("NMFDIAG_DATA", str(tmp_path))
    with pytest.raises(NmfdiagError):
        load("fashion_mnist", "test")
