"""Finished results on disk: JSON bytes under string keys, each with its hash, and never a pickle.

A result is not lost where the cache can't be written or its disk is full: it stays in memory, and is written as soon as that works.
"""

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import RuntimeResult
from nmfdiag.jobs.safe_disk import DATABASE, FAILURES, KEPT, Database, Row, is_damage, opened
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.support.cover import SupportCover
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.measures.suspects.stored import from_payload, to_payload

if TYPE_CHECKING:
    from nmfdiag.measures.preflight.network_check import Preflight


def _preflight(record: dict[str, Any]) -> "Preflight":
    from nmfdiag.measures.preflight.network_check import Preflight  # loads torch

    return Preflight.from_dict(record)


RESULTS: dict[str, Any] = {
    **{kind.__name__: kind.from_dict for kind in (CompressionCurve, RuntimeResult, SupportCover)},
    Suspects.__name__: from_payload,
    "Preflight": _preflight,
}
"""The function that reads each kind of result, under the name in its record; a record without a name is a curve."""
HASH_LENGTH = 64
UNSAVED_BYTES = 64 * 2**20
"""Bytes of results that could not be written and are held in memory."""
RETRY_SECONDS = 5
"""Seconds between attempts to write a cache that could not be written."""
UNREADABLE = (NmfdiagError, ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError)
"""What reading a damaged record raises."""
UNKNOWN_REFUSAL = "another process holds it, or there is no room"
T = TypeVar("T")


