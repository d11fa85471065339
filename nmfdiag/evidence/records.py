"""Recorded experiments on networks that are not shipped. Read here without torch, made in ``record_experiments.py``.

``generalization.jsonl`` and ``data-size.jsonl`` have one line per network. A watched training run is one file
``EXPERIMENT/NAME.jsonl`` in the format of :mod:`nmfdiag.monitor.run_reader`.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.monitor.run_reader import Run, json_lines, modified_ns, raw_lines, run_from_lines
from nmfdiag.monitor.run_state import judged
from nmfdiag.zoo.experiments import Definition
from nmfdiag.zoo.recipes import Recipe

RECORDS_FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True)
class NetworkRecord:
    """One network of an experiment on many networks (figure 5): its recipe, accuracies and AuCs.

    ``auc[batch][method][axis]`` has one value per layer, the mean over batches; ``baseline[batch]`` is the uncompressed
    network's accuracy on them. Accuracies are shares in [0, 1], on all training and all test samples.
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
        """Whether it reached its recipe's training accuracy."""
        return self.train_accuracy >= self.recipe.fitted_at

    def area(self, method: str, definition: Definition) -> float:
        """Return the network's AuC under a definition."""
        by_layer = dict(zip(self.layers, self.auc[definition.batch][method][definition.axis], strict=True))
        values = [by_layer[layer] for layer in definition.members(self.layers)]
        return sum(values) / len(values)


@dataclass(frozen=True)
class History(Run):
    """A run of a declared experiment (figures 6 and 9)."""

    recipe: Recipe


def network_records(folder: Path = RECORDS_FOLDER, experiment: str = "generalization") -> dict[str, NetworkRecord]:
    """Return the recorded networks of an experiment by name."""
    path = folder / f"{experiment}.jsonl"
    return _network_records(path, modified_ns(path)) if path.is_file() else {}


def histories(experiment: str, folder: Path = RECORDS_FOLDER) -> dict[str, History]:
    """Return the recorded runs of an experiment by name."""
    runs = [_history(path, modified_ns(path)) for path in sorted((folder / experiment).glob("*.jsonl"))]
    return {history.name: history for history in runs}


@cache
def run_state_counts() -> dict[str, tuple[int, int]]:
    """Return at how many epochs of the recorded runs each state is right, and how many have it; see :func:`nmfdiag.monitor.run_state.judged`."""
    return judged(histories("early-stopping").values())


@lru_cache(maxsize=8)
def _network_records(path: Path, _modified: int) -> dict[str, NetworkRecord]:
    try:
        records = [
            NetworkRecord(**(line | {"recipe": Recipe(**line["recipe"])}))
            for line in json_lines(path.name, raw_lines(path))
        ]
        return {record.name: record for record in sorted(records, key=lambda record: record.name)}
    except (TypeError, KeyError) as error:
        raise NmfdiagError(f"{path.name} is not a record of networks: {error}") from None


@lru_cache(maxsize=256)
def _history(path: Path, _modified: int) -> History:
    run = run_from_lines(path.name, raw_lines(path))
    if run.recipe is None:
        raise NmfdiagError(f"{path.name} is not the record of a training run: it has no recipe.")
    return History(**vars(run))
