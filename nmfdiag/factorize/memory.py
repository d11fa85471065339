"""Estimate the memory that a factorisation takes beside its matrix, from shapes alone."""

from collections.abc import Sequence
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.hals import MOST_STARTS, levels_of, starts_by_rank
from nmfdiag.factorize.matrix import ROWS_AT_ONCE

IN_FLOAT64 = 8
STACKS_OF_H = 6
"""Number of arrays of H's size: H, the previous, the swept and the next one, ``W^T A``, and one more while problems are removed."""
OVERHEAD = 1.3
"""Factor on HALS's arrays, for rounding and transfers between stages (measured on 15 shapes: 1.0 to 1.45)."""
METHODS = ("nmf", "signed", "pca", "random")


def factorization_bytes(
    rows: int,
    channels: int,
    ranks: Sequence[int],
    *,
    method: str = "nmf",
    solver: str = "hals",
    n_starts: int = MOST_STARTS,
    itemsize: int = 4,
) -> int:
    """Estimate the peak memory of a factorisation beside its matrix, in bytes: mostly the W of all ranks, for wide layers their H.

    Args:
        rows: Rows of the matrix.
        channels: Columns of the matrix.
        ranks: Requested ranks; exact ones take no memory.
        method: ``"nmf"``, ``"signed"``, ``"pca"`` or ``"random"``.
        solver: Solver of NMF.
        n_starts: Starts of NMF by ``"hals"``.
        itemsize: Bytes per value.

    Raises:
        NmfdiagError: If the method is unknown.

    >>> f"{factorization_bytes(2_500_000, 64, [1, 2, 4, 8, 16, 32]) / 2**30:.1f} GiB"
    '1.2 GiB'
    """
    if method not in METHODS:
        raise NmfdiagError(f"Unknown method {method!r}: accepted are {', '.join(METHODS)}.")
    chunk_rows = min(rows, ROWS_AT_ONCE)
    if method == "random":
        return (itemsize * rows + 2 * IN_FLOAT64 * chunk_rows) * channels
    if method == "signed":
        parts = 2 * rows * channels * itemsize
        options: dict[str, Any] = {"solver": solver, "n_starts": n_starts, "itemsize": itemsize}
        return parts + factorization_bytes(rows, 2 * channels, ranks, **options)
    smaller = min(rows, channels)
    iterated = sorted({k for k in ranks if k < smaller})
    if not iterated:
        return 0
    if method == "pca":
        gram = 3 * IN_FLOAT64 * smaller**2
        chunks = (2 * chunk_rows if channels <= rows else 3 * rows) * channels * IN_FLOAT64
        return gram + chunks + 2 * itemsize * (rows + channels) * max(ranks)
    if solver == "hals":
        return int(OVERHEAD * itemsize * _hals_numbers(rows, channels, iterated, n_starts))
    factors = (rows + channels) * sum(iterated)
    products = 3 * (rows + channels) * iterated[-1] + 3 * chunk_rows * channels
    return itemsize * (factors + products)


def _hals_numbers(rows: int, channels: int, ranks: list[int], n_starts: int) -> int:
    """Return how many numbers the largest stage holds at once."""
    levels, n_samples = levels_of(rows, ranks[-1])
    starts = starts_by_rank(ranks, n_starts, n_samples)
    peak = 0
    for level, level_rows in enumerate(levels):
        matrices = n_samples if level == 0 else 1
        counts = starts if level == 0 else dict.fromkeys(ranks, n_samples if level == 1 else 1)
        K, squares = sum(k * counts[k] for k in ranks), sum(k * k * counts[k] for k in ranks)
        numbers = level_rows * (K + ranks[-1]) + STACKS_OF_H * K * channels + 2 * squares
        if level == 0:  # the starts are computed here
            numbers += (level_rows * channels if len(levels) > 1 else 0) + ranks[-1] * channels * (
                1 + max(starts.values())
            )
            numbers = max(numbers, level_rows * (2 * channels + ranks[-1]) + 3 * min(level_rows, channels) ** 2)
        peak = max(peak, matrices * numbers)
    return peak
