"""What a training saw of each of its samples: how surely, how early and how lastingly it was predicted as given."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from nmfdiag.data.files import read_arrays
from nmfdiag.errors import NmfdiagError
from nmfdiag.text import plural

NEVER = -1
"""First fitted epoch of a sample that was never predicted as given, and given label of one that was never seen."""
FILE_NAMES = "history*.npz"


@dataclass(frozen=True, eq=False)
class TrainingHistory:
    """What a training saw of each sample. Row ``i`` of each array (n,) is sample number ``i``; rows of samples never seen hold NaN, 0 or -1.

    Attributes:
        epochs: Number of epochs in which it was seen.
        margin: Logit of the given label minus the largest other one, mean over epochs: the area under the margin (AUM).
        confidence: Softmax probability of the given label, mean over epochs; NaN where unknown.
        loss: Cross-entropy, mean over epochs, in nats; NaN where unknown.
        first_fitted: First epoch in which it was predicted as given; -1 if never.
        forgotten: How often it was no longer predicted as given after an epoch in which it was.
        given: The label that it was trained with last; -1 where unknown.
        n_epochs: Number of epochs that were recorded.
        n_skipped: Number of batches that were not recorded, so that recording kept to its share of the time.

    Raises:
        NmfdiagError: If the arrays are not of one length, a margin is not finite, or a number is out of range.

    References:
        Pleiss et al. 2020 (AUM); Swayamdipta et al. 2020 (dataset cartography); Toneva et al. 2019 (forgetting).
    """

    epochs: np.ndarray
    margin: np.ndarray
    confidence: np.ndarray
    loss: np.ndarray
    first_fitted: np.ndarray
    forgotten: np.ndarray
    given: np.ndarray
    n_epochs: int = 0
    n_skipped: int = 0

    def __post_init__(self) -> None:
        n = np.size(self.margin)
        for name, kinds in KINDS.items():
            values = np.asarray(getattr(self, name))
            if values.dtype.kind not in kinds:
                accepted = "numbers" if "f" in kinds else "whole numbers"
                raise NmfdiagError(f"A history's {name} must be {accepted}, got {values.dtype}.")
            if values.shape != (n,):
                raise NmfdiagError(
                    f"A history has one row per sample: {name} has the shape {values.shape}, margin has {np.shape(self.margin)}."
                )
        if (self.epochs < 0).any():
            raise NmfdiagError(f"A history's epochs count from 0, got {self.epochs.min()}.")
        if broken := int((~np.isfinite(self.margin[self.epochs > 0])).sum()):
            raise NmfdiagError(
                f"A history's margin is NaN or infinite for {plural(broken, 'sample')} with epochs above 0: leave those epochs out, or set epochs to 0 there."
            )

    def __len__(self) -> int:
        return len(self.margin)

    @property
    def stayed(self) -> np.ndarray:
        """Whether each sample (n,) was predicted as given from its first fitted epoch on, whenever it was seen."""
        return (self.first_fitted != NEVER) & (self.forgotten == 0)

    @property
    def statement(self) -> str:
        """How much was recorded, in a sentence."""
        n_seen = int((self.epochs > 0).sum())
        skipped = (
            f"; {plural(self.n_skipped, 'skipped batch', 'skipped batches')}, so that recording kept to its share of the time"
            if self.n_skipped
            else ""
        )
        return f"The history holds {plural(n_seen, 'sample')} over {plural(self.n_epochs, 'recorded epoch')}{skipped}."

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> "TrainingHistory":
        """Return a history from arrays under the names of the attributes; only ``margin`` must be there.

        Raises:
            NmfdiagError: If ``margin`` is missing, a name is unknown, or as for :class:`TrainingHistory`.
        """
        if unknown := [str(name) for name in arrays if name not in NAMES]:
            raise NmfdiagError(f"A history has no {', '.join(unknown)}: accepted are {', '.join(NAMES)}.")
        if "margin" not in arrays:
            raise NmfdiagError("A history needs margin, one number per sample.")
        margin = _array("margin", arrays["margin"])
        epochs = _array("epochs", arrays["epochs"]) if "epochs" in arrays else np.ones(len(margin), np.int64)
        unknown_rows: dict[str, np.ndarray] = {
            "confidence": np.full(len(margin), np.nan),
            "loss": np.full(len(margin), np.nan),
            "first_fitted": np.full(len(margin), NEVER),
            "forgotten": np.zeros(len(margin), np.int64),
            "given": np.full(len(margin), NEVER),
        }
        columns = {name: _array(name, arrays[name]) if name in arrays else rows for name, rows in unknown_rows.items()}
        longest = int(epochs.max(initial=0)) if epochs.dtype.kind in "iu" else 0
        return cls(
            epochs=epochs,
            margin=margin,
            **columns,
            n_epochs=_number("n_epochs", arrays.get("n_epochs", longest)),
            n_skipped=_number("n_skipped", arrays.get("n_skipped", 0)),
        )

    def save(self, path: str | Path) -> None:
        """Write the arrays to an ``.npz`` under their names, whole or not at all.

        Raises:
            NmfdiagError: If the name does not end in ``.npz``.
            OSError: If the file can't be written.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise NmfdiagError(f"A history is saved as .npz, got {path.name!r}.")
        part = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            with part.open("xb") as file:
                np.savez(file, **{name: np.asarray(getattr(self, name)) for name in NAMES})  # type: ignore[arg-type]
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "TrainingHistory":
        """Read what :meth:`save` wrote, or any ``.npz`` of arrays that :meth:`from_arrays` takes.

        Args:
            path: The file, or the folder of a run that holds one.

        Raises:
            NmfdiagError: If it can't be read, a folder holds none or several, or as for :meth:`from_arrays`.
        """
        path = Path(path)
        if path.is_dir():
            files = sorted(path.glob(FILE_NAMES))
            if len(files) != 1:
                listing = ", ".join(file.name for file in files[:5]) or "none"
                raise NmfdiagError(f"{path} must hold one {FILE_NAMES}, it has {listing}: name the file.")
            [path] = files
        if not path.is_file():
            raise NmfdiagError(f"There is no history {path}.")
        return cls.from_arrays(
            read_arrays(path, {name: (name,) for name in NAMES}, [name for name in NAMES if name != "margin"])
        )


