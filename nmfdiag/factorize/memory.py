"""How much memory a factorisation takes above its matrix, from shapes alone: known before anything is computed."""

from collections.abc import Sequence
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.hals import MOST_STARTS, levels_of, starts_of
from nmfdiag.factorize.matrix import ROWS_AT_ONCE

IN_FLOAT64 = 8
STACKS_OF_H = 6
"""H, the one before, the swept one, the next one, ``W^T A``, and one more while problems leave the stack."""
BESIDE = 1.3
"""Of what HALS holds, for rounding and what passes from one stage to the next (measured on 15 shapes: 1.0 to 1.45 times)."""
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
    """Estimate what a factorisation needs at its peak, above the matrix: mostly the W of all ranks, for wide layers their H.

    Args:
        rows: Of the matrix.
        channels: Of the matrix.
        ranks: Ranks that are asked for; those that are exact take nothing.
        method: ``"nmf"``, ``"signed"``, ``"pca"`` or ``"random"``.
        solver: NMF's.
        n_starts: Of NMF by ``"hals"``.
        itemsize: Bytes of a value.

    Raises:
        NmfdiagError: If the method is unknown.

    >>> f"{factorization_bytes(2_500_000, 64, [1, 2, 4, 8, 16, 32]) / 2**30:.1f} GiB"
    '1.2 GiB'
    """
    if method not in METHODS:
        raise NmfdiagError(f"Unknown method {method!r}: accepted are {', '.join(METHODS)}.")
    some = min(rows, ROWS_AT_ONCE)
    if method == "random":
        return (itemsize * rows + 2 * IN_FLOAT64 * some) * channels
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
        chunks = (2 * some if channels <= rows else 3 * rows) * channels * IN_FLOAT64
        return gram + chunks + 2 * itemsize * (rows + channels) * max(ranks)
    if solver == "hals":
        return int(BESIDE * itemsize * _hals(rows, channels, iterated, n_starts))
    factors = (rows + channels) * sum(iterated)
    products = 3 * (rows + channels) * iterated[-1] + 3 * some * channels
    return itemsize * (factors + products)


def _hals(rows: int, channels: int, ranks: list[int], n_starts: int) -> int:
    """Numbers held at once, at the stage that holds most."""
    levels, n_samples = levels_of(rows, ranks[-1])
    starts = starts_of(ranks, n_starts, n_samples)
    most = 0
    for level, some in enumerate(levels):
        matrices = n_samples if level == 0 else 1
        of = starts if level == 0 else dict.fromkeys(ranks, n_samples if level == 1 else 1)
        K, squares = sum(k * of[k] for k in ranks), sum(k * k * of[k] for k in ranks)
        held = some * (K + ranks[-1]) + STACKS_OF_H * K * channels + 2 * squares
        if level == 0:  # where the starts are found
            held += (some * channels if len(levels) > 1 else 0) + ranks[-1] * channels * (1 + max(starts.values()))
            held = max(held, some * (2 * channels + ranks[-1]) + 3 * min(some, channels) ** 2)
        most = max(most, matrices * held)
    return most
