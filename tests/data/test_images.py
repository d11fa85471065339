"""Image folders and zips of them: their lay-outs, and the hostile ones."""

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nmfdiag.data import images as module
from nmfdiag.data import load, tree
from nmfdiag.data.images import load_images
from nmfdiag.errors import NmfdiagError

Png = Callable[..., bytes]


def corners(found: Any) -> list[int]:
    """One pixel of each image, which tells the images of these tests apart."""
    return list(found.inputs[:, 0, 0, 0].tolist())


def test_classes_and_images_come_in_the_order_of_their_names(tmp_path: Path, make_tree: Any, png: Png) -> None:
    entries = {"b/1.png": png(3), "a/2.png": png(2), "a/10.png": png(1), "a/notes.txt": b"x", "a/.1.png": b"x"}
    found = load_images(make_tree(tmp_path / "own", entries), "train")
    assert found.inputs.shape == (3, 1, 4, 4)
    assert corners(found) == [1, 2, 3]
    assert (found.labels.tolist(), found.class_names) == ([0, 0, 1], ("a", "b"))


def test_a_label_means_the_same_in_both_splits(tmp_path: Path, make_tree: Any, png: Png) -> None:
    path = make_tree(tmp_path / "own", {"train/a/1.png": png(1), "train/b/1.png": png(2), "test/b/1.png": png(3)})
    assert corners(load_images(path, "train")) == [1, 2]
    test = load_images(path, "test")
    assert (corners(test), test.labels.tolist(), test.class_names) == ([3], [1], ("a", "b"))


@pytest.mark.parametrize("wrapper", ["pets", "pets/of/mine"])
def test_a_folder_around_everything_is_looked_through(tmp_path: Path, make_zip: Any, png: Png, wrapper: str) -> None:
    entries = {f"{wrapper}/train/a/1.png": png(1), f"{wrapper}/test/a/1.png": png(2), "__MACOSX/pets/._1.png": b"x"}
    found = load_images(make_zip(tmp_path / "pets.zip", entries), "test")
    assert (corners(found), found.class_names) == ([2], ("a",))


def test_what_is_not_split_is_a_training_set(tmp_path: Path, make_tree: Any, png: Png) -> None:
    path = make_tree(tmp_path / "own", {"a/1.png": png(1)})
    assert corners(load_images(path, "train")) == [1]
    with pytest.raises(NmfdiagError, match="own has no split 'test': it has train"):
        load_images(path, "test")


def test_size_and_limit(tmp_path: Path, make_folder: Any, png: Png) -> None:
    path = make_folder(tmp_path / "own", {f"a/{i}.png": png(i, (4, 6)) for i in range(4)} | {"b/0.png": png(9, (8, 8))})
    limited = load(path, limit_per_class=2)
    assert limited.inputs.shape == (3, 1, 6, 4)
    assert limited.labels.tolist() == [0, 0, 1]
    assert (limited.name, limited.input_shape) == ("own", (1, 6, 4))
    assert load(str(path), size=(3, 5)).inputs.shape == (5, 1, 3, 5)


def test_what_the_limit_leaves_out_is_not_decoded(tmp_path: Path, make_tree: Any, png: Png) -> None:
    path = make_tree(tmp_path / "own", {"a/1.png": png(1), "a/2.png": b"damaged"})
    assert corners(load_images(path, "train", limit_per_class=1)) == [1]


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_images_have_one_channel(tmp_path: Path, make_folder: Any, png: Png, mode: str) -> None:
    found = load_images(make_folder(tmp_path, {"a/1.png": png(100, mode=mode)}), "train")
    assert found.inputs.shape == (1, 1, 4, 4)
    assert set(found.inputs.ravel().tolist()) == {100}


@pytest.mark.parametrize("order", [("L", "RGB"), ("RGB", "L")])
def test_grey_among_colour_gets_three_channels(
    tmp_path: Path, make_folder: Any, png: Png, order: tuple[str, str]
) -> None:
    entries = {f"a/{i}.png": png(100, mode=mode) for i, mode in enumerate(order)}
    found = load_images(make_folder(tmp_path, entries), "train")
    expected = {"L": [100, 100, 100], "RGB": [100, 0, 0]}
    assert found.inputs[:, :, 0, 0].tolist() == [expected[mode] for mode in order]


def test_digits_survive_a_folder_of_them(tmp_path: Path) -> None:
    digits = load("digits", "test")
    for i, (image, label) in enumerate(zip(digits.inputs[:40], digits.labels[:40], strict=True)):
        (tmp_path / "test" / str(int(label))).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(tmp_path / "test" / str(int(label)) / f"{i:03}.png")
    back = load(tmp_path, "test")
    order = torch.argsort(digits.labels[:40], stable=True)
    assert back.inputs.dtype == torch.uint8
    assert torch.equal(back.inputs, digits.inputs[:40][order])
    assert back.class_names == digits.class_names
    assert torch.equal(back.labels, digits.labels[:40][order])


def test_names_that_leave_the_zip_are_not_read(tmp_path: Path, make_zip: Any, png: Png) -> None:
    names = ("../a/1.png", "/a/2.png", "a/../../3.png", "..\\a\\4.png", "C:/a/5.png", "a/C:6.png")
    bad = dict.fromkeys(names, png(9))
    assert corners(load_images(make_zip(tmp_path / "a.zip", {"a/1.png": png(1), **bad}), "train")) == [1]
    with pytest.raises(NmfdiagError, match=r"b\.zip has no images as CLASS/IMAGE or train/CLASS/IMAGE"):
        load_images(make_zip(tmp_path / "b.zip", bad), "train")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip"]  # nothing was unpacked