KINDS = {
    "epochs": "iu", "margin": "fiu", "confidence": "fiu", "loss": "fiu", "first_fitted": "iu", "forgotten": "iu",
    "given": "iu",
}  # fmt: skip
"""Kinds of NumPy's types that each array may have."""
NAMES = tuple(entry.name for entry in fields(TrainingHistory))


def history_ranks(
    history: TrainingHistory | str | Path | Mapping[str, Any], labels: np.ndarray, indices: np.ndarray, n_samples: int
) -> tuple[np.ndarray, list[str]]:
    """Rank samples by their mean margin in training: 1 for the smallest, NaN for samples without history.

    Args:
        history: A history, its file or folder, or its arrays by name.
        labels: Given labels (n,) of the samples that are scored.
        indices: Their numbers (n,).
        n_samples: How many samples there are, scored or not.

    Returns:
        Ranks in (0, 1] or NaN (n,), and remarks.

    Raises:
        NmfdiagError: If the history can't be read, is of more samples, of other labels, or holds none of the samples.
    """
    from scipy.stats import rankdata

    record = _as_history(history)
    if len(record) > n_samples:
        raise NmfdiagError(
            f"The history goes up to sample {len(record) - 1:,}, and there are {n_samples:,} samples: give the samples that it was "
            "recorded on, in the order of their numbers."
        )
    if len(record) < n_samples and (record.given == NEVER).all():
        raise NmfdiagError(
            f"The history has {plural(len(record), 'row')} and no labels, and there are {n_samples:,} samples: give one row per sample."
        )
    rows = np.minimum(indices, len(record) - 1)
    has_history = (indices < len(record)) & (record.epochs[rows] > 0)
    if not has_history.any():
        raise NmfdiagError("The history holds none of these samples.")
    is_other = has_history & (record.given[rows] != NEVER) & (record.given[rows] != labels)
    shares = np.bincount(labels) / len(labels)
    least = (1 + (shares**2).sum()) / 2  # half-way between labels in the same order and in a random one
    if is_other.sum() > (1 - least) * has_history.sum():
        raise NmfdiagError(
            f"The history was recorded with another label for {is_other.sum():,} of {has_history.sum():,} samples: give the samples in the order of "
            "their numbers in training, with the labels that they were trained with."
        )
    remarks = [record.statement] if record.n_skipped else []
    if is_other.any():
        remarks.append(
            f"The history of {plural(int(is_other.sum()), 'sample')} is not used: it was recorded with another label than the given one."
        )
    has_history &= ~is_other
    if n_missing := int((~has_history).sum()):
        remarks.append(f"Without history: {plural(n_missing, 'sample')}, whose score is that of the other components.")
    values = np.where(has_history, -record.margin[rows], np.nan)
    return rankdata(values, nan_policy="omit") / has_history.sum(), remarks


def _as_history(history: Any) -> TrainingHistory:
    if isinstance(history, TrainingHistory):
        return history
    if isinstance(history, str | Path):
        return TrainingHistory.load(history)
    if isinstance(history, Mapping):
        return TrainingHistory.from_arrays(history)
    raise NmfdiagError(
        f"history is of type {type(history).__name__}: accepted are a TrainingHistory, its file, or a mapping of arrays."
    )


def _array(name: str, values: Any) -> np.ndarray:
    """Return one row per sample."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise NmfdiagError(f"A history's {name} must be an array (n,): {error}") from None
    if array.ndim != 1 or array.size == 0:
        raise NmfdiagError(f"A history's {name} must have one number per sample, got the shape {array.shape}.")
    return array


def _number(name: str, value: Any) -> int:
    array = np.asarray(value)
    if array.ndim or array.dtype.kind not in "iu" or array < 0:
        raise NmfdiagError(f"A history's {name} must be a whole number from 0, got {value!r}.")
    return int(array)
