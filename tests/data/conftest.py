"""Makers of the small files that the tests of this room read."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image

Maker = Callable[[Path, Mapping[str, bytes]], Path]


def _zip(path: Path, entries: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def _folder(path: Path, entries: Mapping[str, bytes]) -> Path:
    for name, content in entries.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@pytest.fixture
def make_zip() -> Maker:
    """Write a zip of the given entries; returns its path."""
    return _zip


@pytest.fixture
def make_folder() -> Maker:
    """Write a folder of the given files; returns its path."""
    return _folder


@pytest.fixture(params=["folder", "zip"])
def make_tree(request: pytest.FixtureRequest) -> Maker:
    """Do the same test once with a folder and once with a zip."""
    return {"folder": _folder, "zip": _zip}[request.param]


@pytest.fixture
def garble() -> Callable[[Path], Path]:
    """Overwrite the packed bytes of a zip's first entry with what no unpacker understands."""

    def overwrite(path: Path) -> Path:
        content = bytearray(path.read_bytes())
        start = 30 + int.from_bytes(content[26:28], "little") + int.from_bytes(content[28:30], "little")
        content[start : start + 8] = b"\xff" * 8
        path.write_bytes(content)
        return path

    return overwrite


@pytest.fixture
def png() -> Callable[..., bytes]:
    """Encode an image of one colour; ``size`` is (width, height), as Pillow has it."""

    def encode(value: int = 0, size: tuple[int, int] = (4, 4), mode: str = "L") -> bytes:
        colours: dict[str, int | tuple[int, ...]] = {
            "L": value,
            "RGB": (value, 0, 0),
            "LA": (value, 255),
            "I;16": value << 8,
        }
        buffer = io.BytesIO()
        Image.new(mode, size, colours[mode]).save(buffer, "PNG")
        return buffer.getvalue()

    return encode
