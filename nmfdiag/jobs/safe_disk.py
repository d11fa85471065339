"""The bytes below the cache: rows of an SQLite database (diskcache) that are never unpickled, and what is done about a damaged one."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import quote

import diskcache

from nmfdiag.errors import NmfdiagError

SIZE_LIMIT = 2 * 2**30
LOCK_SECONDS = 10
"""So long one waits for another process that writes."""
ORPHAN_SECONDS = 600
"""A file that no row names is left behind by a killed process; a younger one may still get its row."""
USED_SECONDS = 3600
"""How exactly the time of a row's last use is known: reading takes no lock where it need not be noted."""
KEYS_AT_ONCE = 500
TRIES = 5
NEARLY_FULL = 2**20
DATABASE, LOCK_FILE = "cache.db", "cache.lock"
COLUMNS = {"rowid", "key", "raw", "access_time", "size", "mode", "filename", "value"}
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
SELECT = "SELECT CAST(key AS BLOB), raw, mode, CAST(filename AS BLOB), value FROM Cache"
KEPT = "new results are kept until this process ends."
SETTINGS = diskcache.core.DEFAULT_SETTINGS | diskcache.core.METADATA
ACCEPTED = {kind: (kind, type(diskcache.core.ENOVAL)) for kind in (int, str)}
FAILURES = (sqlite3.Error, diskcache.Timeout, OSError)
"""What reading and writing may raise."""

Row = tuple[str, bytes | Exception]
"""A key with its value, or with what is wrong with it."""


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
        if filename is not None and not self._holds(filename):
            raise NmfdiagError("The cache names a file outside its folder.")
        found = super().fetch(mode, filename, value, read)
        if not isinstance(found, bytes):
            raise NmfdiagError("The cache holds a value that nmfdiag did not write.")
        return found

    def remove(self, file_path: Any) -> None:
        if self._holds(file_path):  # else a tampered row would have any file deleted
            super().remove(file_path)

    def _holds(self, name: Any) -> bool:
        """Whether a row's name of a file is one that diskcache gives, inside the cache's folder."""
        folder = Path(self._directory).resolve()
        try:
            path = (folder / name).resolve()
        except (OSError, RuntimeError, TypeError, ValueError):  # no text, a zero in it, a link to itself, ...
            return False
        return path.suffix == ".val" and path.is_relative_to(folder)

    def rows(self, execute: Callable[..., Any], keys: Sequence[str] | None) -> Iterator[Row]:
        """The rows of these keys that there are; all rows for None."""
        if keys is None:
            found: Iterable[tuple] = execute(SELECT)
        else:
            parts = [keys[i : i + KEYS_AT_ONCE] for i in range(0, len(keys), KEYS_AT_ONCE)]
            found = (
                row
                for part in parts
                for row in execute(f"{SELECT} WHERE raw = 1 AND key IN ({', '.join('?' * len(part))})", part)
            )
        for key_bytes, raw, mode, filename, value in found:
            key = (key_bytes or b"").decode(errors="replace")
            try:
                self.get(key, raw)
                yield key, self.fetch(mode, filename and filename.decode(), value, False)
            except Exception as error:  # of a damaged row: that it holds no text, no number, no bytes, ...
                yield key, error


