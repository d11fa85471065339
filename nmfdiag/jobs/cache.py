"""Finished results on disk: JSON bytes under string keys, each with its hash, and never a pickle.

A cache that can't be written, or whose disk is full, is no reason to lose a result: it is kept in memory, and written as soon as that works.
"""

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import RuntimeResult
from nmfdiag.jobs.safe_disk import DATABASE, FAILURES, KEPT, Disk, Row, WritableCache, is_damage, opened
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.support.cover import SupportCover

RESULTS: dict[str, Any] = {c.__name__: c for c in (CompressionCurve, RuntimeResult, SupportCover)}
"""Each kind of result under the name that its record carries; a record without one is a curve."""
HASH_LENGTH = 64
UNSAVED_BYTES = 64 * 2**20
AGAIN_SECONDS = 5
"""So often it is tried whether a cache that could not be written can be by now."""
WRONG = (NmfdiagError, ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError)
NOT_SAID = "another process holds it, or there is no room"
T = TypeVar("T")


@dataclass(frozen=True)
class Verification:
    """What :meth:`CurveCache.verify` found.

    Attributes:
        rows: Stored results that were looked at.
        damaged: What is wrong, by the key of the row.
        database: What SQLite finds wrong with the file itself.
        orphans: Files that no row names: left behind by processes that were killed.
    """

    rows: int
    damaged: dict[str, str]
    database: tuple[str, ...]
    orphans: int

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged; files left behind harm nobody."""
        return not self.damaged and not self.database


def cache_folder() -> Path:
    """``$NMFDIAG_CACHE``, else ``cache/`` of the checkout, else the user's cache folder for an installed package.

    In a folder of that name that is there already, and is no cache of ours nor closed to others, it is the sub-folder ``nmfdiag``: others
    may use it, and it keeps its permissions.
    """
    if named := os.environ.get("NMFDIAG_CACHE"):
        return _own_part(Path(named))
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / "app.py").is_file():
        return Path.home() / ".cache" / "nmfdiag"
    with suppress(OSError):  # somebody else's
        (checkout / "cache").chmod(0o700)  # it is there for nothing else
    return checkout / "cache"


def _own_part(folder: Path) -> Path:
    with suppress(OSError):  # it is not there: it is made, and closed
        mode = folder.stat().st_mode & 0o777
        is_ours = (folder / DATABASE).is_file() and not mode & 0o002
        return folder if is_ours or not mode & 0o077 else folder / "nmfdiag"
    return folder


class CurveCache:
    """Results by key, for many threads and processes at once. No method fails for what is wrong with the disk."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder or cache_folder()
        self._lock = threading.RLock()
        self._moved = self._trouble = ""
        self._unsaved: dict[str, bytes] = {}
        self._dropped: set[str] = set()
        self._disk: Disk | None = None
        self._open()

    @property
    def notice(self) -> str:
        """What was done about a damaged cache, and why nothing can be written now; empty if all is well."""
        return " ".join(filter(None, (self._moved, self._trouble)))

    def get(self, key: str) -> Any:
        """The result, or None; a value that can't be read counts as absent and is dropped."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The results that are there."""
        wanted = list(dict.fromkeys(keys))
        rows: dict[str, bytes | Exception] = dict(self._on_disk(lambda disk: disk.read(wanted), []))
        with self._lock:
            for key in wanted:
                if key in self._dropped:
                    rows.pop(key, None)
                if key in self._unsaved:
                    rows[key] = self._unsaved[key]
        found, damaged = {}, []
        for key in wanted:
            if key in rows:
                try:
                    found[key] = _result(key, rows[key])
                except WRONG:
                    damaged.append(key)
        if damaged:
            self.drop(damaged)
        return found

    def put(self, key: str, result: CompressionCurve | RuntimeResult | SupportCover) -> None:
        """Keep a result.

        Raises:
            NmfdiagError: If its provenance says that it was computed from something else than what the key stands for.
        """
        _check_origin(key, result)
        content = json.dumps({"result": type(result).__name__, **result.to_dict()}).encode()
        with self._lock:
            self._unsaved.pop(key, None)
            self._unsaved[key] = hashlib.sha256(content).hexdigest().encode() + content
            while len(self._unsaved) > 1 and sum(map(len, self._unsaved.values())) > UNSAVED_BYTES:
                del self._unsaved[next(iter(self._unsaved))]
        self._save()

    def drop(self, keys: Iterable[str]) -> None:
        """Forget some results."""
        gone = list(keys)
        with self._lock:
            self._dropped |= set(gone)
            for key in gone:
                self._unsaved.pop(key, None)
        self._save()

    def stats(self) -> dict[str, Any]:
        """Number of results (most of them curves), bytes on disk and the folder."""
        curves, volume = self._on_disk(lambda disk: (len(disk), disk.volume()), (0, 0))
        return {"curves": curves + len(self._unsaved), "bytes": volume, "folder": str(self.folder)}

    def verify(self, *, mend: bool = False) -> Verification:
        """Read every stored result anew, and say which are damaged.

        Args:
            mend: Whether damaged results are dropped (they are computed again when they are asked for), files left behind removed,
                and a damaged database moved aside.
        """
        problems = self._on_disk(lambda disk: disk.problems(), ["it can't be read"], mend=False)
        rows: list[Row] = self._on_disk(lambda disk: disk.read(None), [], mend=False)
        orphans = self._on_disk(lambda disk: len(disk.orphans()), 0, mend=False)
        damaged = {}
        for key, value in rows:
            try:
                _result(key, value)
            except WRONG as error:
                damaged[key] = _words(error)
        if mend:
            if problems and isinstance(self._disk, WritableCache):
                self._open(sqlite3.DatabaseError(problems[0]))
            self.drop(damaged)
            self._on_disk(_sweep, 0)
        return Verification(len(rows), damaged, tuple(problems), orphans)

    def clear(self) -> int:
        """Forget every result; returns how many there were.

        Raises:
            NmfdiagError: If the cache can't be written.
        """
        with self._lock:
            unsaved, self._unsaved = len(self._unsaved), {}
        gone = self._on_disk(lambda disk: disk.clear() if isinstance(disk, WritableCache) else None, None)
        if gone is None:
            raise NmfdiagError(self.notice or f"The cache in {self.folder} can't be written.")
        return gone + unsaved

    def close(self) -> None:
        """Write what could not be written before, and close the database."""
        if self._unsaved or self._dropped:
            self._save(at_once=True)
        self._shut()

    def _shut(self) -> None:
        if self._disk is not None:
            self._disk.close()

    def _open(self, error: sqlite3.Error | None = None) -> None:
        """Open the database, anew after an error: a damaged one is moved aside."""
        with self._lock:
            self._shut()
            self._disk, told = opened(self.folder, error)
            self._tried = time.monotonic()
            writable = isinstance(self._disk, WritableCache)
            self._moved, self._trouble = (told or self._moved, "") if writable else (self._moved, told)
            if isinstance(self._disk, WritableCache):
                with suppress(*FAILURES):
                    self._disk.sweep()

    def _on_disk(self, act: Callable[[Any], T], otherwise: T, *, mend: bool = True) -> T:
        """Do something with the database. Where that fails for damage, it is moved aside, and done with a new one."""
        for attempt in range(2):
            with self._lock:
                if self._disk is not None and self._disk.replaced:
                    self._open()
                disk = self._disk
            if disk is None:
                return otherwise
            try:
                return act(disk)
            except FAILURES as error:
                disk.close()  # a transaction that failed half-way would lock out everybody else
                if attempt == 0 and mend and is_damage(error):
                    with self._lock:
                        if self._disk is disk:
                            self._open(error)
                    continue
                why = (isinstance(disk, WritableCache) and disk.refusal()) or str(error) or NOT_SAID
                self._trouble = f"The cache in {self.folder} can't be written ({why}): {KEPT}"
                return otherwise
        return otherwise

    def _save(self, *, at_once: bool = False) -> None:
        """Write and remove what has not been yet; where that has failed, not before a while has passed."""
        with self._lock:
            if self._trouble and not at_once and time.monotonic() - self._tried < AGAIN_SECONDS:
                return
            self._tried = time.monotonic()
            if not isinstance(self._disk, WritableCache):
                self._open()
        self._on_disk(self._save_to, None)

    def _save_to(self, disk: Disk) -> None:
        if not isinstance(disk, WritableCache):
            return
        with self._lock:
            unsaved, dropped = dict(self._unsaved), set(self._dropped)
        for key in dropped:
            disk.delete(key)
            self._dropped.discard(key)
        for key, content in unsaved.items():
            disk.set(key, content)
            with self._lock:
                if self._unsaved.get(key) is content:
                    del self._unsaved[key]
        self._trouble = ""


