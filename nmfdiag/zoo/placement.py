"""Put a network into a zoo as a whole: a process that is killed meanwhile leaves the old one or the new one, never parts. Without torch.

A network is written into ``pools/.NAME-writing``, a small separate zoo. Once complete, that folder becomes ``pools/.NAME-ready`` in one
step; from then on its files only have to be moved, which the next start does (:func:`restore`) if the process that began it is gone.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nmfdiag.errors import NmfdiagError
from nmfdiag.zoo.files import ENTRY_FILE, POOLS, sha256_of

WRITING, READY, BEFORE = "-writing", "-ready", "-before"
FORGOTTEN_SECONDS = 3600
"""Seconds after its last change when a folder counts as left behind, where the system has no locks."""


@contextmanager
def placed(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder for the network to be written into; move it into its place if that succeeds.

    Args:
        folder: The network's folder, in its zoo.

    Raises:
        NmfdiagError: If another process is writing a network of that name.
    """
    zoo = folder.parent
    restore(zoo)
    aside = zoo / POOLS / f".{folder.name}{WRITING}"
    try:
        aside.mkdir(parents=True)
    except FileExistsError:
        raise NmfdiagError(f"Another process is writing a network {folder.name!r}: wait until it is done.") from None
    try:
        with _lock_of(aside):
            yield aside / folder.name
            ready = aside.with_name(f".{folder.name}{READY}")
            shutil.rmtree(ready, ignore_errors=True)
            aside.rename(ready)
            _move_in(ready, zoo)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        for empty in (zoo / POOLS, zoo):
            with suppress(OSError):  # not empty
                empty.rmdir()
        raise


def restore(zoo: Path) -> None:
    """Finish what ended processes have left: move complete networks into their places, remove incomplete ones."""
    for aside in sorted((zoo / POOLS).glob(".*-*")):
        with suppress(OSError):  # a zoo that can't be written
            if aside.name.endswith((WRITING, READY)) and not _is_locked(aside):
                if aside.name.endswith(READY):
                    _move_in(aside, zoo)
                else:
                    shutil.rmtree(aside)
            elif aside.name.endswith(BEFORE):
                _move_back(aside, zoo)


def _move_in(ready: Path, zoo: Path) -> None:
    """Move a complete network's parts into their places, then remove the old ones.

    Raises:
        OSError: If a part can't be moved (on Windows: the old one is being read); the old network is then in its place again.
    """
    name, before = ready.name[1 : -len(READY)], ready / "before"
    before.mkdir(exist_ok=True)
    parts = [(pool, zoo / POOLS / pool.name) for pool in (ready / POOLS).glob("*")]
    parts += [(ready / name, zoo / name)] if (ready / name).exists() else []
    try:
        for new, place in parts:
            if place.is_file() and sha256_of(place) == sha256_of(new):  # a pool that other networks use too
                continue
            if place.is_dir() and not (place / ENTRY_FILE).exists():  # not a network, but somebody's files
                for path in place.iterdir():
                    if not (new / path.name).exists():
                        path.rename(new / path.name)
            if place.exists():
                place.rename(before / place.name)
            new.rename(place)
    except OSError:
        for _, place in parts:
            if (before / place.name).exists():
                if place.exists():
                    place.rename(ready / f"failed-{place.name}")
                (before / place.name).rename(place)
        shutil.rmtree(ready, ignore_errors=True)
        raise
    shutil.rmtree(ready, ignore_errors=True)


def _move_back(aside: Path, zoo: Path) -> None:
    """Bring back what an earlier version had moved aside when it was killed."""
    name = aside.name[1 : -len(BEFORE)]
    if (zoo / name / ENTRY_FILE).exists() or time.time() - aside.stat().st_mtime < FORGOTTEN_SECONDS / 60:
        return
    for path in aside.iterdir():
        place = zoo / name if path.is_dir() else zoo / POOLS / path.name
        if place.is_dir():
            shutil.rmtree(place)
        path.replace(place)
    aside.rmdir()


@contextmanager
def _lock_of(folder: Path) -> Iterator[None]:
    """Lock a folder, whatever its name, until the block or the process ends; where the system has such locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)


def _is_locked(folder: Path) -> bool:
    """Return whether a process has locked a folder."""
    try:
        import fcntl
    except ImportError:
        return time.time() - folder.stat().st_mtime < FORGOTTEN_SECONDS
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(number)
    return False