class WritableCache(diskcache.Cache):
    """A database in a folder that can be written.

    Args:
        folder: Where; made if it is not there.

    Raises:
        sqlite3.Error: If it can't be opened; see :func:`is_damage`.
    """

    writable = True

    def __init__(self, folder: Path):
        self._began = time.monotonic()
        try:
            super().__init__(
                str(folder),
                timeout=LOCK_SECONDS,
                disk=BytesDisk,
                size_limit=SIZE_LIMIT,
                eviction_policy="least-recently-used",
                cull_limit=20,
            )
        except (TypeError, ValueError, AttributeError, KeyError) as error:  # of settings that diskcache did not write
            raise sqlite3.DatabaseError(f"its settings can't be read: {error}") from None
        columns = {row[1] for row in self._sql("PRAGMA table_info(Cache)")} | {"rowid"}
        if not columns >= COLUMNS:
            raise sqlite3.DatabaseError(f"its table lacks {', '.join(sorted(COLUMNS - columns))}")
        self._database = folder / DATABASE
        self._inode = self._database.stat().st_ino

    def reset(self, key: str, value: Any = diskcache.core.ENOVAL, update: bool = True) -> Any:
        """Take up a setting from the database; each becomes an attribute, so only diskcache's own are."""
        known = SETTINGS.get(key)
        found = (
            super().reset(key, value, update)
            if known is not None and isinstance(value, ACCEPTED[type(known)])
            else None
        )
        if known is None or not isinstance(found, type(known)):
            raise sqlite3.DatabaseError(f"its setting {key!r} is none of diskcache's")
        return found

    @property
    def _sql_retry(self) -> Callable[..., Any]:  # diskcache waits a minute at each of several dozen statements
        def execute(*statement: Any) -> Any:
            while True:
                try:
                    return self._sql(*statement)
                except sqlite3.OperationalError as error:
                    if code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() - self._began > LOCK_SECONDS:
                        raise
                    time.sleep(0.01)

        return execute

    @property
    def replaced(self) -> bool:
        """Whether the file that was opened is no longer there: another process, or a person, has moved or removed it."""
        try:
            return self._database.stat().st_ino != self._inode
        except OSError:
            return True

    def read(self, keys: Sequence[str] | None) -> list[Row]:
        """The rows of these keys, or all. Nobody who writes is waited for."""
        found = list(self._disk.rows(self._sql, keys))
        for _ in range(TRIES):  # a row that is written anew has another file, and its old one may go before it is read
            gone = [key for key, value in found if isinstance(value, FileNotFoundError)]
            if not gone:
                break
            found = [row for row in found if row[0] not in gone] + list(self._disk.rows(self._sql, gone))
        if keys is not None:
            with suppress(sqlite3.OperationalError):
                self._note_use([key for key, _ in found])
        return found

    def _note_use(self, keys: Sequence[str]) -> None:
        now = time.time()
        self._sql("PRAGMA busy_timeout = 0")
        try:
            for i in range(0, len(keys), KEYS_AT_ONCE):
                some = keys[i : i + KEYS_AT_ONCE]
                where = f"raw = 1 AND access_time < ? AND key IN ({', '.join('?' * len(some))})"
                if self._sql(f"SELECT 1 FROM Cache WHERE {where} LIMIT 1", [now - USED_SECONDS, *some]).fetchone():
                    self._sql(f"UPDATE Cache SET access_time = ? WHERE {where}", [now, now - USED_SECONDS, *some])
        finally:
            self._sql(f"PRAGMA busy_timeout = {1000 * LOCK_SECONDS}")

    def refusal(self) -> str:
        """Why nothing can be written now; empty if that can't be found out. For diskcache says no more than that it could not."""
        try:
            if shutil.disk_usage(self.directory).free < NEARLY_FULL:
                return "the disk is full"
            with closing(sqlite3.connect(self._database, timeout=0, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
        except (sqlite3.Error, OSError) as error:
            return str(error)
        return ""

    def problems(self) -> list[str]:
        """What SQLite finds wrong with the database's file."""
        return [str(row[0]) for row in self._sql("PRAGMA integrity_check") if row[0] != "ok"]

    def orphans(self) -> list[Path]:
        """Files of values that no row names, but the youngest."""
        folder = Path(self.directory)
        named = {row[0] for row in self._sql("SELECT filename FROM Cache WHERE filename IS NOT NULL")}
        found = []
        for path in folder.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*.val"):
            with suppress(OSError):
                if (
                    path.relative_to(folder).as_posix() not in named
                    and path.stat().st_mtime < time.time() - ORPHAN_SECONDS
                ):
                    found.append(path)
        return found

    def sweep(self) -> int:
        """Remove the orphans; returns how many there were."""
        found = self.orphans()
        for path in found:
            self._disk.remove(str(path.relative_to(self.directory)))
        return len(found)


class ReadOnlyCache:
    """A database that can't be written: what it holds can still be read."""

    writable = False
    replaced = False

    def __init__(self, folder: Path):
        self.path = folder / DATABASE
        self._disk = BytesDisk(str(folder))

    def read(self, keys: Sequence[str] | None) -> list[Row]:
        """The rows of these keys, or all."""
        return self._on_it(lambda execute: list(self._disk.rows(execute, keys)))

    def __len__(self) -> int:
        return int(self._on_it(lambda execute: execute("SELECT COUNT(*) FROM Cache").fetchone()[0]))

    def volume(self) -> int:
        """Bytes of the database."""
        return self.path.stat().st_size

    def problems(self) -> list[str]:
        """What SQLite finds wrong with the database's file."""
        return self._on_it(lambda execute: [str(r[0]) for r in execute("PRAGMA integrity_check") if r[0] != "ok"])

    def orphans(self) -> list[Path]:
        """None that could be removed."""
        return []

    def close(self) -> None:
        """Nothing stays open."""

    def _on_it(self, act: Callable[[Callable[..., Any]], Any]) -> Any:
        for option in ("mode=ro", "immutable=1"):  # where SQLite can't make its -shm file, only the second one opens
            try:
                with closing(sqlite3.connect(f"file:{quote(str(self.path))}?{option}", uri=True)) as connection:
                    return act(connection.execute)
            except sqlite3.OperationalError:
                if option == "immutable=1":
                    raise
        raise AssertionError


Disk = WritableCache | ReadOnlyCache


def opened(folder: Path, error: sqlite3.Error | None = None) -> tuple[Disk | None, str]:
    """Open the cache of a folder, or what can be had of it.

    Args:
        folder: Where.
        error: What SQLite has said about the database; it is looked at, and moved aside if it is damaged.

    Returns:
        The cache, None if there is none to be had, and what is to be told about it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_strangers(folder):
            raise PermissionError(f"it lies where everybody may write, and belongs to another user: {folder}")
        told = "" if error is None else _moved_aside(folder, error)
        try:
            return WritableCache(folder), told
        except sqlite3.DatabaseError as wrong:
            if not is_damage(wrong) and not (folder / DATABASE).is_dir():
                raise
            told = _moved_aside(folder, wrong)
            return WritableCache(folder), told
    except FAILURES as why:
        told = f"The cache in {folder} can't be written ({why}): {KEPT}"
        if isinstance(why, PermissionError) and "another user" in str(why):
            return None, told
        try:
            readable = ReadOnlyCache(folder)
            len(readable)
        except FAILURES:
            return None, told
        return readable, told


def _is_strangers(folder: Path) -> bool:
    """Whether another user has made a folder in one like the system's temporary folder, before we could."""
    shared = folder.parent.stat().st_mode & 0o1002 == 0o1002
    return shared and hasattr(os, "getuid") and (folder.is_symlink() or folder.stat().st_uid != os.getuid())


def is_damage(error: BaseException) -> TypeGuard[sqlite3.DatabaseError]:
    """Whether SQLite says that the file is no database of ours, and not just that it is busy, full or not to be written."""
    return isinstance(error, sqlite3.DatabaseError) and code_of(error) in DAMAGED


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary code; an error that was not raised by SQLite itself has that of any error."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _moved_aside(folder: Path, error: sqlite3.Error) -> str:
    """Move a damaged database aside, unless another process has done so meanwhile."""
    with _alone(folder):
        try:
            with closing(WritableCache(folder)) as cache:
                if not cache.problems():
                    return ""
        except sqlite3.DatabaseError as again:
            if not is_damage(again) and not (folder / DATABASE).is_dir():
                raise
        aside = _new_folder(folder / f"damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
        for path in folder.glob(f"{DATABASE}*"):
            path.rename(aside / path.name)
        return f"The cache was damaged ({error}); it was moved to {aside.name} and a new one begun."


def _new_folder(path: Path) -> Path:
    """Make a folder of this name, or with a number behind it."""
    for number in range(100):
        one = path if number == 0 else path.with_name(f"{path.name}-{number}")
        with suppress(FileExistsError):
            one.mkdir(mode=0o700)
            return one
    raise FileExistsError(path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; where the system has no such lock, or nobody gives it back, each goes on."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    end = time.monotonic() + LOCK_SECONDS
    with (folder / LOCK_FILE).open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > end:
                    break
                time.sleep(0.05)
        yield