def test_links_are_not_followed_out(tmp_path: Path, make_folder: Any, png: Png) -> None:
    outside = make_folder(tmp_path / "outside", {"a/secret.png": png(9)})
    inside = make_folder(tmp_path / "inside", {"a/1.png": png(1)})
    (inside / "a" / "2.png").symlink_to(outside / "a" / "secret.png")
    (inside / "b").symlink_to(outside / "a")
    (inside / "a" / "3.png").symlink_to(inside / "a" / "1.png")
    found = load_images(inside, "train")
    assert (corners(found), found.class_names) == ([1, 1], ("a",))


def test_a_link_in_a_zip_is_not_read(tmp_path: Path, png: Png) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/1.png", png(1))
        link = zipfile.ZipInfo("a/2.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "1.png")
    assert corners(load_images(tmp_path / "a.zip", "train")) == [1]


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "postscript", "tiff"])
def test_what_is_no_image_of_the_four_formats(tmp_path: Path, make_tree: Any, png: Png, kind: str) -> None:
    tiff = io.BytesIO()
    Image.new("L", (4, 4)).save(tiff, "TIFF")
    content = {
        "empty": b"",
        "text": b"not an image",
        "truncated": png(size=(64, 64))[:60],
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "tiff": tiff.getvalue(),
    }[kind]
    with pytest.raises(NmfdiagError, match=r"^a/1\.png can't be decoded as an image: ") as caught:
        load_images(make_tree(tmp_path / "own", {"a/1.png": content}), "train")
    assert "0x" not in str(caught.value)  # no addresses of buffers


@pytest.mark.parametrize("most", [1000, 100])  # Pillow only warns up to the double of its limit
def test_a_decompression_bomb(
    tmp_path: Path, make_folder: Any, png: Png, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    folder = make_folder(tmp_path, {"a/1.png": png(size=(40, 40))})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    with pytest.raises(NmfdiagError, match=r"^a/1\.png has (40x40|too many) pixels"):
        load_images(folder, "train")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1600)
    assert len(load_images(folder, "train").inputs) == 1


def test_images_that_take_too_much_memory(
    tmp_path: Path, make_folder: Any, png: Png, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path, {f"a/{i}.png": png() for i in range(3)})
    monkeypatch.setattr(module, "MAX_BYTES", 3 * 3 * 16)
    assert len(load_images(folder, "train").inputs) == 3
    monkeypatch.setattr(module, "MAX_BYTES", 3 * 3 * 16 - 1)
    with pytest.raises(NmfdiagError, match="3 images of 4x4 take more than 143 bytes"):
        load_images(folder, "train")


def test_too_many_or_too_large_files(tmp_path: Path, make_tree: Any, png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_tree(tmp_path / "own", {f"a/{i}.png": png() for i in range(3)})
    monkeypatch.setattr(tree, "MAX_FILES", 2)
    with pytest.raises(NmfdiagError, match="own holds more than 2 files"):
        load_images(path, "train")
    monkeypatch.setattr(tree, "MAX_FILES", 3)
    monkeypatch.setattr(tree, "MAX_FILE_BYTES", len(png()) - 1)
    with pytest.raises(NmfdiagError, match=r"0\.png is larger than 0 MiB"):
        load_images(path, "train")


def test_a_zip_that_promises_too_much(tmp_path: Path, make_zip: Any, png: Png) -> None:
    path = make_zip(tmp_path / "a.zip", {"a/1.png": png()})
    content = path.read_bytes()
    directory = content.rindex(b"PK\x01\x02")
    path.write_bytes(content[: directory + 24] + (2**31).to_bytes(4, "little") + content[directory + 28 :])
    with pytest.raises(NmfdiagError, match=r"a\.zip: a/1\.png promises 2,147,483,648 bytes"):
        load_images(path, "train")


def test_an_encrypted_zip(tmp_path: Path, make_zip: Any, png: Png) -> None:
    path = make_zip(tmp_path / "a.zip", {"a/1.png": png()})
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(NmfdiagError, match=r"a/1\.png is encrypted"):
        load_images(path, "train")


def test_an_unusual_packing(tmp_path: Path, png: Png) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a/1.png", png())
    with pytest.raises(NmfdiagError, match=r"a/1\.png must be stored or deflated"):
        load_images(tmp_path / "a.zip", "train")


def test_a_damaged_zip(tmp_path: Path, make_zip: Any, garble: Any, png: Png) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(NmfdiagError, match=r"a\.zip is neither a folder nor a readable zip"):
        load_images(path, "train")
    with pytest.raises(NmfdiagError, match=r"a/1\.png can't be read: "):
        load_images(garble(make_zip(path, {"a/1.png": png()})), "train")


@pytest.mark.real_data
def test_clothes_survive_a_zip_of_them(tmp_path: Path, data_root: Path, make_zip: Any) -> None:
    clothes = load("fashion_mnist", "test", root=data_root, limit_per_class=3)
    entries = {}
    for i, (image, label) in enumerate(zip(clothes.inputs, clothes.labels, strict=True)):
        buffer = io.BytesIO()
        Image.fromarray(image[0].numpy()).save(buffer, "PNG")
        entries[f"clothes/test/{int(label)}/{i}.png"] = buffer.getvalue()
    back = load(make_zip(tmp_path / "clothes.zip", entries), "test")
    assert np.bincount(back.labels).tolist() == [3] * 10
    for label in range(10):
        rows = [sorted(x.numpy().tobytes() for x in s.inputs[s.labels == label]) for s in (clothes, back)]
        assert rows[0] == rows[1]
