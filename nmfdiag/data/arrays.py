"""What every reader returns, and how much a file may promise before anything is allocated for it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from nmfdiag.errors import NmfdiagError

SPLITS = ("train", "test")
MAX_BYTES = 4 * 2**30
DEFLATE_RATIO = 1032  # no deflated byte expands to more


class Arrays(NamedTuple):
    """``inputs`` (n, c, h, w) uint8 or float32, ``labels`` (n,) whole numbers, ``class_names`` by label."""

    inputs: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]


def check_promise(promised: int, what: str, path: Path) -> None:
    """Refuse a size, in bytes, that the file at ``path`` can't hold even deflated, or that is beyond all use.

    Raises:
        NmfdiagError: If it is so.
    """
    if promised > DEFLATE_RATIO * path.stat().st_size:
        raise NmfdiagError(f"{path.name}: {what} promises {promised:,} bytes, which a file of that size can't hold.")
    if promised > MAX_BYTES:
        raise NmfdiagError(
            f"{path.name}: {what} takes {promised:,} bytes, {MAX_BYTES:,} are accepted: use fewer or smaller samples."
        )


def first_of_each_class(labels: np.ndarray, limit: int) -> np.ndarray:
    """Return the sorted rows of the first ``limit`` samples of each class in ``labels`` (n,)."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:limit] for c in np.unique(labels)]))
