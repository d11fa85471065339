"""Recorded experiments: what was measured on networks that are not shipped. Read here without torch, made in ``recording.py``.

``generalization.jsonl`` has one line a network. A watched training run is one file ``EXPERIMENT/NAME.jsonl``: a header, one
line an epoch, and a last line once it has ended; a run that was killed stays readable and is known as unfinished.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.zoo.experiments import Definition
from nmfdiag.zoo.recipes import Recipe

RECORDED = Path(__file__).parent / "recorded"
GENERALIZATION_FILE = "generalization.jsonl"


@dataclass(frozen=True)
class NetworkRecord:
    """One network of the generalisation experiment (figure 5): how it was trained, how well it does, its AuCs.

    ``auc[batch][method][axis]`` has one value a layer, the mean over batches; ``baseline[batch]`` the uncompressed network's
    accuracy on those batches. Accuracies are shares in [0, 1], on all training and all test samples.
    """

    name: str
    recipe: Recipe
    train_accuracy: float
    test_accuracy: float
    epochs: int
    n_parameters: int
    layers: list[str]
    auc: dict[str, dict[str, dict[str, list[float]]]]
    baseline: dict[str, float]
    provenance: dict[str, Any]

    @property
    def generalization_error(self) -> float:
        """Training accuracy minus test accuracy, as in figure 5."""
        return self.train_accuracy - self.test_accuracy

    def area(self, method: str, definition: Definition) -> float:
        """The network's AuC under a definition."""
        by_layer = dict(zip(self.layers, self.auc[definition.batch][method][definition.axis], strict=True))
        values = [by_layer[layer] for layer in definition.chosen(self.layers)]
        return sum(values) / len(values)


@dataclass(frozen=True)
class History:
    """A training run watched epoch by epoch (figures 6 and 9).

    Each of ``epochs`` is a line of the training log (``epoch``, ``train_loss``, ``train_accuracy``, ``test_loss``,
    ``test_accuracy``, ``learning_rate``) with ``curves[measure][layer]``: measures are ``"nmf"``, ``"random"`` and
    ``"nmf on fitted"`` (only the samples that the network gets right), values ``auc`` and ``auc_log`` (mean over classes),
    ``sem``, ``relative`` (AuC over the batch's uncompressed accuracy), ``first`` (accuracy at k = 1) and ``baseline``.
    """

    name: str
    experiment: str
    recipe: Recipe
    probe: dict[str, Any]
    provenance: dict[str, Any]
    epochs: tuple[dict[str, Any], ...]
    result: dict[str, Any]

    @property
    def finished(self) -> bool:
        return bool(self.result)

    @property
    def layers(self) -> list[str]:
        """The layers that were watched, in order of depth; an epoch at which one was dead lacks it."""
        return max((list(by_layer) for e in self.epochs for by_layer in e["curves"].values()), key=len, default=[])

    def series(self, what: str) -> list[float]:
        """A value of the training log, one an epoch."""
        return [line[what] for line in self.epochs]

    def measured(self, measure: str, layer: str, value: str = "auc") -> list[float | None]:
        """A measured value of one layer, one an epoch; None where the epoch has none."""
        return [line["curves"].get(measure, {}).get(layer, {}).get(value) for line in self.epochs]


def network_records(folder: Path = RECORDED) -> dict[str, NetworkRecord]:
    """The networks of the generalisation experiment that are recorded, by name."""
    path = folder / GENERALIZATION_FILE
    return _network_records(path, _modified(path)) if path.is_file() else {}


def histories(experiment: str, folder: Path = RECORDED) -> dict[str, History]:
    """The recorded runs of an experiment, by name."""
    found = [_history(path, _modified(path)) for path in sorted((folder / experiment).glob("*.jsonl"))]
    return {history.name: history for history in found}


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add one line to a record; it is on the disk when this returns. A part of a line that a killed run left is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = path.read_bytes() if path.is_file() else b""
    end = content.rfind(b"\n") + 1
    with path.open("ab") as file:
        if _is_whole(content[end:]):
            file.write(b"\n")
        else:
            file.truncate(end)
        file.write(json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines that are whole: the last one of a killed run may not be."""
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NmfdiagError(f"The record {path.name} can't be read: {error}") from None
    lines = content.split("\n")
    for number, line in enumerate(lines, 1):
        try:
            if line:
                yield json.loads(line)
        except ValueError as error:
            if number < len(lines):
                raise NmfdiagError(f"Line {number} of the record {path.name} can't be read: {error}") from None


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns


@lru_cache(maxsize=8)
def _network_records(path: Path, _modified: int) -> dict[str, NetworkRecord]:
    try:
        found = [NetworkRecord(**(line | {"recipe": Recipe(**line["recipe"])})) for line in _lines(path)]
    except (TypeError, KeyError) as error:
        raise NmfdiagError(f"{path.name} is no record of networks: {error}") from None
    return {record.name: record for record in sorted(found, key=lambda record: record.name)}


@lru_cache(maxsize=256)
def _history(path: Path, _modified: int) -> History:
    lines = list(_lines(path))
    try:
        head = lines[0]
        done = lines[-1].get("result", {})
        epochs = tuple(line for line in lines[1:] if "epoch" in line)
        return History(
            head["name"], head["experiment"], Recipe(**head["recipe"]), head["probe"], head["provenance"], epochs, done
        )
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise NmfdiagError(f"{path.name} is no record of a training run: {error!r}") from None
