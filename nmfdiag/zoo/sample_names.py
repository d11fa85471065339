"""The numbers and file names of a probe pool's samples in the data that they came from, as tensors beside its labels."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ROWS, FILES = "rows", "files"
"""Names of the tensors: numbers (n,) int64, and the UTF-8 bytes of a JSON list of file names."""


def record_samples(rows: "Tensor | None", file_names: Sequence[str]) -> "dict[str, Tensor]":
    """Return what is stored of the samples' numbers (n,) and file names (n,); nothing of what is unknown."""
    import torch

    files = bytearray(json.dumps(list(file_names)).encode())
    return ({} if rows is None else {ROWS: rows.long().clone()}) | (
        {FILES: torch.frombuffer(files, dtype=torch.uint8).clone()} if file_names else {}
    )


def recorded_samples(stored: "Mapping[str, Tensor]", n: int) -> "tuple[Tensor, tuple[str, ...]]":
    """Return the numbers (n,) and file names (n,) of a pool's samples; 0, 1, ... and none where they were not recorded.

    Args:
        stored: The tensors beside the pool's labels.
        n: The number of its samples.

    Raises:
        ValueError: If there are not n of them, numbers don't ascend, or names are not strings.
    """
    import torch

    rows = stored[ROWS].long() if ROWS in stored else torch.arange(n)
    file_names = json.loads(bytes(stored[FILES].tolist())) if FILES in stored else []
    if rows.shape != (n,) or (n and int(rows[0]) < 0) or not bool((rows[1:] > rows[:-1]).all()):
        raise ValueError(f"the samples' numbers are not {n} ascending ones")
    if (
        not isinstance(file_names, list)
        or len(file_names) not in (0, n)
        or not all(isinstance(f, str) for f in file_names)
    ):
        raise ValueError(f"the samples' file names are not {n} texts")
    return rows, tuple(file_names)
