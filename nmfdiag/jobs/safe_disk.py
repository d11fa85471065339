"""The bytes below the cache: rows of an SQLite database that are never unpickled, and the recovery of a damaged one.

Diskcache writes the database. Plain SQLite reads it, since diskcache can't open a folder that may not be written, unpickles what it reads,
and gives up on all rows where one can't be read.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import quote

import diskcache

from nmfdiag.errors import NmfdiagError

SIZE_LIMIT = 2 * 2**30
"""Bytes of all results; above it, those stored first are removed."""
LOCK_SECONDS = 10
"""Seconds to wait for another process that writes."""
ORPHAN_SECONDS = 600
"""Age, in seconds, from which a file without a row counts as left behind by a killed process; a younger one may still get its row."""
KEYS_AT_ONCE = 500
"""Keys of one SQL statement."""
TRIES = 5
"""Attempts to read a row that other processes keep rewriting."""
NEARLY_FULL = 2**20
"""Free bytes below which a disk counts as full."""
DATABASE, LOCK_FILE = "cache.db", "cache.lock"
COLUMNS = {"key", "raw", "store_time", "size", "mode", "filename", "value"}
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
KEPT = "new results are kept until this process ends."
KNOWN_SETTINGS = diskcache.core.DEFAULT_SETTINGS | diskcache.core.METADATA
SETTINGS = {name: value for name, value in diskcache.core.DEFAULT_SETTINGS.items() if not name.startswith("disk_")} | {
    "size_limit": SIZE_LIMIT, "eviction_policy": "least-recently-stored", "cull_limit": 20,
}  # fmt: skip
"""Settings that are ours whatever the database says; the size from which a value lies in a file is the database's."""
FAILURES = (sqlite3.Error, diskcache.Timeout, OSError)
"""What reading and writing may raise."""

Row = tuple[str, bytes | Exception]
"""A key with its value, or with the error that reading it raised."""


class BytesDisk(diskcache.Disk):
    """String keys and bytes values only: a tampered row can't be unpickled, since nothing is."""

    def put(self, key: Any) -> tuple[str, bool]:
        if not isinstance(key, str):
            raise NmfdiagError(f"Cache keys are strings, got {type(key).__name__}.")
        return key, True

    def get(self, key: Any, raw: bool) -> str:
        if not raw or not isinstance(key, str):
            raise NmfdiagError("The cache holds a key that nmfdiag did not write.")
        return key

    def store(self, value: Any, read: bool, key: Any = diskcache.core.UNKNOWN) -> tuple:
        if read or not isinstance(value, bytes):
            raise NmfdiagError(f"Cache values are bytes, got {type(value).__name__}.")
        return super().store(value, read, key=key)

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> bytes:
        if mode not in (diskcache.core.MODE_RAW, diskcache.core.MODE_BINARY) or read:
            raise NmfdiagError("The cache holds a value that nmfdiag did not write.")
        if filename is not None and not self._contains(filename):
            raise NmfdiagError("The cache names a file outside its folder.")
        content = super().fetch(mode, filename, value, read)
        if not isinstance(content, bytes):
            raise NmfdiagError("The cache holds a value that nmfdiag did not write.")
        return content

    def remove(self, file_path: Any) -> None:
        if self._contains(file_path):  # else a tampered row would have any file deleted
            super().remove(file_path)

    def _contains(self, name: Any) -> bool:
        """Return whether a row's file name is one that diskcache gives, inside the cache's folder."""
        folder = Path(self._directory).resolve()
        try:
            path = (folder / name).resolve()
        except (OSError, RuntimeError, TypeError, ValueError):  # not a text, a zero in it, a link to itself, ...
            return False
        return path.suffix == ".val" and path.is_relative_to(folder)


