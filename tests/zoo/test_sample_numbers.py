"""A sample keeps the number and file name that it has in the user's data, whatever part of them is read, drawn, added and scored."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import nmfdiag
from nmfdiag.data.datasets import load
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.zoo.add_network import add_opened
from nmfdiag.zoo.files import sha256_of
from nmfdiag.zoo.open_network import Opened, open_activations, open_checkpoint
from nmfdiag.zoo.registry import lookup, refresh

NETWORK = "digits-mlp-p0.2-s0"
N = 240
NAMES = tuple("null one two three four five six seven eight nine".split())
"""Names of the class folders, in an order that is not the alphabet's."""


@pytest.fixture(scope="module")
def samples() -> tuple[np.ndarray, np.ndarray]:
    digits = load("digits", "train")
    return digits.inputs[:N].numpy(), digits.labels[:N].numpy()


@pytest.fixture(scope="module", params=["npz", "folder", "zip", "split"])
def data(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, samples: tuple[np.ndarray, np.ndarray]
) -> Path:
    """Return 240 digits as an .npz, a folder, a zip of it, or a folder with splits."""
    images, labels = samples
    folder = tmp_path_factory.mktemp("numbers")
    if request.param == "npz":
        np.savez(folder / "digits.npz", x=images, y=labels)
        return folder / "digits.npz"
    root = folder / "digits"
    parent = root / "train" if request.param == "split" else root
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = parent / NAMES[label] / f"{(i * 7) % N:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
    if request.param == "split":
        (root / "test" / NAMES[0]).mkdir(parents=True)
        Image.fromarray(images[0, 0]).save(root / "test" / NAMES[0] / "000.png")
    if request.param == "zip":
        with zipfile.ZipFile(folder / "digits.zip", "w") as archive:
            for path in sorted(root.rglob("*.png"), reverse=True):
                archive.write(path, path.relative_to(root))
        return folder / "digits.zip"
    return root


def open_digits(data: Path, per_class: int | None) -> Opened:
    return open_checkpoint("mlp", lookup(NETWORK).files["weights"], data, per_class=per_class, normalization="none")


def check_numbers(
    data: Path, stored: torch.Tensor, rows: list[int], file_names: tuple[str, ...], images: np.ndarray
) -> None:
    """Check that each sample is the one that its number and its file name name in the data."""
    assert rows == sorted(set(rows)) and len(rows) == len(stored)
    if data.suffix == ".npz":
        assert file_names == () and np.array_equal(stored, images[rows])
        return
    archive = zipfile.ZipFile(data) if data.suffix == ".zip" else None
    names = archive.namelist() if archive else [path.relative_to(data).as_posix() for path in data.rglob("*.png")]
    listed = sorted(name for name in names if not name.startswith("test/"))
    assert [listed[row] for row in rows] == list(file_names)
    for image, name in zip(stored, file_names, strict=True):
        with archive.open(name) if archive else (data / name).open("rb") as file:
            assert np.array_equal(image[0], np.asarray(Image.open(file)))


@pytest.mark.parametrize("per_class", [None, 5])
def test_an_opened_sample_has_its_number(
    data: Path, samples: tuple[np.ndarray, np.ndarray], per_class: int | None
) -> None:
    opened = open_digits(data, per_class)
    assert opened.stored is not None and len(opened.inputs) == (N if per_class is None else 50)
    check_numbers(data, opened.stored, opened.sample_rows.tolist(), opened.file_names, samples[0])
    if per_class:
        assert opened.sample_rows.tolist() != list(range(50)) and "up to 5 a class" in opened.provenance["samples"]
    else:
        assert "240 of digits" in opened.provenance["samples"] and "all of them" in opened.provenance["samples"]


def test_an_added_network_keeps_them(
    data: Path, samples: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path / "zoo"))
    refresh()
    opened = open_digits(data, 5)
    entry = add_opened("own", opened)
    pool = entry.load_pool()
    check_numbers(
        data, load_file(entry.files["pool"])["inputs"], pool.sample_rows.tolist(), pool.file_names, samples[0]
    )
    stored = load_file(entry.files["labels"])
    for name, damage in (("rows", torch.zeros(50)), ("rows", torch.arange(49)), ("files", torch.full((9,), 300.0))):
        save_file(stored | {name: damage}, entry.files["labels"])
        monkeypatch.setitem(entry.sha256, "labels", sha256_of(entry.files["labels"]))
        with pytest.raises(NmfdiagError, match="probe pool of own lacks a tensor, or it does not fit"):
            entry.load_pool()
    refresh()


@pytest.fixture(scope="module")
def result() -> Suspects:
    pool = lookup(NETWORK).load_pool()
    return nmfdiag.suspects(lookup(NETWORK).load_model(), pool.inputs[:300], pool.given_labels[:300], per_class=20)


def test_scored_samples_take_the_users_numbers(result: Suspects, tmp_path: Path) -> None:
    numbers = np.arange(300) * 3 + 1000
    names = [f'a/{i}, "x.png' for i in range(300)]
    own = result.numbered(numbers, names)
    assert own.file_text(2) == names[int(result.indices[2])] and result.file_text(2) == ""
    assert result.numbered(numbers, ["a\x1b[2J"] * 300).file_text(0) == "a\\x1b[2J"
    plain, frame = result.to_frame(), own.to_frame()
    assert list(frame.columns[:3]) == ["index", "file", "given"]
    assert (frame["index"] == plain["index"] * 3 + 1000).all() and list(frame["file"]) == [
        names[i] for i in plain["index"]
    ]
    assert (frame.drop(columns=["index", "file"]) == plain.drop(columns="index")).all().all()
    first = int(frame["index"][0])
    assert own.reasons(first).nearest_given == tuple(
        3 * i + 1000 for i in result.reasons((first - 1000) // 3).nearest_given
    )
    own.to_csv(tmp_path / "own.csv")
    assert list(pd.read_csv(tmp_path / "own.csv")["file"]) == list(frame["file"])
    own.to_json(tmp_path / "own.json")
    for wrong_numbers in (numbers[:50], numbers[::-1], numbers / 2):
        with pytest.raises(NmfdiagError, match="whole numbers that ascend"):
            result.numbered(wrong_numbers)
    with pytest.raises(NmfdiagError, match="3 file names for 300"):
        result.numbered(numbers, names[:3])


def test_recorded_activations_are_numbered_as_they_stand(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", activations=np.ones((4, 3)), labels=np.array([0, 1, 0, 1]), weight=np.ones((2, 3)))
    assert open_activations(tmp_path / "a.npz").sample_rows.tolist() == [0, 1, 2, 3]
