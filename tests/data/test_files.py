"""The user's own files, every one of them hostile."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nmfdiag.data import files
from nmfdiag.data.datasets import load
from nmfdiag.data.files import load_image_folder, load_npz, read_arrays
from nmfdiag.errors import NmfdiagError


def png(value: int = 0, size: tuple[int, int] = (4, 4), mode: str = "L") -> bytes:
    colour = {"L": value, "RGB": (value, 0, 0), "LA": (value, 255), "I;16": value << 8}[mode]
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def make_zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def make_folder(path: Path, entries: dict[str, bytes]) -> Path:
    for name, content in entries.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def npy(header: str, body: bytes = b"") -> bytes:
    padded = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + body


def save_npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, allow_pickle=True, **arrays)
    return path


X, Y = np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.array([1, 0])


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("inputs", "targets")])
def test_npz(tmp_path: Path, names: tuple[str, str]) -> None:
    x, y, classes = load_npz(save_npz(tmp_path / "a.npz", **dict(zip(names, (X, Y), strict=True))))
    assert np.array_equal(x, X[:, None])
    assert x.dtype == np.uint8
    assert y.tolist() == [1, 0]
    assert classes == ("0", "1")


def test_npz_with_the_channels_last(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((2, 5, 6, 3))
    x, _, _ = load_npz(save_npz(tmp_path / "a.npz", x=images, y=Y))
    assert x.dtype == np.float32
    assert np.allclose(x[1, 2], images[1, :, :, 2])


def test_npz_of_vectors(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).random((2, 7))
    path = save_npz(tmp_path / "a.npz", x=vectors, y=Y)
    data = load(str(path))
    assert data.inputs.shape == (2, 7) and data.input_shape == (7, 1, 1)
    assert np.allclose(data.inputs, vectors)
    with pytest.raises(NmfdiagError, match=r"Only images are resized, got inputs of shape \(7,\) each"):
        load(str(path), size=8)


def test_npz_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match=r"x is empty, its shape is \(2, 0\)"):
        load_npz(save_npz(tmp_path / "a.npz", x=np.zeros((2, 0)), y=Y))


def test_npz_by_path(tmp_path: Path) -> None:
    assert load(str(save_npz(tmp_path / "a.npz", x=X, y=Y))).input_shape == (1, 3, 4)


def test_npz_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "a.npz", x=np.array([{}, {}], dtype=object), y=Y)
    with pytest.raises(NmfdiagError, match=r"array x\.npy is of objects, or its header lies about its size"):
        load_npz(path)


@pytest.mark.parametrize("shape", ["(1000000, 1000, 1000)", "(2, 3)", "(0,)", "(-2, -2)"])
def test_npz_with_a_lying_header(tmp_path: Path, shape: str) -> None:
    entry = npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}", bytes(5))
    with pytest.raises(NmfdiagError, match="its header lies about its size"):
        load_npz(make_zip(tmp_path / "a.npz", {"x.npy": entry, "y.npy": entry}))


@pytest.mark.parametrize("entry", [b"", b"not an array", npy("{'descr': "), npy("__import__('os').abort()")])
def test_npz_with_a_damaged_header(tmp_path: Path, entry: bytes) -> None:
    with pytest.raises(NmfdiagError, match=r"a\.npz"):
        load_npz(make_zip(tmp_path / "a.npz", {"x.npy": entry, "y.npy": entry}))


def test_npz_without_the_names(tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match="has no array called y or labels or targets; it has x, other"):
        load_npz(save_npz(tmp_path / "a.npz", x=X, other=Y))


@pytest.mark.parametrize(("x", "y"), [(X[0], Y), (X, Y[:1]), (X, Y.astype(float)), (X, Y[:, None]), (X[None, None], Y)])
def test_npz_of_the_wrong_shapes(tmp_path: Path, x: np.ndarray, y: np.ndarray) -> None:
    with pytest.raises(NmfdiagError, match=r"x must be \(n, c, h, w\) or \(n, d\), and y \(n,\) whole numbers, got "):
        load_npz(save_npz(tmp_path / "a.npz", x=x, y=y))


@pytest.mark.parametrize("label", [-1, 10**15])
def test_npz_with_impossible_labels(tmp_path: Path, label: int) -> None:
    with pytest.raises(NmfdiagError, match=r"labels must lie in 0 \.\. 9999, got"):
        load_npz(save_npz(tmp_path / "a.npz", x=X, y=np.array([0, label])))


@pytest.mark.parametrize(("label", "names_cure"), [(-100, True), (10**15, False)])
def test_npz_with_samples_without_a_label_names_the_cure(tmp_path: Path, label: int, names_cure: bool) -> None:
    with pytest.raises(NmfdiagError) as refusal:
        load_npz(save_npz(tmp_path / "a.npz", x=X, y=np.array([0, label])))
    cure = " Samples without a label have to be left out: x[y >= 0] and y[y >= 0]."
    assert str(refusal.value).endswith(cure) == names_cure


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_npz_that_is_not_finite(tmp_path: Path, value: float) -> None:
    x = X.astype(float)
    x[0, 0, 0] = value
    with pytest.raises(NmfdiagError, match="not finite"):
        load_npz(save_npz(tmp_path / "a.npz", x=x, y=Y))


def test_npz_that_expands_too_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_ARRAY_BYTES", 100)
    with pytest.raises(NmfdiagError, match=r"x\.npy expands to more than"):
        load_npz(save_npz(tmp_path / "a.npz", x=X, y=Y))


def garble(path: Path) -> Path:
    """Overwrite the packed bytes of the first entry with invalid data."""
    content = bytearray(path.read_bytes())
    start = 30 + int.from_bytes(content[26:28], "little") + int.from_bytes(content[28:30], "little")
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)
    return path


def test_npz_that_does_not_unpack(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=X, y=Y)
    with pytest.raises(NmfdiagError, match=r"a\.npz is not a readable \.npz"):
        load_npz(garble(path))
    path.write_bytes(b"PK nonsense")
    with pytest.raises(NmfdiagError, match=r"a\.npz is not a readable \.npz"):
        load_npz(path)


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_images_by_class(tmp_path: Path, make) -> None:
    path = make(tmp_path / "own", {"b/1.png": png(3), "a/2.png": png(2), "a/1.png": png(1), "a/notes.txt": b"x"})
    images, labels, names = load_image_folder(path, "train")
    assert images.shape == (3, 1, 4, 4)
    assert images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert labels.tolist() == [0, 0, 1]
    assert names == ("a", "b")


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_a_label_means_the_same_in_both_splits(tmp_path: Path, make) -> None:
    path = make(tmp_path / "own", {"train/a/1.png": png(1), "train/b/1.png": png(2), "test/b/1.png": png(3)})
    assert load_image_folder(path, "train")[1].tolist() == [0, 1]
    images, labels, names = load_image_folder(path, "test")
    assert images[:, 0, 0, 0].tolist() == [3]
    assert (labels.tolist(), names) == ([1], ("a", "b"))


def test_size_and_limit(tmp_path: Path) -> None:
    path = make_folder(tmp_path, {f"a/{i}.png": png(i, (4, 6)) for i in range(4)} | {"b/0.png": png(9, (8, 8))})
    images, labels, _ = load_image_folder(path, "train", limit_per_class=2)
    assert images.shape == (3, 1, 6, 4)
    assert labels.tolist() == [0, 0, 1]
    assert load_image_folder(path, "train", size=(3, 5))[0].shape == (5, 1, 3, 5)
    assert [load(str(path), limit_per_class=limit).n_stored for limit in (2, None)] == [5, 5]


def test_all_samples_of_a_file_are_counted(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "a.npz", x=np.zeros((7, 2)), y=np.array([0, 0, 0, 0, 1, 1, 1]))
    part = load(str(path), limit_per_class=2)
    assert (len(part), part.n_stored) == (4, 7)


def test_grey_and_colour(tmp_path: Path) -> None:
    grey = make_folder(tmp_path / "grey", {"a/1.png": png(100, mode="LA"), "a/2.png": png(100, mode="I;16")})
    images, _, _ = load_image_folder(grey, "train")
    assert images.shape == (2, 1, 4, 4)
    assert set(images.ravel().tolist()) == {100}
    mixed = make_folder(tmp_path / "both", {"a/1.png": png(100), "a/2.png": png(100, mode="RGB")})
    images, _, _ = load_image_folder(mixed, "train")
    assert images[:, :, 0, 0].tolist() == [[100, 100, 100], [100, 0, 0]]


def test_names_that_leave_the_zip_are_not_read(tmp_path: Path) -> None:
    bad = {"../a/1.png": png(9), "/a/2.png": png(9), "a/../../3.png": png(9), "a/._1.png": b"resource fork"}
    images, _, _ = load_image_folder(make_zip(tmp_path / "a.zip", {"a/1.png": png(1), **bad}), "train")
    assert images[:, 0, 0, 0].tolist() == [1]
    with pytest.raises(NmfdiagError, match="No images as CLASS/IMAGE or train/CLASS/IMAGE in"):
        load_image_folder(make_zip(tmp_path / "b.zip", bad), "train")


def test_links_that_leave_the_folder_are_not_read(tmp_path: Path) -> None:
    make_folder(tmp_path / "outside", {"secret.png": png(9)})
    inside = make_folder(tmp_path / "inside", {"a/1.png": png(1)})
    (inside / "a" / "2.png").symlink_to(tmp_path / "outside" / "secret.png")
    assert len(load_image_folder(inside, "train")[0]) == 1


@pytest.mark.parametrize(
    "content", [b"", b"not an image", png()[:40], b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(NmfdiagError, match=r"^a/1\.png can't be decoded as an image: "):
        load_image_folder(make_folder(tmp_path, {"a/1.png": content}), "train")


def test_only_the_four_formats_are_decoded(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "TIFF")
    with pytest.raises(NmfdiagError, match="can't be decoded as an image"):
        load_image_folder(make_folder(tmp_path, {"a/1.png": buffer.getvalue()}), "train")


def test_a_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path, {"a/1.png": png(size=(40, 40))})
    for limit in (1000, 100):  # Pillow warns above the limit and raises above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(NmfdiagError, match=r"can't be decoded as an image: .*decompression bomb"):
            load_image_folder(folder, "train")


def test_images_that_take_too_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_ARRAY_BYTES", 100)
    with pytest.raises(NmfdiagError, match="GiB at 4x4 pixels"):
        load_image_folder(make_folder(tmp_path, {f"a/{i}.png": png() for i in range(3)}), "train")


def test_too_many_or_too_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {f"a/{i}.png": png() for i in range(3)}
    monkeypatch.setattr(files, "MAX_IMAGE_BYTES", 10)
    with pytest.raises(NmfdiagError, match=r"a\.zip: 0\.png expands to more than"):
        load_image_folder(make_zip(tmp_path / "a.zip", entries), "train")
    monkeypatch.setattr(files, "MAX_FILES", 2)
    with pytest.raises(NmfdiagError, match="holds more than 2 images"):
        load_image_folder(make_folder(tmp_path / "a", entries), "train")


def test_a_damaged_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(NmfdiagError, match=r"a\.zip is not a readable zip"):
        load_image_folder(path, "train")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", png())
    with pytest.raises(NmfdiagError, match=r"a/1\.png can't be read: "):
        load_image_folder(garble(path), "train")


def test_no_more_images_are_decoded_than_asked_for(tmp_path: Path) -> None:
    entries = {f"{c}/{i}.png": png(i) if i < 2 else b"no image" for c in "ab" for i in range(5)}
    data = load(str(make_folder(tmp_path / "own", entries)), limit_per_class=2)
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert load(str(make_zip(tmp_path / "own.zip", entries)), limit_per_class=2, size=3).input_shape == (1, 3, 3)
    with pytest.raises(NmfdiagError, match=r"/2\.png can't be decoded"):
        load(str(tmp_path / "own"), limit_per_class=3)


def test_some_arrays_and_a_missing_one(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "a.npz", activations=X, labels=Y)
    names = {"A": ("activations",), "y": ("y", "labels"), "bias": ("bias",)}
    assert set(read_arrays(path, names, optional=["bias"])) == {"A", "y"}
    with pytest.raises(NmfdiagError, match="has no array called bias; it has activations, labels"):
        read_arrays(path, names)