class Database:
    """The database of a folder, for many threads and processes at once. Whoever reads waits for nobody who writes.

    Args:
        folder: The folder; created if missing.
        writable: Whether it is to be written; else what it holds can still be read.

    Raises:
        sqlite3.Error: If it can't be opened; see :func:`is_damage`.
    """

    def __init__(self, folder: Path, *, writable: bool = True):
        self.folder, self.path = folder, folder / DATABASE
        self._disk = BytesDisk(str(folder))
        self._writer: diskcache.Cache | None = None
        if writable:
            _check(self.path)
            self._writer = diskcache.Cache(str(folder), timeout=LOCK_SECONDS, disk=BytesDisk, **SETTINGS)
        self._inode = self.path.stat().st_ino

    @property
    def writable(self) -> bool:
        return self._writer is not None

    @property
    def replaced(self) -> bool:
        """Whether another process, or a person, has moved or removed the file that was opened for writing."""
        try:
            return self.writable and self.path.stat().st_ino != self._inode
        except OSError:
            return True

    def read(self, keys: Sequence[str] | None) -> list[Row]:
        """Return the rows of these keys, or all rows for None."""
        rows = dict(self._rows(keys))
        for _ in range(TRIES):  # a rewritten row has another file, and the old one may be removed before it is read
            missing = [key for key, value in rows.items() if isinstance(value, FileNotFoundError)]
            if not missing:
                break
            for key in missing:
                del rows[key]
            rows |= self._rows(missing)
        return list(rows.items())

    def set(self, key: str, value: bytes) -> None:
        """Write a row."""
        self._writing.set(key, value)

    def delete(self, key: str) -> None:
        """Remove a row."""
        self._writing.delete(key)

    def clear(self) -> int:
        """Remove all rows; return their number."""
        return int(self._writing.clear())

    def __len__(self) -> int:
        return int(self._execute("SELECT COUNT(*) FROM Cache")[0][0])

    def volume(self) -> int:
        """Return the bytes of the database and of the values that lie in files."""
        [[in_files]] = self._execute("SELECT TOTAL(size) FROM Cache")
        return self.path.stat().st_size + int(in_files)

    def problems(self) -> list[str]:
        """Return what SQLite finds wrong with the database's file."""
        return [str(row[0]) for row in self._execute("PRAGMA integrity_check") if row[0] != "ok"]

    def refusal(self) -> str:
        """Return why nothing can be written now, which diskcache doesn't say; empty if the reason can't be found out."""
        try:
            if shutil.disk_usage(self.folder).free < NEARLY_FULL:
                return "the disk is full"
            _check(self.path, seconds=0)
        except (sqlite3.Error, OSError) as error:
            return str(error)
        return ""

    def orphans(self) -> list[Path]:
        """Return the files of values without a row that are old enough to be removed; none where nothing can be."""
        names = {row[0] for row in self._execute("SELECT filename FROM Cache WHERE filename IS NOT NULL")}
        orphans = []
        for path in self.folder.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*.val") if self.writable else ():
            with suppress(OSError):
                is_old = path.stat().st_mtime < time.time() - ORPHAN_SECONDS
                if is_old and path.relative_to(self.folder).as_posix() not in names:
                    orphans.append(path)
        return orphans

    def sweep(self) -> int:
        """Remove the orphans; return their number."""
        orphans = self.orphans()
        for path in orphans:
            self._disk.remove(str(path.relative_to(self.folder)))
        return len(orphans)

    def close(self) -> None:
        """Close this thread's connection; a transaction that failed half-way is given up."""
        if self._writer is not None:
            self._writer.close()

    @property
    def _writing(self) -> diskcache.Cache:
        if self._writer is None:
            raise PermissionError(f"{self.path} may only be read")
        return self._writer

    def _rows(self, keys: Sequence[str] | None) -> Iterator[Row]:
        select = "SELECT CAST(key AS TEXT), raw, mode, filename, value FROM Cache"
        records: list[tuple] = []
        if keys is None:
            records = self._execute(select)
        for i in range(0, len(keys or ()), KEYS_AT_ONCE):
            batch = (keys or ())[i : i + KEYS_AT_ONCE]
            records += self._execute(f"{select} WHERE raw = 1 AND key IN ({', '.join('?' * len(batch))})", batch)
        for key, raw, mode, filename, value in records:
            try:
                yield self._disk.get(key, raw), self._disk.fetch(mode, filename, value, False)
            except Exception as error:  # of a damaged row: not a text, not a number, not bytes, ...
                yield str(key), error

    def _execute(self, statement: str, arguments: Sequence[str] = ()) -> list[tuple]:
        """Return all rows of a statement that only reads."""
        # Where SQLite can't make its -shm file, only "immutable" opens; it ignores other writers, of which there can't be any then.
        for option in ("mode=ro",) if self.writable else ("mode=ro", "immutable=1"):
            try:
                name = f"file:{quote(str(self.path))}?{option}"
                with closing(sqlite3.connect(name, uri=True, timeout=LOCK_SECONDS)) as connection:
                    connection.text_factory = lambda text: text.decode(errors="replace")
                    return connection.execute(statement, arguments).fetchall()
            except sqlite3.OperationalError as error:
                failure = error
        raise failure


