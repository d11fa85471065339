"""Files of another kind are named by it, among samples and among weights."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nmfdiag.data.datasets import load
from nmfdiag.data.file_kinds import kind_of_file
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.read import read_state_dict


def saved() -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(40, 40)}, buffer)
    return buffer.getvalue()


def picture(kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, kind)
    return buffer.getvalue()


def packed(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, picture())
    return buffer.getvalue()


FILES = {
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 4\n",
    "an HTML page": b"\n<!DOCTYPE html><html>Sign in</html>",
    "a plain text": b"# My network\nTrained for 90 epochs\n",
    "a table as text": b"label,pixel0,pixel1\n3,0,255\n",
    "the index of weights that lie in several": b'{"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}',
    "a gzip archive": gzip.compress(b"PK" * 30),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(40),
    "ONNX": b"\x08\x07\x12\x07pytorch\x1a\x052.1.0",
    "a PNG image": picture(),
    "a single NumPy array": b"\x93NUMPY\x01\x00" + bytes(60),
    "cut off": saved()[:-200],
    "have 0 bytes": b"",
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_checkpoint_and_no_data(tmp_path: Path, kind: str) -> None:
    (tmp_path / "w.pth").write_bytes(FILES[kind])
    with pytest.raises(NmfdiagError, match=kind):
        read_state_dict(tmp_path / "w.pth")
    (tmp_path / "x.npz").write_bytes(FILES[kind])
    with pytest.raises(NmfdiagError, match="empty" if kind == "have 0 bytes" else kind):
        load(str(tmp_path / "x.npz"))


def test_weights_given_for_samples_and_the_other_way_round(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(saved())
    with pytest.raises(NmfdiagError, match="it is a checkpoint of PyTorch"):
        load(str(tmp_path / "w.pth"))
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 2)), y=[0, 1, 0, 1])
    with pytest.raises(NmfdiagError, match=r"an archive of NumPy arrays.*--data"):
        read_state_dict(tmp_path / "x.npz")
    (tmp_path / "x.npz").rename(tmp_path / "renamed.zip")
    assert len(load(str(tmp_path / "renamed.zip"))) == 4
    with pytest.raises(NmfdiagError, match="is a folder: give the file of weights"):
        read_state_dict(tmp_path)
    assert kind_of_file(tmp_path / "missing") == ""


@pytest.mark.parametrize("read", [load, read_state_dict])
@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path(read: object, path: str) -> None:
    with pytest.raises(NmfdiagError, match="is empty"):
        read(path)  # type: ignore[operator]


@pytest.mark.parametrize(("names", "message"), [
    (["my data/cat/1.png", "my data/dog/2.png"], "below the folder 'my data'"),
    (["test/cat/1.png", "test/dog/2.png"], "below the folders 'test'"),
    (["1.png", "2.png"], "2 images lie in no class folder"),
    (["cat/1.heic", "dog/2.heic"], "other files \\(2 .heic\\)"),
])  # fmt: skip
def test_images_that_lie_elsewhere(tmp_path: Path, names: list[str], message: str) -> None:
    (tmp_path / "a.zip").write_bytes(packed(names))
    with pytest.raises(NmfdiagError, match=f"No images as CLASS/IMAGE or train/CLASS/IMAGE in .*{message}"):
        load(str(tmp_path / "a.zip"))


@pytest.mark.parametrize("is_zip", [False, True])
@pytest.mark.parametrize("top", ["", "train/"])
def test_a_class_without_images_keeps_its_number_and_what_is_left_out_is_named(
    tmp_path: Path, is_zip: bool, top: str
) -> None:
    files = {
        "ant/1.PNG": picture(), "bee/2.tif": picture("TIFF"), "bee/3.heic": b"?", "cow/4.heic": b"?", "dog/5.gif": picture("GIF"),
        "elk/6.JFIF": picture("JPEG"), "fox/7.ppm": picture("PPM"), ".git/8.png": picture(), "fox/Thumbs.db": b"?",
    }  # fmt: skip
    path = tmp_path / ("a.zip" if is_zip else "a")
    if is_zip:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(top + name, content)
            archive.writestr(f"{top}gnu/", b"")
            archive.writestr(f"__MACOSX/{top}ant/._1.PNG", b"?")
    else:
        for name, content in files.items():
            (path / top / name).parent.mkdir(parents=True, exist_ok=True)
            (path / top / name).write_bytes(content)
        (path / top / "gnu").mkdir()
    data = load(str(path))
    assert data.class_names == ("ant", "bee", "cow", "dog", "elk", "fox", "gnu")
    assert data.labels.tolist() == [0, 1, 3, 4, 5]
    notes = " ".join(data.notes)
    assert all(part in notes for part in ("1 .tif", "2 .heic", "bee/3.heic", "cow (class 2), gnu (class 6)"))


def test_links_are_named_and_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    for name in ("data/ant/1.png", "data/cow/1.png", "elsewhere/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture())
    (tmp_path / "data" / "bee").symlink_to(tmp_path / "elsewhere")
    data = load(str(tmp_path / "data"))
    assert (data.class_names, data.labels.tolist()) == (
        ("ant", "bee", "cow"),
        [0, 2],
    ) and "bee (class 1)" in data.notes[0]
    for mode in ("F", "I"):
        Image.new(mode, (4, 4), 1).save(tmp_path / "data" / "ant" / "0.tif")
        with pytest.raises(
            NmfdiagError, match=r"ant/0\.tif can't be decoded as an image: it holds numbers without a known range"
        ):
            load(str(tmp_path / "data"))


@pytest.mark.parametrize(("y", "message"), [(np.array(["a", "b"]), "text"), (np.full((2, 2), 0.5), "probabilities")])
def test_labels_of_an_npz_that_are_no_classes(tmp_path: Path, y: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)), y=y)
    with pytest.raises(NmfdiagError, match=rf"a\.npz.*{message}"):
        load(str(tmp_path / "a.npz"))
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)), y=np.eye(2))
    assert load(str(tmp_path / "a.npz")).labels.tolist() == [0, 1]
