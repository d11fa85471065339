"""Recorded experiments: what was measured on networks that are not shipped. Read here without torch, made in ``record_experiments.py``.

``generalization.jsonl`` and ``data-size.jsonl`` have one line per network. A watched training run is one file ``EXPERIMENT/NAME.jsonl`` of the
form that :mod:`nmfdiag.monitor.run_reader` reads.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.monitor.run_reader import Run, json_lines, modified_ns, raw_lines, run_from_lines
from nmfdiag.zoo.experiments import Definition
from nmfdiag.zoo.recipes import Recipe

RECORDED = Path(__file__).parent / "data"


@dataclass(frozen=True)
class NetworkRecord:
    """One network of an experiment on many (figure 5): how it was trained, how well it does, its AuCs.

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

    @property
    def fits(self) -> bool:
        """Whether it reached the training accuracy that its recipe asks for."""
        return self.train_accuracy >= self.recipe.fitted_at

    def area(self, method: str, definition: Definition) -> float:
        """The network's AuC under a definition."""
        by_layer = dict(zip(self.layers, self.auc[definition.batch][method][definition.axis], strict=True))
        values = [by_layer[layer] for layer in definition.chosen(self.layers)]
        return sum(values) / len(values)


@dataclass(frozen=True)
class History(Run):
    """A run of a declared experiment (figures 6 and 9)."""

    recipe: Recipe


def network_records(folder: Path = RECORDED, experiment: str = "generalization") -> dict[str, NetworkRecord]:
    """The networks of an experiment that are recorded, by name."""
    path = folder / f"{experiment}.jsonl"
    return _network_records(path, modified_ns(path)) if path.is_file() else {}


def histories(experiment: str, folder: Path = RECORDED) -> dict[str, History]:
    """The recorded runs of an experiment, by name."""
    found = [_history(path, modified_ns(path)) for path in sorted((folder / experiment).glob("*.jsonl"))]
    return {history.name: history for history in found}


@lru_cache(maxsize=8)
def _network_records(path: Path, _modified: int) -> dict[str, NetworkRecord]:
    try:
        found = [
            NetworkRecord(**(line | {"recipe": Recipe(**line["recipe"])}))
            for line in json_lines(path.name, raw_lines(path))
        ]
        return {record.name: record for record in sorted(found, key=lambda record: record.name)}
    except (TypeError, KeyError) as error:
        raise NmfdiagError(f"{path.name} is no record of networks: {error}") from None


@lru_cache(maxsize=256)
def _history(path: Path, _modified: int) -> History:
    run = run_from_lines(path.name, raw_lines(path))
    if run.recipe is None:
        raise NmfdiagError(f"{path.name} is no record of a training run: it has no recipe.")
    return History(**vars(run))
