"""Data sets by name: digits, torchvision's, and the real ones where they are."""

import hashlib
import io
import pickle
import subprocess
import sys
import zipfile
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_digits

from nmfdiag.data import DATASETS, load
from nmfdiag.data.sources import CIFAR10_NAMES, Wanted
from nmfdiag.errors import NmfdiagError


def test_digits_are_scikit_learns_each_exactly_once() -> None:
    parts = [load("digits"), load("digits", "test")]
    assert [len(part) for part in parts] == [1200, 597]
    bunch = load_digits()
    expected = sorted((im.tobytes(), int(y)) for im, y in zip(bunch.images.astype(np.uint8), bunch.target, strict=True))
    found = []
    for part in parts:
        assert (part.inputs.dtype, part.labels.dtype) == (torch.uint8, torch.int64)
        assert (part.input_shape, part.n_classes) == ((1, 8, 8), 10)
        levels = torch.round(part.inputs.double() * 16 / 255).to(torch.uint8)[:, 0].numpy()
        found += [(im.tobytes(), int(y)) for im, y in zip(levels, part.labels, strict=True)]
    assert sorted(found) == expected


def test_digits_are_split_evenly() -> None:
    train, test = (torch.bincount(load("digits", split).labels) for split in ("train", "test"))
    share = train / (train + test)
    assert (share - 1200 / 1797).abs().max() < 0.005


def test_digits_are_those_that_the_shipped_networks_were_trained_on() -> None:
    # No oracle but a seal: with another split, their training samples would be in the test set.
    train = load("digits")
    seal = hashlib.sha256(train.inputs.numpy().tobytes() + train.labels.numpy().tobytes()).hexdigest()
    assert seal[:16] == "9c8b38f7eeff4ee0"


def test_limit_per_class_keeps_the_first() -> None:
    whole, limited = load("digits"), load("digits", limit_per_class=7)
    assert torch.bincount(limited.labels).tolist() == [7] * 10
    for label in range(10):
        assert torch.equal(limited.inputs[limited.labels == label], whole.inputs[whole.labels == label][:7])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "svhn"])
def test_what_is_missing_says_where_it_looked_and_how_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match=r"was not found.* in .*elsewhere.*NMFDIAG_DATA.*download=True.*--download"):
        load(name, root=tmp_path / "elsewhere")
    assert not list(tmp_path.rglob("*.*"))


def test_the_folder_is_the_argument_else_the_variable_else_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []

    def looked(wanted: Wanted) -> Any:
        seen.append(wanted.root)
        raise NmfdiagError("looked")

    info = DATASETS["mnist"]
    monkeypatch.setitem(DATASETS, "mnist", type(info)(**{**vars(info), "loader": looked}))
    monkeypatch.setenv("NMFDIAG_DATA", str(tmp_path))
    for root in ("given", None):
        with pytest.raises(NmfdiagError, match="looked"):
            load("mnist", root=root)
    monkeypatch.delenv("NMFDIAG_DATA")
    with pytest.raises(NmfdiagError, match="looked"):
        load("mnist")
    assert seen == [Path("given"), tmp_path, Path("data")]


@pytest.mark.parametrize("download", [False, True])
def test_only_download_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, download: bool) -> None:
    asked: list[bool] = []

    class Offline:
        def __init__(self, root: Path, train: bool, download: bool) -> None:
            asked.append(download)
            raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets, "MNIST", Offline)
    with pytest.raises(NmfdiagError, match="could not be downloaded.*no network" if download else "was not found"):
        load("mnist", root=tmp_path, download=download)
    assert asked == [download]


def test_a_download_is_read_in_the_same_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Online:
        def __init__(self, root: Path, train: bool, download: bool) -> None:
            raw = root / "MNIST" / "raw"
            raw.mkdir(parents=True)
            (raw / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + b"\0\0\0\1" * 3 + b"\x05")
            (raw / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + b"\0\0\0\1" + b"\x03")

    monkeypatch.setattr(torchvision.datasets, "MNIST", Online)
    data = load("mnist", root=tmp_path, download=True)
    assert (data.inputs.item(), data.labels.item()) == (5, 3)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_svhn_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)  # h w c n, as published
    path = tmp_path / "test_32x32.mat"
    scipy.io.savemat(path, {"X": pixels, "y": np.array([[10], [1], [9], [10]], np.uint8)})
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", {"test": ["", path.name, md5(path)]})
    data = load("svhn", "test", root=tmp_path)
    assert np.array_equal(data.inputs[2].numpy(), pixels[:, :, :, 2].transpose(2, 0, 1))
    assert data.labels.tolist() == [0, 1, 9, 0]  # ten stands for zero
    assert data.inputs.shape[1:] == DATASETS["svhn"].input_shape


