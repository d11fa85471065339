"""Recognise a file by its first bytes, for errors about files of the wrong kind. Nothing in it is run."""

import os
import zipfile
from pathlib import Path

from nmfdiag.data.untrusted import ZIP_ERRORS, open_archive
from nmfdiag.errors import NmfdiagError

START_BYTES = 4096
ARRAYS = "NumPy's archive of arrays (.npz)"
GIT_LFS = b"version https://git-lfs"
HTML = (b"<!doctype html", b"<html", b"<?xml", b"<head")
STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as Keras writes (.h5)"),
    (b"\x93NUMPY", "a single NumPy array (.npy)"),
    (b"MATLAB 5.0", "a MATLAB file (.mat)"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"BZh", "a bzip2 archive: unpack it first"),
    (b"\xfd7zXZ", "an xz archive: unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it first"),
    (b"Rar!", "a rar archive: unpack it first"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"GGUF", "a GGUF file of llama.cpp"),
    (b"PAR1", "a Parquet table"),
    (b"ARROW1", "an Arrow table"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a checkpoint of PyTorch (of the format before 1.6)"),
    (b"\x80", "a pickle"),
)
OFFSET_STARTS: tuple[tuple[int, bytes, str], ...] = (
    (257, b"ustar", "a tar archive: unpack it first"),
    (8, b"WEBP", "a WebP image"),
    (4, b"TFL3", "a TensorFlow Lite network"),
)
ENTRIES: tuple[tuple[str, str], ...] = (
    ("data.pkl", "a checkpoint of PyTorch"),
    ("serialized_exported_program.json", "an exported program of PyTorch (.pt2)"),
    ("archive_format", "an exported program of PyTorch (.pt2)"),
    ("model.weights.h5", "a network of Keras (.keras)"),
)
"""Entries that identify a zip file, below its top folder or not."""


def open_zip(path: Path, kind: str = "zip") -> zipfile.ZipFile:
    """Open an archive whose list of entries is not too long to be read.

    Args:
        path: The file.
        kind: The expected kind, for errors.

    Raises:
        NmfdiagError: If it is not an archive, is damaged, or has too many entries.
    """
    try:
        return open_archive(path)
    except NmfdiagError:
        raise
    except ZIP_ERRORS as error:
        actual = kind_of_file(path)
        raise NmfdiagError(f"{path.name} is not a readable {kind}: {f'it is {actual}' if actual else error}.") from None


def kind_of_file(path: Path) -> str:
    """Return the kind of a file or folder, such as ``"an HTML page"``; empty if it is unknown, or the file can't be read."""
    try:
        if path.is_dir():
            return _kind_of_folder(path)
        with path.open("rb") as file:
            start = file.read(START_BYTES)
        n_bytes = path.stat().st_size
    except (OSError, ValueError):
        return ""
    if not n_bytes:
        return "empty"
    if start.startswith(b"PK"):
        return _kind_of_zip(path)
    kinds = [kind for begin, kind in STARTS if start.startswith(begin)]
    kinds += [kind for place, begin, kind in OFFSET_STARTS if start[place : place + len(begin)] == begin]
    if kinds:
        return kinds[0]
    if (n_header := int.from_bytes(start[:8], "little")) and start[8:9] == b"{":
        cut = (
            f", cut off: its header alone has {n_header:,} bytes, the file {n_bytes:,}"
            if n_header + 8 > n_bytes
            else ""
        )
        return f"a safetensors file{cut}"
    if path.suffix.lower() in (".onnx", ".pb") or (start[:1] == b"\x08" and (b"onnx" in start or b"pytorch" in start)):
        return "a network as ONNX or TensorFlow write it (.onnx, .pb)"
    return _kind_of_text(path, start)


def _kind_of_folder(path: Path) -> str:
    if (path / "saved_model.pb").exists():
        return "a folder of TensorFlow (SavedModel)"
    return "a folder"


def _kind_of_zip(path: Path) -> str:
    try:
        with open_archive(path) as archive:
            names = {part for name in archive.namelist() for part in (name, name.split("/", 1)[-1])}
    except NmfdiagError:  # too long a list of entries
        return "a zip file"
    except ZIP_ERRORS:
        return "a zip archive that is cut off (a download that was not finished?) or damaged"
    for entry, kind in ENTRIES:
        if entry in names:
            return kind
    return ARRAYS if any(name.endswith(".npy") for name in names) else "a zip file"


def _kind_of_text(path: Path, start: bytes) -> str:
    begin = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begin.startswith(GIT_LFS):
        return "a pointer of Git LFS, not the file itself: get that by git lfs pull"
    if begin.startswith(HTML):
        return "an HTML page, such as a download saves in place of a file that it can't get"
    try:
        text = start[: max(1, start.rfind(b"\n"))].decode() if len(start) == START_BYTES else start.decode()
    except UnicodeDecodeError:
        return ""
    if "\x00" in text or not text.strip():
        return ""
    if begin[:1] in (b"{", b"["):
        index = b"weight_map" in begin or path.name.endswith(".index.json")
        return "a JSON text, the index of weights that lie in several other files" if index else "a JSON text"
    line = text.strip().splitlines()[0]
    table = any(line.count(sign) for sign in ",;\t")
    return f"a {'table as' if table else 'plain'} text that begins with {line[:40]!r}"


def is_arrays(path: Path) -> bool:
    """Return whether a file is NumPy's archive of arrays, or has its suffix."""
    return path.suffix.lower() == ".npz" or kind_of_file(path) == ARRAYS


def checked_path(path: str | os.PathLike[str], role: str) -> Path:
    """Return a caller's path.

    Raises:
        NmfdiagError: If it is empty, for example from an unset shell variable.
    """
    if not str(path).strip():
        raise NmfdiagError(f"The path of the {role} is empty (an unset variable?).")
    return Path(path)