def _check(database: Path, seconds: float | None = None) -> None:
    """Refuse a database that is locked or not ours.

    It is checked before diskcache opens it, which waits a minute for a lock at each of several dozen statements, and turns every setting
    in the database into an attribute.

    Raises:
        sqlite3.Error: If it can't be locked for writing within so many seconds (default :data:`LOCK_SECONDS`), or holds other tables.
    """
    timeout = LOCK_SECONDS if seconds is None else seconds
    with closing(sqlite3.connect(database, timeout=timeout, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        columns = {row[1] for row in connection.execute("PRAGMA table_info(Cache)")}
        has_settings = connection.execute("PRAGMA table_info(Settings)").fetchall()
        settings = connection.execute("SELECT key, value FROM Settings").fetchall() if has_settings else []
        connection.execute("ROLLBACK")
    if columns and not columns >= COLUMNS:
        raise sqlite3.DatabaseError(f"its table lacks {', '.join(sorted(COLUMNS - columns))}")
    for key, value in settings:
        if key not in KNOWN_SETTINGS or type(value) is not type(KNOWN_SETTINGS[key]):
            raise sqlite3.DatabaseError(f"diskcache has no setting {key!r} with the value {value!r}")


def opened(folder: Path, error: sqlite3.Error | None = None) -> tuple[Database | None, str]:
    """Open the database of a folder, for reading only if it can't be written.

    Args:
        folder: The folder; created if missing.
        error: SQLite's error about the database, which is then checked, and moved aside if damaged.

    Returns:
        The database, None if it can't even be read, and the notice about it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_strangers(folder):
            raise PermissionError(f"it lies where everybody may write, and belongs to another user: {folder}")
        notice = "" if error is None else _moved_aside(folder, error)
        try:
            return Database(folder), notice
        except sqlite3.DatabaseError as damage:
            if not is_damage(damage) and not (folder / DATABASE).is_dir():
                raise
            notice = _moved_aside(folder, damage)
            return Database(folder), notice
    except FAILURES as refusal:
        notice = f"The cache in {folder} can't be written ({refusal}): {KEPT}"
        if isinstance(refusal, PermissionError) and "another user" in str(refusal):
            return None, notice
        try:
            readable = Database(folder, writable=False)
            len(readable)
        except FAILURES:
            return None, notice
        return readable, notice


def _is_strangers(folder: Path) -> bool:
    """Return whether another user made a folder in one like the system's temporary folder, before we could."""
    is_shared = folder.parent.stat().st_mode & 0o1002 == 0o1002
    return is_shared and hasattr(os, "getuid") and (folder.is_symlink() or folder.stat().st_uid != os.getuid())


def is_damage(error: BaseException) -> TypeGuard[sqlite3.DatabaseError]:
    """Return whether SQLite says that the file is not a database of ours, rather than busy, full or write-protected.

    An error that SQLite itself did not raise has no code, and counts as damage.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return isinstance(error, sqlite3.DatabaseError) and code in DAMAGED


def _moved_aside(folder: Path, error: sqlite3.Error) -> str:
    """Move a damaged database aside, unless another process has done so meanwhile; return the notice."""
    with _locked(folder):
        try:
            with closing(Database(folder)) as database:
                if not database.problems():
                    return ""
        except sqlite3.DatabaseError as failure:
            if not is_damage(failure) and not (folder / DATABASE).is_dir():
                raise
        aside = _new_folder(folder / f"damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
        for path in folder.glob(f"{DATABASE}*"):
            path.rename(aside / path.name)
        return f"The cache was damaged ({error}); it was moved to {aside.name} and a new one begun."


def _new_folder(path: Path) -> Path:
    """Create a folder of this name, with a number appended if it is taken."""
    for number in range(100):
        folder = path if number == 0 else path.with_name(f"{path.name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            return folder
    raise FileExistsError(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time in; where the system has no such lock, or it isn't released in time, go on without."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    deadline = time.monotonic() + LOCK_SECONDS
    with (folder / LOCK_FILE).open("w") as file:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.05)
        yield