def test_cifar10_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3072), dtype=np.uint8)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "batch").write_bytes(pickle.dumps({"data": pixels, "labels": [3, 9]}))
    (folder / "meta").write_bytes(pickle.dumps({"label_names": list(CIFAR10_NAMES)}))
    reader = torchvision.datasets.CIFAR10
    monkeypatch.setattr(reader, "train_list", [["batch", md5(folder / "batch")]])
    monkeypatch.setattr(reader, "test_list", [])
    monkeypatch.setattr(reader, "meta", {"filename": "meta", "key": "label_names", "md5": md5(folder / "meta")})
    data = load("cifar10", root=tmp_path)
    assert np.array_equal(data.inputs.numpy(), pixels.reshape(2, 3, 32, 32))  # published channels first
    assert (data.labels.tolist(), data.class_names[9]) == ([3, 9], "truck")


def test_other_images_are_not_taken_for_cifar10(tmp_path: Path, make_zip: Any, png: Any) -> None:
    make_zip(tmp_path / "cifar10_jpeg.zip", {"train/a/1.png": png()})
    with pytest.raises(NmfdiagError, match=r"cifar10_jpeg\.zip has other classes than CIFAR-10: a\."):
        load("cifar10", root=tmp_path)


def test_unknown_names_and_impossible_choices() -> None:
    with pytest.raises(NmfdiagError, match="Unknown data set 'imagenot': accepted are digits, mnist"):
        load("imagenot")
    with pytest.raises(NmfdiagError, match="Unknown split 'valid': accepted are train, test"):
        load("digits", "valid")
    with pytest.raises(NmfdiagError, match="limit_per_class must be 1 or more, got 0"):
        load("digits", limit_per_class=0)
    with pytest.raises(NmfdiagError, match=r"size must be \(height, width\), each 1 or more, got \(0, 4\)"):
        load("digits", size=(0, 4))
    with pytest.raises(NmfdiagError, match="size= is for image folders: digits has the size"):
        load("digits", size=(4, 4))


def test_the_catalogue() -> None:
    assert list(DATASETS) == ["digits", "mnist", "fashion_mnist", "cifar10", "svhn", "spoken_digits"]
    assert [info.name for info in DATASETS.values() if info.embedded] == ["digits"]
    for name, info in DATASETS.items():
        assert name == info.name
        assert info.n_classes == len(info.class_names) == 10
        assert all((info.title, info.source, info.licence))
    with pytest.raises(FrozenInstanceError):
        DATASETS["digits"].title = "Others"  # type: ignore[misc]


HEAVY = ("torch", "torchvision", "sklearn", "scipy", "soundfile", "PIL")


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("from nmfdiag.data import DATASETS", []),
        ("from nmfdiag.data import load, randomize_labels, multi_class_batch", ["torch"]),
    ],
)
def test_importing_is_cheap(code: str, loaded: list[str]) -> None:
    code = f"{code}; import sys; print([name for name in {HEAVY} if name in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(loaded)


@pytest.mark.real_data
def test_fashion_mnist(data_root: Path) -> None:
    data = load("fashion_mnist", "test", root=data_root)
    assert data.inputs.shape == (10_000, *DATASETS["fashion_mnist"].input_shape)
    assert torch.bincount(data.labels).tolist() == [1000] * 10
    assert data.inputs.float().mean().item() == pytest.approx(73.1, abs=0.2)  # 0.2868 of 255
    # Labels and images belong together: of all classes, trousers leave most of the side columns black.
    sides = data.inputs[:, 0, :, [3, 24]].float().mean(dim=(1, 2))
    by_class = torch.stack([sides[data.labels == c].mean() for c in range(10)])
    assert data.class_names[int(by_class.argmin())] == "Trouser"


@pytest.mark.real_data
def test_cifar10_from_its_zip_and_from_a_folder(data_root: Path, tmp_path: Path) -> None:
    zipped = load("cifar10", "test", root=data_root, limit_per_class=4)
    assert zipped.inputs.shape == (40, *DATASETS["cifar10"].input_shape)
    assert zipped.labels.tolist() == [c for c in range(10) for _ in range(4)]
    with zipfile.ZipFile(data_root / "cifar10_jpeg.zip") as archive:
        frog = np.asarray(Image.open(io.BytesIO(archive.read("test/frog/0002.jpg"))))
        archive.extractall(
            tmp_path / "cifar10_jpeg",
            [f"{split}/{name}/{i:04}.jpg" for split in ("train", "test") for name in CIFAR10_NAMES for i in range(4)],
        )
    assert np.array_equal(zipped.inputs[6 * 4 + 2].permute(1, 2, 0).numpy(), frog)
    assert torch.equal(load("cifar10", "test", root=tmp_path).inputs, zipped.inputs)
    assert not torch.equal(load("cifar10", "train", root=tmp_path).inputs, zipped.inputs)