def _sweep(disk: Disk) -> int:
    return disk.sweep() if isinstance(disk, WritableCache) else 0


def _check_origin(key: str, result: Any) -> None:
    """Refuse a result of another request, network or schema; what earlier versions stored does not say, and is taken.

    Raises:
        NmfdiagError: If the key that its provenance carries is another one.
    """
    made_for = result.provenance.get("key", key)
    if made_for != key:
        raise NmfdiagError(
            f"A result was computed from other weights, samples or settings (key {str(made_for)[:12]}) than were asked for "
            f"({key[:12]}): it is not kept. If the network was replaced meanwhile, ask again."
        )


def _result(key: str, stored: bytes | Exception) -> Any:
    """The result of a row.

    Raises:
        Exception: One of :data:`WRONG`, if it is none.
    """
    if isinstance(stored, Exception):
        raise NmfdiagError(_words(stored)) from stored
    content = stored
    if not stored.startswith(b"{"):  # records of the time before there were hashes begin so
        content = stored[HASH_LENGTH:]
        if hashlib.sha256(content).hexdigest().encode() != stored[:HASH_LENGTH]:
            raise NmfdiagError("Its content is not what was written.")
    record = json.loads(content)
    result = RESULTS[record.pop("result", "CompressionCurve")].from_dict(record)
    _check_origin(key, result)
    return result


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, NmfdiagError) else f"{type(error).__name__}: {error}"
