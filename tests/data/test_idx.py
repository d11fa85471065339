"""MNIST's file format."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from nmfdiag.data import load
from nmfdiag.data.idx import read_idx
from nmfdiag.errors import NmfdiagError


def idx(shape: tuple[int, ...], body: bytes, magic: bytes = b"\x00\x00\x08") -> bytes:
    return magic + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_it_reads_what_was_written(tmp_path: Path, name: str) -> None:
    content = idx((2, 3), bytes(range(6)))
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert read_idx(tmp_path / name, 2).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (idx((2, 3), bytes(5)), r"holds fewer values than the 6 of its header \(2, 3\)"),
        (idx((2, 3), bytes(7)), "holds more values than the 6"),
        (idx((2**31, 2**31), b""), "its header promises 4,611,686,018,427,387,904 bytes"),
        (idx((2**32 - 1, 2), b""), "its header promises"),
        (idx((2, 3), bytes(6), magic=b"\x00\x00\x0d"), "no IDX file of unsigned bytes with 2 axes"),
        (idx((6,), bytes(6)), "no IDX file"),
        (idx((1, 2, 3), bytes(6)), "no IDX file"),
        (b"", "no IDX file"),
        (b"\x00\x00\x08\x02\x00", "no IDX file"),
    ],
)
def test_a_header_that_lies(tmp_path: Path, content: bytes, says: str) -> None:
    for name, packed in (("a", content), ("a.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(packed)
        with pytest.raises(NmfdiagError, match=says):
            read_idx(tmp_path / name, 2)


@pytest.mark.parametrize("damage", ["plain", "truncated", "garbled", "checksum"])
def test_what_does_not_unpack(tmp_path: Path, damage: str) -> None:
    whole = gzip.compress(idx((400,), np.random.default_rng(0).bytes(400)))
    content = {
        "plain": b"not gzip",
        "truncated": whole[:-20],
        "garbled": whole[:10] + b"\xff" * 40 + whole[50:],
        "checksum": whole[:-8] + b"\x00" * 4 + whole[-4:],
    }[damage]
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(NmfdiagError, match=r"^a\.gz can't be read: "):
        read_idx(tmp_path / "a.gz", 1)


def write_mnist(root: Path, images: bytes, labels: bytes, ending: str = "") -> None:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    pack = gzip.compress if ending else bytes
    (folder / f"t10k-images-idx3-ubyte{ending}").write_bytes(pack(images))
    (folder / f"t10k-labels-idx1-ubyte{ending}").write_bytes(pack(labels))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_data_set_of_such_files(tmp_path: Path, ending: str) -> None:
    write_mnist(tmp_path, idx((2, 3, 3), bytes(range(18))), idx((2,), b"\x07\x01"), ending)
    before = sorted(tmp_path.rglob("*"))
    data = load("mnist", "test", root=tmp_path)
    assert data.inputs[:, 0].flatten().tolist() == list(range(18))
    assert data.labels.tolist() == [7, 1]
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked beside them


def test_as_many_labels_as_images(tmp_path: Path) -> None:
    write_mnist(tmp_path, idx((2, 3, 3), bytes(18)), idx((3,), b"\x07\x01\x02"))
    with pytest.raises(NmfdiagError, match=r"has 2 images but t10k-labels-idx1-ubyte has 3 labels"):
        load("mnist", "test", root=tmp_path)


def test_labels_beyond_the_classes(tmp_path: Path) -> None:
    write_mnist(tmp_path, idx((1, 3, 3), bytes(9)), idx((1,), b"\x0a"))
    with pytest.raises(NmfdiagError, match=r"Labels must lie in 0 \.\. 9, got 10 \.\. 10"):
        load("mnist", "test", root=tmp_path)
