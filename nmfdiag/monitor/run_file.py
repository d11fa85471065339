"""The file that a monitor writes: created under a name that no other run has, and never lost to another run of its folder. Without torch."""

import json
import math
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from operator import index
from pathlib import Path
from typing import Any, BinaryIO

RUN_FILE = "run.jsonl"
BLOCK = 2**16
"""Bytes that are read at a time, from the end of a file."""
MOST_TRIES = 10_000
"""Names tried for a file, before giving up."""
FOLDER_READS = 2
"""Times that a folder is read for a run's own file: a file that is renamed while it is read may be missed, and is renamed only once."""


class RunFile:
    """One run's file, ``FOLDER/run.jsonl``: a header, and a line for each epoch.

    A run that finds another one's file under that name puts it aside, as ``run-DATE.jsonl``; the other run goes on in it. Lines that
    could not be written are written with the next one; a file that was removed is written again from its beginning.

    Args:
        folder: The run's folder; created if missing.
        header: The first line.
    """

    def __init__(self, folder: str | Path, header: Mapping[str, Any]):
        self.folder = Path(folder).absolute()  # a training may change the current directory
        self._lines: list[dict[str, Any]] = [dict(header)]
        self._written, self._path = 0, self.folder / RUN_FILE
        self._become_new()

    def begin(self) -> None:
        """Create the file.

        Raises:
            OSError: If it can't be written.
        """
        self._write_pending()

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line, after those that could not be written before; they are on the disk when this returns.

        Raises:
            OSError: If they can't be written.
        """
        self._own_process()
        self._lines.append(dict(line))
        self._write_pending()

    def neighbour(self, stem: str, suffix: str) -> Path:
        """Return the path of another file of this run, in its folder: ``STEM-ID.SUFFIX``, with the ``id`` of the run's header."""
        self._own_process()
        return self.folder / f"{stem}-{self._lines[0]['id']}.{suffix}"

    def discard(self) -> None:
        """Remove the file if it has only a header."""
        if self._written == 1 and self._path.is_file():
            with self._path.open("rb") as file:
                is_own = file.read(len(self._header) + 1) == self._header
            if is_own:
                self._path.unlink()
        self._written = 0

    def _own_process(self) -> None:
        """Become another run if this is a copy in another process."""
        if self._process != os.getpid():
            self.discard()
            self._become_new()

    def _become_new(self) -> None:
        self._process = os.getpid()
        self._lines[0] |= {"id": uuid.uuid4().hex}
        self._header = as_json(self._lines[0]) + b"\n"

    def _write_pending(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._reopened() if self._written else None
        if file is None:
            self._written = 0
            file = self._created()
        with file:
            while self._written < len(self._lines):
                line = self._lines[self._written]
                aside = {"put_aside": True} if self._path.name != RUN_FILE and "epoch" in line else {}
                write_line(file, as_json(line | aside))
                self._written += 1

    def _reopened(self) -> BinaryIO | None:
        """Return the run's own file, whatever its name; it stays open, so that a line goes into it even if it is put aside meanwhile."""
        for _ in range(FOLDER_READS):
            for path in (self._path, *sorted(self.folder.glob("run*.jsonl"))):
                with suppress(OSError):
                    file = path.open("rb+", buffering=0)
                    if file.read(len(self._header)) == self._header:
                        self._path = path
                        return file
                    file.close()
        return None

    def _created(self) -> BinaryIO:
        self._path = self.folder / RUN_FILE
        for _ in range(MOST_TRIES):
            try:
                file = self._path.open("xb+", buffering=0)
            except FileExistsError:
                put_aside(self._path)
                continue
            return file
        raise FileExistsError(f"Other runs keep taking {self._path}.")


def put_aside(path: Path) -> None:
    """Rename a run's file to a new name: ``run-DATE.jsonl``, with a number where several are put aside in the same second.

    Raises:
        OSError: If it can't be renamed.
    """
    stem = f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in range(1, MOST_TRIES):
        aside = path.with_name(f"{stem}{f'-{number}' if number > 1 else ''}{path.suffix}")
        try:
            aside.open("xb").close()  # nobody else takes the name; renaming then replaces this empty file
        except FileExistsError:
            continue
        try:
            path.replace(aside)
        except BaseException as error:
            with suppress(OSError):
                aside.unlink()
            if not isinstance(error, FileNotFoundError):  # else another process has put it aside
                raise
        return
    raise FileExistsError(f"There are too many files like {stem}{path.suffix}.")


def as_json(value: Any) -> bytes:
    """Return a value as JSON that every reader accepts: NaN and infinity are null, and surrogates are replaced.

    Numbers may be of any type: NumPy's, torch's of one element.

    >>> as_json({"loss": float("nan"), "epoch": 3})
    b'{"loss": null, "epoch": 3}'
    """
    return json.dumps(_plain(value), allow_nan=False).encode()


def write_line(file: BinaryIO, line: bytes) -> None:
    """Add a line to a file (unbuffered, open for reading and writing), or leave the file as it was.

    A partial line at its end, left by a process that was killed, is cut off.

    Raises:
        OSError: If the disk is full, or fails.
    """
    partial = _unended(file)
    size = file.seek(0, os.SEEK_END)
    keeps = bool(partial) and _is_whole(partial)
    content = (b"\n" if keeps else b"") + line + b"\n"
    size -= 0 if keeps else len(partial)
    with _undone(file, size):
        file.truncate(size)
        file.seek(0, os.SEEK_END)
        while content:
            content = content[file.write(content) :]
        os.fsync(file.fileno())


@contextmanager
def _undone(file: BinaryIO, size: int) -> Iterator[None]:
    """Cut a file back to its size where writing fails."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            file.truncate(size)
        raise


def _plain(value: Any) -> Any:
    if value is None or type(value) in (bool, int):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {str(_plain(str(key))): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    if not isinstance(value, float):
        with suppress(TypeError):
            return index(value)
    number = float(value)
    return number if math.isfinite(number) else None


def _unended(file: BinaryIO) -> bytes:
    """Return the bytes after the last end of line; read from the end, however long the record is."""
    start, end = file.seek(0, os.SEEK_END), b""
    while start > 0 and b"\n" not in end:
        size = min(BLOCK, start)
        start -= size
        file.seek(start)
        end = file.read(size) + end
    return end[end.rfind(b"\n") + 1 :]


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
