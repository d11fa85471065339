"""Hostile arrays and images."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from file_bytes import jpeg_of_scans, listed, lying_zip, npy, png, png_of_size, zip_of
from hostile import (
    ACTIVATIONS,
    NAMES,
    SAMPLES,
    Hostile,
    content_writer,
    describe,
    touch_command,
    write_folder,
    write_sparse,
)


def arrays() -> Iterator[Hostile]:
    """Yield archives of NumPy, as samples and as activations."""
    labels = npy("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", bytes(16))
    heads = {
        "a petabyte": "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000,), }",
        "less than nothing": "{'descr': '|u1', 'fortran_order': False, 'shape': (-2, -2, 1, 1), }",
        "sizes beyond any integer": f"{{'descr': '|u1', 'fortran_order': False, 'shape': (0, {10**30}), }}",
        "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
        "a type of itself": "{'descr': [('a', [('a', '|O')])], 'fortran_order': False, 'shape': (2,), }",
        "a type that is none": "{'descr': {1: 2}, 'fortran_order': False, 'shape': (2,), }",
        "a call": "__import__('os').abort()",
        "nine thousand signs": "-" * 9000 + "1",
        "brackets": "(" * 9000,
        "ninety axes": f"{{'descr': '|u1', 'fortran_order': False, 'shape': {(1,) * 90}, }}",
    }
    for description, head in heads.items():
        for role, name in ((SAMPLES, "x"), (ACTIVATIONS, "activations")):
            entries = {f"{name}.npy": npy(head, bytes(1)), "y.npy": labels, "labels.npy": labels, "weight.npy": labels}
            write = describe(lambda path, bait, entries=entries: zip_of(path, entries), f".npz, {description}")  # type: ignore[misc]
            yield Hostile("lies.npz", role, write, "lies")
    trap = describe(
        lambda path, bait: np.savez(
            path.open("wb"), allow_pickle=True, x=np.array([touch_command(bait)], object), y=np.zeros(1, int)
        ),
        "objects that run code",
    )
    yield Hostile("trap.npz", SAMPLES, trap, r"array x\.npy is of objects")
    large = npy("{'descr': '|i1', 'fortran_order': False, 'shape': (1610612736, 1), }")
    bomb = lying_zip({"x.npy": (large, len(large) + 3 * 2**29), "y.npy": (labels, len(labels))})
    huge = lying_zip({"x.npy": (large, 2**34), "y.npy": (labels, len(labels))})
    over = {"x": np.full((4, 3), 1e300), "y": np.array([0, 1, 0, 1])}
    big = {"activations": np.ones((4, 3), ">f4"), "labels": np.array([0, 1, 0, 1], ">i2"), "weight": np.ones((2, 3), ">f8")}  # fmt: skip
    odd = big | {"labels": np.array([0, 1, 0, 1], np.longdouble)}
    files = {
        "bomb.npz": (SAMPLES, content_writer(bomb, "1.5 GiB that would be 6 as floats"), "x takes more than 4 GiB|can't be read|not a readable"),
        "huge.npz": (SAMPLES, content_writer(huge, "16 GiB in 1 MB"), "expands to more than|is not a readable"),
        "over.npz": (SAMPLES, array_writer(over, "numbers that no float32 holds"), "too large for float32"),
        "listed.npz": (SAMPLES, describe(lambda path, bait: path.write_bytes(listed(2 * 10**6)), "an .npz of two million names"), "lists its entries in .* accepted are"),
        "many.npz": (ACTIVATIONS, content_writer(listed(10_000, "a.npy"), "an .npz of names alone"), "has no array called activations or x"),
        "big.npz": (ACTIVATIONS, array_writer(big, "the other order of bytes"), ""),
        "odd.npz": (ACTIVATIONS, array_writer(odd, "labels of sixteen bytes"), "Labels must be whole numbers"),
    }  # fmt: skip
    for name, (role, write, message) in files.items():
        yield Hostile(name, role, write, message)


def array_writer(arrays: dict[str, np.ndarray], description: str) -> Callable[[Path, Path], None]:
    return describe(lambda path, bait: np.savez(path.open("wb"), **arrays), description)  # type: ignore[arg-type]


def images() -> Iterator[Hostile]:
    """Yield zips and folders of images."""
    good = {f"{c}/{i}.png": png(40 * i) for c in "ab" for i in range(4)}
    packed = {
        "names that lead out": ({"../a/1.png": png(), "/a/2.png": png(), "a/../../3.png": png(), "..\\a\\1.png": png()}, "No images as"),
        "an image of 900 megapixels": ({"a/1.png": png_of_size(30_000, 30_000)}, "decompression bomb"),
        "an image with a text that unpacks to 64 MiB": ({"a/1.png": png(text=bytes(2**26))}, "can't be decoded"),
        "a JPEG of ten thousand scans": ({"a/1.png": jpeg_of_scans(10_000)}, "has more than 100 scans"),
        "PostScript": ({"a/1.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(ran) (w) file\n"}, "can't be decoded"),
        "a drawing with a script": ({"a/1.png": b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"}, "can't be decoded"),
    }  # fmt: skip
    for description, (entries, message) in packed.items():
        yield Hostile(
            "images.zip",
            SAMPLES,
            describe(lambda path, bait, entries=entries: zip_of(path, entries), description),
            message,
        )  # type: ignore[misc]
    plain = zip_of(io.BytesIO(), {"a/1.png": png()})
    broken = {
        "a name that is no text": plain.replace(b"a/1.png", b"\xff\xff1.png").replace(
            b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x08"
        ),
        "LZMA that is none": plain.replace(b"\x14\x00\x00\x00\x00\x00", b"\x3f\x00\x00\x00\x0e\x00"),
        "a packing that nobody knows": plain.replace(b"\x14\x00\x00\x00\x00\x00", b"\x14\x00\x00\x00\x63\x00"),
        "a password": plain.replace(b"\x14\x00\x00\x00\x00\x00", b"\x14\x00\x01\x00\x00\x00"),
        "half of it": plain[: len(plain) // 2],
    }
    for description, content in broken.items():
        yield Hostile(
            "broken.zip",
            SAMPLES,
            content_writer(content, f"a zip, {description}"),
            "can't be read|is not a readable zip|No images|packs .* in a way that is not accepted",
        )
    named_folders = {f"{name}/{i}.png": png(40 * i) for name in NAMES for i in range(2)}
    yield Hostile(
        "named.zip",
        SAMPLES,
        describe(lambda path, bait: zip_of(path, named_folders), "classes with names for a page or a terminal"),
        "",
    )
    yield Hostile(
        "named",
        SAMPLES,
        describe(lambda path, bait: write_folder(path, named_folders), "a folder of such classes"),
        "",
        only_path=True,
    )
    raw = {f"{os.fsdecode(name)}/{i}.png": png(9 * i) for name in (b"a\xff", b"a\xfe", b"b") for i in range(2)}
    yield Hostile(
        "raw",
        SAMPLES,
        describe(lambda path, bait: write_folder(path, raw), "classes whose names are no text"),
        "",
        only_path=True,
    )
    sparse = (lambda path: write_sparse(write_folder(path, good) / "a" / "0.png", 10 * 2**30), "has more than 64 MiB")
    folders = {
        "a folder in itself a thousand times": (deep, "No images as"),
        "pipes, links to a device and around": (devices, "No images as"),
        "an image file of 10 GiB": sparse,
        "links that lead out": (links_out, "No images as"),
    }
    for description, (write, message) in folders.items():
        writer = describe(lambda path, bait, write=write: write(path), description)  # type: ignore[misc]
        yield Hostile("folder", SAMPLES, writer, message, only_path=True)
    nothing = describe(lambda path, bait: None, "a name of five thousand letters")
    yield Hostile("x" * 5000, SAMPLES, nothing, "Unknown data set", only_path=True)


def deep(path: Path) -> None:
    path.mkdir()
    descriptor = os.open(path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)


def devices(path: Path) -> None:
    (path / "a").mkdir(parents=True)
    os.mkfifo(path / "a" / "1.png")
    (path / "a" / "2.png").symlink_to("/dev/zero")
    (path / "a" / "3.png").symlink_to(path / "a" / "3.png")
    (path / "b").symlink_to(path)


def links_out(path: Path) -> None:
    secret = write_folder(path.parent / "outside", {"a/1.png": png()})
    path.mkdir()
    (path / "all").symlink_to(secret)
    (path / "a").mkdir()
    (path / "a" / "1.png").symlink_to(secret / "a" / "1.png")
