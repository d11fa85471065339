"""A few samples of a network's probe pool as they are stored, and its labels: read from the file, without torch."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from nmfdiag.errors import NmfdiagError
from nmfdiag.zoo.files import sha256_of
from nmfdiag.zoo.registry import ZooEntry
from nmfdiag.zoo.sample_names import ROWS


def pool_rows(entry: ZooEntry, rows: Sequence[int] | slice) -> np.ndarray:
    """Return samples (n, ...) before normalisation; only these are read.

    Raises:
        NmfdiagError: If the file is missing, damaged, or not the one that the entry was written with, or has no such row.
    """
    path = _checked(entry, "pool")
    try:
        with safe_open(path, "numpy") as file:
            inputs = file.get_slice("inputs")
            if isinstance(rows, slice):
                return np.asarray(inputs[rows.start : min(rows.stop, inputs.get_shape()[0])])
            return np.concatenate([inputs[row : row + 1] for row in rows]) if len(rows) else inputs[:0]
    except (OSError, SafetensorError, TypeError, ValueError, IndexError) as error:
        raise NmfdiagError(f"The samples of {entry.name} can't be read: {error}") from None


def true_labels(entry: ZooEntry) -> np.ndarray | None:
    """Return the true labels (n,) of the pool; None for a user's network, whose true labels nobody knows.

    Raises:
        NmfdiagError: As :func:`pool_rows`.
    """
    return None if entry.called else _labels(entry, "true")


def given_labels(entry: ZooEntry) -> np.ndarray:
    """Return the labels (n,) of the pool that the network was trained on.

    Raises:
        NmfdiagError: As :func:`pool_rows`.
    """
    return _labels(entry, "given")


def wrong_share(entry: ZooEntry) -> float | None:
    """Return the share of the pool's given labels that are wrong; None for a user's network, whose true labels nobody knows.

    Raises:
        NmfdiagError: As :func:`pool_rows`.
    """
    true = true_labels(entry)
    if true is None:
        return None
    with safe_open(_checked(entry, "labels"), "numpy") as file:
        return float((np.asarray(file.get_tensor("given"), int) != true).mean())


def has_numbers(entry: ZooEntry) -> bool:
    """Return whether the samples' numbers in the training data were recorded.

    Raises:
        NmfdiagError: As :func:`pool_rows`.
    """
    try:
        with safe_open(_checked(entry, "labels"), "numpy") as file:
            return ROWS in file.keys()  # noqa: SIM118 - it is no dictionary
    except (OSError, SafetensorError) as error:
        raise NmfdiagError(f"The labels of {entry.name} can't be read: {error}") from None


def _labels(entry: ZooEntry, kind: str) -> np.ndarray:
    try:
        with safe_open(_checked(entry, "labels"), "numpy") as file:
            return np.asarray(file.get_tensor(kind), int)
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise NmfdiagError(f"The {kind} labels of {entry.name} can't be read: {error}") from None


def _checked(entry: ZooEntry, part: str) -> Path:
    """Return the path of a file after comparing its hash with the entry's."""
    path = entry.files[part]
    try:
        status = path.stat()
    except OSError:
        raise NmfdiagError(f"The zoo file {path.name} of {entry.name} is missing.") from None
    if _hash_of(path, status.st_mtime_ns, status.st_size, status.st_ino) != entry.sha256.get(part):
        raise NmfdiagError(f"The zoo file {path.name} of {entry.name} is not the one that its entry was written with.")
    return path


@lru_cache(maxsize=64)
def _hash_of(path: Path, _modified: int, _size: int, _inode: int) -> str:
    return sha256_of(path)
