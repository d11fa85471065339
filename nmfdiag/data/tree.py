"""The files of a folder or of a zip, by relative name. Nothing outside is read, nothing is unpacked to disk."""

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from nmfdiag.data.arrays import check_promise
from nmfdiag.errors import NmfdiagError

MAX_FILES = 2_000_000
MAX_FILE_BYTES = 64 * 2**20
UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, UnicodeDecodeError)

Name = tuple[str, ...]  # the folders and the file's name; far quicker to make and sort than a path
Reader = Callable[[], bytes]
Tree = dict[Name, Reader]


@contextmanager
def open_tree(path: Path, suffixes: tuple[str, ...]) -> Iterator[Tree]:
    """List the files that end in one of ``suffixes``, sorted by name; each is read by calling its value.

    Left out are hidden files, links that leave the folder, links to folders, and names in a zip that would leave it.

    Raises:
        NmfdiagError: If the path is neither a folder nor a readable zip, or there are too many files.
    """
    if path.is_dir():
        yield _sorted(_folder(path, suffixes), path)
        return
    with open_zip(path) as archive:
        yield _sorted(_zip(archive, path, suffixes), path)


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip for reading.

    Raises:
        NmfdiagError: If it can't be read.
    """
    try:
        archive = zipfile.ZipFile(path)
    except UNREADABLE as error:
        raise NmfdiagError(f"{path.name} is neither a folder nor a readable zip: {error}") from None
    with archive:
        yield archive


def check_entry(info: zipfile.ZipInfo, path: Path) -> None:
    """Refuse an entry of a zip that is encrypted, packed unusually, or promises more than the zip can hold.

    Raises:
        NmfdiagError: If it is so.
    """
    if info.flag_bits & 1:
        raise NmfdiagError(f"{path.name}: {info.filename} is encrypted.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NmfdiagError(f"{path.name}: {info.filename} must be stored or deflated, other packings are not accepted.")
    check_promise(info.file_size, info.filename, path)


def _sorted(found: Iterator[tuple[Name, Reader]], path: Path) -> Tree:
    tree: Tree = {}
    for name, read in found:
        if not any(part.startswith((".", "__MACOSX")) for part in name):
            tree[name] = read
        if len(tree) > MAX_FILES:
            raise NmfdiagError(f"{path.name} holds more than {MAX_FILES:,} files.")
    return dict(sorted(tree.items()))


def _folder(folder: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[Name, Reader]]:
    inside = folder.resolve()
    for parent, _, names in os.walk(folder):  # does not follow links to folders
        for name in names:
            path = Path(parent, name)
            if not name.lower().endswith(suffixes) or not path.is_file():
                continue
            if not path.is_symlink() or path.resolve().is_relative_to(inside):
                yield path.relative_to(folder).parts, partial(_read_file, path)


def _zip(archive: zipfile.ZipFile, path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[Name, Reader]]:
    for info in archive.infolist():
        name = tuple(part for part in info.filename.split("/") if part not in ("", "."))
        leaves = info.filename.startswith("/") or ".." in name or "\\" in info.filename or ":" in info.filename
        if leaves or info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
            continue
        if name and name[-1].lower().endswith(suffixes):
            yield name, partial(_read_entry, archive, info, path)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _bounded(file.read(MAX_FILE_BYTES + 1), path.name)
    except OSError as error:
        raise NmfdiagError(f"{path.name} can't be read: {error.strerror}") from None


def _read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    check_entry(info, path)
    try:
        with archive.open(info) as file:
            return _bounded(file.read(MAX_FILE_BYTES + 1), info.filename)
    except UNREADABLE as error:
        raise NmfdiagError(f"{path.name}: {info.filename} can't be read: {error}") from None


def _bounded(content: bytes, name: str) -> bytes:
    if len(content) > MAX_FILE_BYTES:
        raise NmfdiagError(f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB.")
    return content
