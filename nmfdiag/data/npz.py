"""Arrays in an ``.npz``. Headers are read and checked before anything is allocated; nothing is ever unpickled."""

import math
import tokenize
import zipfile
from itertools import product
from pathlib import Path

import numpy as np

from nmfdiag.data.arrays import Arrays
from nmfdiag.data.tree import UNREADABLE, check_entry, open_zip
from nmfdiag.errors import NmfdiagError

INPUTS, LABELS = ("x", "images", "inputs"), ("y", "labels", "targets")
PAIRS = tuple(product(INPUTS, LABELS))
MAX_CLASSES = 100_000
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def load_npz(path: Path, split: str) -> Arrays:
    """Read inputs and labels called ``x`` and ``y`` (or ``images`` or ``inputs``, ``labels`` or ``targets``).

    ``x_train``, ``y_train``, ``x_test`` and ``y_test`` hold two splits; arrays without such an ending are one training
    set. Inputs of shape (n, h, w) have one channel. Of four axes the second is the channels if it is 1 or 3; otherwise
    the last one is, if that is 1 or 3; otherwise the second. Whole numbers other than uint8 are refused as inputs,
    since nothing says what is full scale.

    Returns:
        Inputs (n, c, h, w) uint8 or float32, labels (n,), class names "0", "1", ... up to the largest label of both
        splits.

    Raises:
        NmfdiagError: If an array is missing, of objects, lies about its size, or does not fit the other.
    """
    with open_zip(path) as archive:
        entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        x_name, y_name, other = _names(entries, split, path)
        x = _read(archive, entries[x_name], path)
        y = _labels(_read(archive, entries[y_name], path), y_name, path)
        beyond = _labels(_read(archive, entries[other], path), other, path).max() if other else 0
    x = _inputs(x, x_name, path)
    if len(x) != len(y):
        raise NmfdiagError(f"{path.name}: {x_name} has {len(x)} samples but {y_name} has {len(y)} labels.")
    return Arrays(x, y, tuple(str(c) for c in range(1 + max(int(y.max()), int(beyond)))))


def _names(entries: dict[str, zipfile.ZipInfo], split: str, path: Path) -> tuple[str, str, str | None]:
    """Names of the inputs, of the labels, and of the other split's labels if there are any."""
    ending, other = ("_train", "_test") if split == "train" else ("_test", "_train")
    for x, y in PAIRS:
        if x + ending in entries and y + ending in entries:
            return x + ending, y + ending, y + other if y + other in entries else None
    whole = next(((x, y) for x, y in PAIRS if x in entries and y in entries), None)
    if whole is None:
        wanted, held = f"{' or '.join(INPUTS)}, and {' or '.join(LABELS)}", ", ".join(sorted(entries)) or "nothing"
        raise NmfdiagError(f"{path.name} must hold arrays called {wanted}, or the like with {ending}; it holds {held}.")
    if split != "train":
        raise NmfdiagError(
            f"{path.name} has no split {split!r}: {whole[0]} and {whole[1]} are a training set; "
            f"name arrays {whole[0]}{ending} and {whole[1]}{ending} to have one."
        )
    return *whole, None


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    check_entry(info, path)
    try:
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            if version not in HEADER_READERS:
                raise NmfdiagError(f"{path.name}: {info.filename} is of an unknown version of the format, {version}.")
            shape, _, dtype = HEADER_READERS[version](file)
            if dtype.hasobject or dtype.kind not in "fiub":
                raise NmfdiagError(f"{path.name}: {info.filename} must hold numbers, got {dtype}.")
            promised, held = math.prod(shape) * dtype.itemsize, info.file_size - file.tell()
            if promised != held or any(length < 0 for length in shape):
                raise NmfdiagError(f"{path.name}: the header of {info.filename} lies about its size: {shape} {dtype}.")
        with archive.open(info) as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except NmfdiagError:
        raise
    except (*UNREADABLE, ValueError, SyntaxError, MemoryError, tokenize.TokenError) as error:
        raise NmfdiagError(f"{path.name}: {info.filename} can't be read: {error}") from None


def _inputs(x: np.ndarray, name: str, path: Path) -> np.ndarray:
    if x.ndim == 3:
        x = x[:, None]
    if x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim != 4 or not x.size:
        raise NmfdiagError(f"{path.name}: {name} must be (n, h, w), (n, c, h, w) or (n, h, w, c), got {x.shape}.")
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    if x.dtype.kind != "f":
        raise NmfdiagError(f"{path.name}: {name} must be uint8 (0 .. 255) or floats, got {x.dtype}.")
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(x, dtype=np.float32)
    if not np.isfinite(x).all():
        raise NmfdiagError(f"{path.name}: {name} holds NaN, infinities, or numbers beyond float32.")
    return x


def _labels(y: np.ndarray, name: str, path: Path) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or not y.size or y.dtype.kind not in "iu":
        raise NmfdiagError(f"{path.name}: {name} must be whole numbers of shape (n,), got {y.dtype} {y.shape}.")
    if y.min() < 0 or y.max() >= MAX_CLASSES:
        raise NmfdiagError(f"{path.name}: {name} must lie in 0 .. {MAX_CLASSES - 1}, got {y.min()} .. {y.max()}.")
    return y