@dataclass(frozen=True)
class Verification:
    """The outcome of :meth:`CurveCache.verify`.

    Attributes:
        rows: Stored results that were read.
        damaged: What is wrong, by the key of the row.
        database: What SQLite finds wrong with the file itself.
        orphans: Files without a row, left behind by processes that were killed.
    """

    rows: int
    damaged: dict[str, str]
    database: tuple[str, ...]
    orphans: int

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged; files left behind do no harm."""
        return not self.damaged and not self.database


def cache_folder() -> Path:
    """Return ``$NMFDIAG_CACHE``, else ``cache/`` of the checkout, else the user's cache folder for an installed package.

    Where the named folder exists, is not a cache of ours and is open to others, it is the sub-folder ``nmfdiag``: others may use the folder,
    and it keeps its permissions.
    """
    if folder := os.environ.get("NMFDIAG_CACHE"):
        return _private_part(Path(folder))
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / "app.py").is_file():
        return Path.home() / ".cache" / "nmfdiag"
    with suppress(OSError):  # another user's
        (checkout / "cache").chmod(0o700)  # nothing else uses it
    return checkout / "cache"


def _private_part(folder: Path) -> Path:
    with suppress(OSError):  # it doesn't exist: it is created, closed to others
        mode = folder.stat().st_mode & 0o777
        is_ours = (folder / DATABASE).is_file() and not mode & 0o002
        return folder if is_ours or not mode & 0o077 else folder / "nmfdiag"
    return folder


class CurveCache:
    """Results by key, for many threads and processes at once. No method fails because of disk errors."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder or cache_folder()
        self._lock, self._saving = threading.RLock(), threading.Lock()
        self._moved = self._trouble = ""
        self._unsaved: dict[str, bytes] = {}
        self._dropped: set[str] = set()
        self._writing = Counter[str]()
        self._disk: Database | None = None
        self._open()

    @property
    def notice(self) -> str:
        """What was done about a damaged cache, and why nothing can be written now; empty if all is well."""
        return " ".join(filter(None, (self._moved, self._trouble)))

    def get(self, key: str) -> Any:
        """Return the result, or None; a value that can't be read counts as absent and is dropped."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return those of these results that are stored."""
        keys = list(dict.fromkeys(keys))
        with self._lock:  # before the disk is read: what is written meanwhile is in one of both
            unsaved = {key: self._unsaved[key] for key in keys if key in self._unsaved and not self._writing[key]}
            dropped = set(self._dropped)
        nothing: list[Row] = []
        rows = {
            key: content for key, content in self._on_disk(lambda disk: disk.read(keys), nothing) if key not in dropped
        }
        stored = {key: (rows | unsaved)[key] for key in keys if key in rows or key in unsaved}
        results, damaged = {}, []
        for key, content in stored.items():
            try:
                results[key] = _result(key, content)
            except UNREADABLE:
                damaged.append(key)
        if damaged:
            self.drop(damaged)
        return results

    def put(self, key: str, result: "CompressionCurve | RuntimeResult | SupportCover | Suspects | Preflight") -> None:
        """Keep a result; others see it once it is on the disk, or can't be written.

        Raises:
            NmfdiagError: If its provenance says that it was computed from something else than what the key stands for.
        """
        _check_origin(key, result)
        record = to_payload(result) if isinstance(result, Suspects) else result.to_dict()
        content = json.dumps({"result": type(result).__name__, **record}).encode()
        with self._lock:
            self._unsaved.pop(key, None)
            self._unsaved[key] = hashlib.sha256(content).hexdigest().encode() + content
            self._writing[key] += 1
            idle = [other_key for other_key in self._unsaved if not self._writing[other_key]]
            while idle and sum(map(len, self._unsaved.values())) > UNSAVED_BYTES:
                del self._unsaved[idle.pop(0)]
        try:
            self._save()
        finally:
            with self._lock:
                self._writing[key] -= 1

    def drop(self, keys: Iterable[str]) -> None:
        """Forget some results."""
        keys = list(keys)
        with self._lock:
            self._dropped.update(keys)
            for key in keys:
                self._unsaved.pop(key, None)
        self._save()

    def stats(self) -> dict[str, Any]:
        """Return the number of results under ``curves`` (most of them are), the bytes on disk and the folder."""
        curves, volume = self._on_disk(lambda disk: (len(disk), disk.volume()), (0, 0))
        return {"curves": curves + len(self._unsaved), "bytes": volume, "folder": str(self.folder)}

    def verify(self, *, mend: bool = False) -> Verification:
        """Read every stored result again, and report the damaged ones.

        Args:
            mend: Whether to drop damaged results (they are computed again when they are needed), remove files left behind,
                and move a damaged database aside.
        """
        problems = self._on_disk(Database.problems, ["it can't be read"], mend=False)
        rows: list[Row] = self._on_disk(lambda disk: disk.read(None), [], mend=False)
        orphans = self._on_disk(lambda disk: len(disk.orphans()), 0, mend=False)
        damaged = {}
        for key, content in rows:
            try:
                _result(key, content)
            except UNREADABLE as error:
                damaged[key] = _error_text(error)
        if mend:
            if problems and self._writes:
                self._open(sqlite3.DatabaseError(problems[0]))
            self.drop(damaged)
            self._on_disk(Database.sweep, 0)
        return Verification(len(rows), damaged, tuple(problems), orphans)

    def clear(self) -> int:
        """Forget every result; return their number.

        Raises:
            NmfdiagError: If the cache can't be written.
        """
        with self._saving:
            cleared = self._on_disk(Database.clear, None)
            if cleared is None:
                raise NmfdiagError(self.notice or f"The cache in {self.folder} can't be written.")
            with self._lock:
                unsaved, self._unsaved = len(self._unsaved), {}
        return cleared + unsaved

    def close(self) -> None:
        """Write what could not be written before, and close the database."""
        if self._unsaved or self._dropped:
            self._save(at_once=True)
        if self._disk is not None:
            self._disk.close()

    @property
    def _writes(self) -> bool:
        return self._disk is not None and self._disk.writable

    def _open(self, error: sqlite3.Error | None = None) -> None:
        """Open the database, or open it again after an error: a damaged one is moved aside."""
        with self._lock:
            if self._disk is not None:
                self._disk.close()
            self._disk, notice = opened(self.folder, error)
            self._attempted = time.monotonic()
            self._moved, self._trouble = (notice or self._moved, "") if self._writes else (self._moved, notice)
            if self._disk is not None:
                with suppress(*FAILURES):
                    self._disk.sweep()

    def _on_disk(self, act: Callable[[Database], T], otherwise: T, *, mend: bool = True) -> T:
        """Act on the database; where that fails because of damage, move it aside and act on a new one."""
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
                refusal = (disk.writable and disk.refusal()) or str(error) or UNKNOWN_REFUSAL
                self._trouble = f"The cache in {self.folder} can't be written ({refusal}): {KEPT}"
                return otherwise
        return otherwise

    def _save(self, *, at_once: bool = False) -> None:
        """Write and remove what is pending; after a failure, only once :data:`RETRY_SECONDS` have passed."""
        with self._lock:
            if self._trouble and not at_once and time.monotonic() - self._attempted < RETRY_SECONDS:
                return
            self._attempted = time.monotonic()
            if not self._writes:
                self._open()
            if not self._writes:
                return
        self._on_disk(self._save_to, None)

    def _save_to(self, disk: Database) -> None:
        with self._saving:  # else one thread would delete what another has written since
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


def _check_origin(key: str, result: Any) -> None:
    """Refuse a result of another request, network or schema; results of earlier versions don't say, and are accepted.

    Raises:
        NmfdiagError: If its provenance has another key.
    """
    origin = result.provenance.get("key", key)
    if origin != key:
        raise NmfdiagError(
            f"A result was computed from other weights, samples or settings (key {str(origin)[:12]}) than were asked for "
            f"({key[:12]}): it is not kept. If the network was replaced meanwhile, ask again."
        )


def _result(key: str, stored: bytes | Exception) -> Any:
    """Return the result of a row.

    Raises:
        Exception: One of :data:`UNREADABLE`, if the row holds none.
    """
    if isinstance(stored, Exception):
        raise NmfdiagError(_error_text(stored)) from stored
    content = stored
    if not stored.startswith(b"{"):  # the oldest records have no hash
        content = stored[HASH_LENGTH:]
        if hashlib.sha256(content).hexdigest().encode() != stored[:HASH_LENGTH]:
            raise NmfdiagError("Its content is not what was written.")
    record = json.loads(content)
    result = RESULTS[record.pop("result", "CompressionCurve")](record)
    _check_origin(key, result)
    return result


def _error_text(error: Exception) -> str:
    return str(error) if isinstance(error, NmfdiagError) else f"{type(error).__name__}: {error}"
