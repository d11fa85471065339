"""What a network says about the labels of its training samples, as tables, files and reasons."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nmfdiag.errors import NmfdiagError, printable
from nmfdiag.measures.suspects.controls import NETWORK, PROBE, Controls
from nmfdiag.measures.suspects.noise_rate import NoiseRate
from nmfdiag.measures.suspects.swap_control import PrecisionTable
from nmfdiag.measures.training_set import TrainingSet
from nmfdiag.text import class_name

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Reasons:
    """Why a sample is suspicious.

    Attributes:
        index: The sample.
        given: Its given label.
        suggested: The suggested one.
        nearest_given: Trusted samples of the given class, the nearest first.
        nearest_suggested: Trusted samples of the suggested class, the nearest first.
        layers_against: How many layers speak against the given label.
        layers: How many were asked.
        contradicts: Samples with the same input and another label.
    """

    index: int
    given: int
    suggested: int
    nearest_given: tuple[int, ...]
    nearest_suggested: tuple[int, ...]
    layers_against: int
    layers: int
    contradicts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Suspects:
    """What a network says about the labels of its training samples.

    ``n`` samples were scored. A *row* is a place among them, an *index* a sample's number in what was given: the same unless only some were scored.

    Attributes:
        given: Given labels (n,).
        score: In [0, 1], higher is more suspicious (n,); 1 where the same input has two labels.
        suggested: The label suggested instead (n,).
        confidence: Probability of the suggestion by the probe of all these layers together (n,).
        layers_against: How many of the layers speak against the given label (n,).
        components: Parts of the score as ranks in [0, 1], and beside it ``loss`` and where asked for ``nmf_ratio`` (a rank), by name (n,);
            ``history`` is NaN for samples that have none.
        noise_rate: The share of wrong labels.
        layers: The layers that the score is read from.
        indices: The samples' numbers in what was given (n,), ascending.
        against_by_layer: How strongly each probed layer speaks against the given label, as log odds for the best other class (n,), by layer in
            execution order.
        duplicates: Groups of indices of samples with the same input, those with several labels first.
        class_names: Names by class, where they are known.
        file_names: Paths of the samples (n,), where they are known.
        remarks: What can't be said, or only with care.
        provenance: What it was computed with.
        accuracies: On the given labels: of the ``network``, of the leave-one-out ``probe of all layers``, of a linear one ``of the inputs``
            (``probe of the inputs``), and of the network on ``moved copies`` where they fit the samples.
        train_size: Number of samples that the network was trained on, of which these are all or some; None where it is not known.
        predicted: Labels (n,) that the ``network`` and the leave-one-out ``probe of all layers`` predict.
    """

    given: np.ndarray
    score: np.ndarray
    suggested: np.ndarray
    confidence: np.ndarray
    layers_against: np.ndarray
    components: Mapping[str, np.ndarray]
    noise_rate: NoiseRate
    layers: tuple[str, ...]
    indices: np.ndarray
    against_by_layer: Mapping[str, np.ndarray] = field(default_factory=dict)
    duplicates: tuple[tuple[int, ...], ...] = ()
    class_names: tuple[str, ...] = ()
    file_names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    accuracies: Mapping[str, float] = field(default_factory=dict)
    predicted: Mapping[str, np.ndarray] = field(default_factory=dict)
    train_size: int | None = None
    _precision: PrecisionTable | None = field(default=None, repr=False)
    _sketch: np.ndarray | None = field(default=None, repr=False)

    @property
    def accuracy_by_layer(self) -> dict[str, float]:
        """Accuracy of each layer's leave-one-out probe on the given labels, by layer in execution order."""
        return {layer: float((against < 0).mean()) for layer, against in self.against_by_layer.items()}

    @property
    def controls(self) -> Controls:
        """What the answers on the network are made from."""
        agreement = confirmed_accuracy = None
        if self.predicted:
            by_network, by_probe = self.predicted[NETWORK], self.predicted[PROBE]
            confirmed = by_probe == self.given
            agreement = float((by_network == by_probe).mean())
            confirmed_accuracy = float((by_network == self.given)[confirmed].mean()) if confirmed.any() else 0.0
        return Controls(
            self.noise_rate,
            self.accuracies,
            self.accuracy_by_layer,
            agreement,
            confirmed_accuracy,
            float(np.bincount(self.given).max()) / len(self.given),
            any(len(set(self.given[self.rows(group)].tolist())) > 1 for group in self.duplicates),
            len(self.given),
        )

    @property
    def extent(self) -> str:
        """How many of the training samples these are, and which ones the share of wrong labels is about."""
        return TrainingSet(len(self.given), self.train_size).extent

    @property
    def order(self) -> np.ndarray:
        """Rows, the most suspicious first (n,)."""
        return np.lexsort((np.arange(len(self.score)), -self.score))

    @property
    def ranks(self) -> np.ndarray:
        """Each sample's place in that order, from 1 (n,)."""
        return np.argsort(self.order) + 1

    @property
    def n_classes(self) -> int:
        """Number of classes that have a name or a sample."""
        return max(len(self.class_names), int(self.given.max()) + 1)

    def class_name(self, class_idx: int) -> str:
        """Return the name of a class, its number where it has none."""
        return class_name(class_idx, self.class_names)

    def file_text(self, row: int) -> str:
        """Return a sample's path for reading, control characters written out; empty where it has none."""
        return printable(self.file_names[row]) if self.file_names else ""

    def numbered(self, numbers: Sequence[int] | np.ndarray, file_names: Sequence[str] = ()) -> "Suspects":
        """Return the same with other numbers for the samples, such as those that they have in a file of which a part was read.

        Args:
            numbers: The new number of each sample that was given, ascending.
            file_names: The path of each sample that was given, where it has one.

        Raises:
            NmfdiagError: If the numbers don't ascend, or there are too few.
        """
        new = np.asarray(numbers)
        last = int(self.indices[-1])
        if new.ndim != 1 or new.dtype.kind not in "iu" or len(new) <= last or (np.diff(new) <= 0).any():
            raise NmfdiagError(f"The samples' numbers must be at least {last + 1} whole numbers that ascend.")
        if file_names and len(file_names) != len(new):
            raise NmfdiagError(f"There are {len(file_names)} file names for {len(new)} samples.")
        return replace(
            self,
            indices=new[self.indices],
            duplicates=tuple(tuple(new[list(group)].tolist()) for group in self.duplicates),
            file_names=tuple(file_names[i] for i in self.indices) if file_names else (),
        )

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per sample, the most suspicious first: index, given, score, rank, suggested, confidence, layers_against, components.

        Where file names are known, they are the column ``file`` behind ``index``.
        """
        import pandas as pd

        order = self.order
        columns = {
            "index": self.indices[order],
            **({"file": [self.file_names[row] for row in order]} if self.file_names else {}),
            "given": self.given[order],
            "score": self.score[order],
            "rank": self.ranks[order],
            "suggested": self.suggested[order],
            "confidence": self.confidence[order],
            "layers_against": self.layers_against[order],
        }
        return pd.DataFrame(columns | {name: values[order] for name, values in self.components.items()})

    def expected_precision(self, n: int) -> float:
        """Return the expected share of wrong labels among the n most suspicious samples by the swap control's own probe, that of the first layers.

        The score ranks better, as a rule, so that more of its n most suspicious samples are wrong.

        Raises:
            NmfdiagError: If n is not between 1 and the number of samples.
        """
        if not 1 <= n <= len(self.given):
            raise NmfdiagError(f"n is {n}: accepted are 1 to {len(self.given)}.")
        assert self._precision is not None
        return self._precision.precision(n / len(self.given))

    def reasons(self, index: int, n_nearest: int = 5) -> Reasons:
        """Return why a sample is suspicious.

        Args:
            index: The sample.
            n_nearest: How many neighbours of each class.

        Raises:
            NmfdiagError: If there is no such sample.
        """
        (row,) = self.rows([index])
        given_class, suggested = int(self.given[row]), int(self.suggested[row])
        group = next((group for group in self.duplicates if index in group), ())
        return Reasons(
            int(index),
            given_class,
            suggested,
            self._nearest(row, given_class, n_nearest),
            self._nearest(row, suggested, n_nearest),
            int(self.layers_against[row]),
            len(self.layers),
            tuple(
                i
                for i, repeated_row in zip(group, self.rows(group), strict=True)
                if self.given[repeated_row] != given_class
            ),
        )

    def cleaned(self, indices: Sequence[int] | None = None) -> np.ndarray:
        """Return the indices that are left without these; default without as many of the most suspicious as the rate says, if it is clear."""
        return np.delete(self.indices, self._wrong() if indices is None else self.rows(indices))

    def relabelled(self, indices: Sequence[int] | None = None) -> np.ndarray:
        """Return the labels of :attr:`indices` (n,) with the suggestion for these; default for as many of the most suspicious as the rate says, if it is clear."""
        changed = self._wrong() if indices is None else self.rows(indices)
        labels = self.given.copy()
        labels[changed] = self.suggested[changed]
        return labels

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it: ``suspects`` holds one object per sample, the most suspicious first."""
        rate = self.noise_rate
        return {
            "schema": "nmfdiag-suspects-1",
            "noise_rate": {
                "estimate": rate.estimate, "low": rate.low, "high": rate.high, "contradicted": rate.contradicted,
                "swapped_high": rate.swapped_high, "n_samples": rate.n_samples,
                "statement": rate.statement,
            },
            "train_size": self.train_size,
            "layers": list(self.layers),
            "accuracies": dict(self.accuracies),
            "accuracy_by_layer": self.accuracy_by_layer,
            "duplicates": [list(group) for group in self.duplicates],
            "class_names": list(self.class_names),
            "remarks": list(self.remarks),
            "suspects": json.loads(self.to_frame().to_json(orient="records", double_precision=6)),
            "provenance": self.provenance,
        }  # fmt: skip

    def to_json(self, path: str | Path) -> None:
        """Write :meth:`to_dict` to a file."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    def to_csv(self, path: str | Path) -> None:
        """Write :meth:`to_frame` to a file."""
        self.to_frame().to_csv(path, index=False)

    def _wrong(self) -> np.ndarray:
        n = round(self.noise_rate.estimate * len(self.given)) if self.noise_rate.is_clear else 0
        return self.order[:n]

    def rows(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the rows of samples; a mask (n,) of booleans is taken, too.

        Raises:
            NmfdiagError: If a sample was not scored.
        """
        array, n = np.asarray(indices), len(self.given)
        if array.dtype == bool and array.shape == (n,):
            return np.flatnonzero(array)
        if array.size == 0:
            return np.zeros(0, int)
        if array.ndim != 1 or array.dtype.kind not in "iu" or not np.isin(array, self.indices).all():
            first, last = self.indices[[0, -1]]
            scored = ", as far as they were scored" if last - first >= n else ""
            raise NmfdiagError(
                f"Samples are named by whole numbers from {first} to {last}{scored}, or by a mask of {n} booleans."
            )
        return np.searchsorted(self.indices, array)

    def _nearest(self, row: int, class_idx: int, n_nearest: int) -> tuple[int, ...]:
        assert self._sketch is not None
        trusted = (self.score <= np.median(self.score)) & (self.given == class_idx)
        trusted[row] = False
        places = np.flatnonzero(trusted)
        distances = ((self._sketch[places] - self._sketch[row]) ** 2).sum(1)
        return tuple(map(int, self.indices[places][np.argsort(distances, kind="stable")[:n_nearest]]))
