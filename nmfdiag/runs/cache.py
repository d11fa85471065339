"""Finished results on disk: JSON bytes under string keys in diskcache, and never a pickle."""

import json
import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import diskcache

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.support import SupportCover
from nmfdiag.runs.timing import RuntimeResult

SIZE_LIMIT = 2 * 2**30
RESULTS: dict[str, Any] = {c.__name__: c for c in (CompressionCurve, RuntimeResult, SupportCover)}
"""Each kind of result under the name that its record carries; a record without one is a curve."""


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
        if filename is not None and not Path(self._directory, filename).resolve().is_relative_to(
            Path(self._directory).resolve()
        ):
            raise NmfdiagError("The cache names a file outside its folder.")
        found = super().fetch(mode, filename, value, read)
        if not isinstance(found, bytes):
            raise NmfdiagError("The cache holds a value that nmfdiag did not write.")
        return found


def cache_folder() -> Path:
    """``$NMFDIAG_CACHE``, else ``cache/`` of the checkout, else the user's cache folder for an installed package."""
    if "NMFDIAG_CACHE" in os.environ:
        return Path(os.environ["NMFDIAG_CACHE"])
    checkout = Path(__file__).resolve().parents[2]
    return checkout / "cache" if (checkout / "app.py").is_file() else Path.home() / ".cache" / "nmfdiag"


class CurveCache:
    """Results by key. ``notice`` says what was done about a damaged cache, if anything was."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder or cache_folder()
        self.notice = ""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._disk = self._open()
        except sqlite3.DatabaseError as error:
            aside = self.folder / f"damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
            aside.mkdir()
            for path in self.folder.glob("cache.db*"):
                path.rename(aside / path.name)
            self.notice = f"The cache was damaged ({error}); it was moved to {aside.name} and a new one begun."
            self._disk = self._open()

    def _open(self) -> diskcache.Cache:
        return diskcache.Cache(
            str(self.folder),
            disk=BytesDisk,
            size_limit=SIZE_LIMIT,
            eviction_policy="least-recently-used",
            cull_limit=20,
        )

    def get(self, key: str) -> Any:
        """The result, or None; a value that can't be read counts as absent and is dropped."""
        try:
            content = self._disk.get(key)
            if content is None:
                return None
            record = json.loads(content)
            return RESULTS[record.pop("result", "CompressionCurve")].from_dict(record)
        except (NmfdiagError, ValueError, TypeError, KeyError, AttributeError, OSError):
            self._disk.delete(key)
            return None

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The results that are there."""
        with self._disk.transact():
            found = {key: self.get(key) for key in keys}
        return {key: result for key, result in found.items() if result is not None}

    def put(self, key: str, result: CompressionCurve | RuntimeResult | SupportCover) -> None:
        """Keep a result."""
        self._disk.set(key, json.dumps({"result": type(result).__name__, **result.to_dict()}).encode())

    def drop(self, keys: Iterable[str]) -> None:
        """Forget some results."""
        with self._disk.transact():
            for key in keys:
                self._disk.delete(key)

    def stats(self) -> dict[str, Any]:
        """Number of results (most of them curves), bytes on disk and the folder."""
        return {"curves": len(self._disk), "bytes": self._disk.volume(), "folder": str(self.folder)}

    def clear(self) -> int:
        """Forget every result; returns how many there were."""
        return self._disk.clear()

    def close(self) -> None:
        """Close the database."""
        self._disk.close()
