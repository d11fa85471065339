"""Run a declared experiment and record it: train each network, measure it, write it down, go on where it was stopped."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from nmfdiag.data import Dataset, load, multi_class_batch, single_class_batches
from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence.records import histories, network_records
from nmfdiag.factorize import coarse_ranks
from nmfdiag.measures.compression import compression_curves
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import PAPER_METHODS
from nmfdiag.monitor.epoch_probe import summarised
from nmfdiag.monitor.run_reader import append
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.provenance import provenance
from nmfdiag.zoo.experiments import AXES, experiment
from nmfdiag.zoo.recipes import Recipe
from nmfdiag.zoo.training import Trained, predict, train, training_set

Batches = Sequence[tuple[Tensor, Tensor]]
PER_CLASS, MULTI_DRAWS, WATCH_DRAWS = 20, 3, 1
DIGITS = 4

OnStep = Callable[[str, float], None]
"""Called with what is being done and the share of this network that is done."""


@dataclass(frozen=True)
class Measure:
    """What a watched run measures after each epoch; ``fitted`` leaves out the samples that the network gets wrong."""

    method: str
    fitted: bool = False


MEASURES = {"nmf": Measure("nmf"), "random": Measure("random"), "nmf on fitted": Measure("nmf", fitted=True)}
WATCHED: dict[str, dict[str, Any]] = {
    "early-stopping": {"measures": ["nmf", "random", "nmf on fitted"], "ranks": "coarse", "per_class": 10},
    "few-shot": {"measures": ["nmf"], "ranks": "1", "per_class": 20},
}
"""Of each experiment that watches training: what is measured, at which ranks, on how many samples a class."""


def record(
    name: str,
    folder: Path,
    *,
    only: Sequence[str] = (),
    root: str | None = None,
    download: bool = False,
    device: str = "cpu",
    on_step: OnStep | None = None,
) -> list[str]:
    """Run what is not recorded yet of an experiment.

    Args:
        name: One of :data:`nmfdiag.zoo.experiments.EXPERIMENTS`.
        folder: Where the records are, and go.
        only: Beginnings of the names to run; all if there are none.
        root: Folder of the data sets.
        download: Whether torchvision may download a missing data set.
        device: Where to train and measure.
        on_step: Told how far it is; may raise to stop.

    Returns:
        The names of the networks that were recorded now.

    Raises:
        NmfdiagError: If the experiment is unknown, no network's name begins so, or a data set is missing.
    """
    recipes = {n: r for n, r in experiment(name).items() if not only or n.startswith(tuple(only))}
    if not recipes:
        raise NmfdiagError(f"No network of {name!r} has a name that begins with {', '.join(only)}.")
    tell = on_step or (lambda words, done: None)
    if name not in WATCHED:
        known = set(network_records(folder, name))
    else:
        known = {n for n, history in histories(name, folder).items() if history.finished}
    left = {n: recipe for n, recipe in recipes.items() if n not in known}
    for i, (each, recipe) in enumerate(left.items()):

        def report(words: str, done: float, each: str = each, i: int = i) -> None:
            tell(f"{each}: {words}", (i + done) / len(left))

        chosen = load(recipe.dataset, root=root, download=download)
        options = {"root": root, "download": download, "device": device}
        if name not in WATCHED:
            _record_network(each, recipe, chosen, folder / f"{name}.jsonl", options, report)
        else:
            _record_history(name, each, recipe, chosen, folder / name / f"{each}.jsonl", options, report)
    return list(left)


def _record_network(
    name: str, recipe: Recipe, dataset: Dataset, path: Path, options: dict[str, Any], report: OnStep
) -> None:
    def on_epoch(line: dict[str, Any]) -> None:
        report(
            f"epoch {line['epoch']:.0f}, accuracy {line['train_accuracy']:.2f}", 0.8 * line["epoch"] / recipe.max_epochs
        )

    start = time.perf_counter()
    trained = train(recipe, on_epoch=on_epoch, tested=0, **options)
    report("measuring", 0.8)
    chosen = training_set(recipe, dataset)
    inputs, given = chosen.normalization(chosen.inputs), chosen.labels.given
    network = SplitNetwork(trained.model, inputs[:2])
    batches = {
        "single": [(b.inputs, b.given_labels) for b in single_class_batches(inputs, given, size=PER_CLASS)],
        "multi": [
            (b.inputs, b.given_labels)
            for b in (multi_class_batch(inputs, given, size=PER_CLASS, seed=seed) for seed in range(MULTI_DRAWS))
        ],
    }
    layers = [layer.name for layer in network.layers]
    auc: dict[str, dict[str, dict[str, list[float]]]] = {}
    baseline = {}
    for kind, some in batches.items():
        auc[kind] = {method: {axis: [] for axis in AXES} for method in PAPER_METHODS}
        for method in PAPER_METHODS:
            for layer in layers:
                curves = _curves(network, layer, some, method=method, ranks=coarse_ranks)
                baseline[kind] = fmean(curve.baseline_accuracy for curve in curves)
                for axis in AXES:
                    auc[kind][method][axis].append(round(fmean(c.auc_over(axis) for c in curves), DIGITS))
    line = {
        "name": name,
        "recipe": recipe.to_dict(),
        "train_accuracy": trained.train_accuracy,
        "test_accuracy": trained.test_accuracy,
        "epochs": len(trained.log),
        "n_parameters": sum(p.numel() for p in trained.model.parameters()),
        "layers": layers,
        "auc": auc,
        "baseline": baseline,
        "provenance": _provenance() | {"per_class": PER_CLASS, "seconds": round(time.perf_counter() - start, 1)},
    }
    append(path, line)


def _record_history(
    experiment_name: str,
    name: str,
    recipe: Recipe,
    dataset: Dataset,
    path: Path,
    options: dict[str, Any],
    report: OnStep,
) -> None:
    probe = WATCHED[experiment_name]
    path.unlink(missing_ok=True)  # an unfinished run: training can't be taken up in its middle
    head = {"name": name, "experiment": experiment_name, "recipe": recipe.to_dict(), "probe": probe}
    append(path, head | {"provenance": _provenance()})
    chosen = training_set(recipe, dataset)
    inputs, given = chosen.normalization(chosen.inputs), chosen.labels.given
    batches = [(b.inputs, b.given_labels) for b in single_class_batches(inputs, given, size=probe["per_class"])]

    def watch(model: nn.Module) -> dict[str, Any]:
        return {"curves": measure(model, batches, probe["measures"], probe["ranks"], recipe.precision)}

    def on_epoch(line: dict[str, Any]) -> None:
        append(path, {what: _rounded(value) for what, value in line.items()})
        report(f"epoch {line['epoch']:.0f}, accuracy {line['train_accuracy']:.2f}", line["epoch"] / recipe.max_epochs)

    trained: Trained = train(recipe, on_epoch=on_epoch, watch=watch, **options)
    result = {"train_accuracy": trained.train_accuracy, "test_accuracy": trained.test_accuracy}
    append(path, {"result": result | {"seconds": round(trained.seconds, 1)}})


def measure(
    model: nn.Module, batches: Batches, measures: Sequence[str], ranks: str, precision: str = "float32"
) -> dict[str, dict[str, dict[str, float]]]:
    """Measure every layer of a network in training: ``[measure][layer]`` -> values, as :class:`History` has them.

    A layer that is dead, or a measure without any batch of two fitted samples, is left out.
    """
    network = SplitNetwork(model, batches[0][0][:2])
    fitted = [(x[right], y[right]) for x, y in batches if int((right := predict(model, x).argmax(1) == y).sum()) > 1]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for what in measures:
        method, some = MEASURES[what].method, fitted if MEASURES[what].fitted else batches
        for layer in network.layers:
            curves = _curves(
                network, layer.name, some, method=method, ranks=[1] if ranks == "1" else coarse_ranks,
                draws=WATCH_DRAWS, tail_dtype=precision,
            )  # fmt: skip
            if curves:
                values = summarised([(c.ranks, c.accuracy, c.baseline_accuracy) for c in curves])
                kept = ("first", "baseline") if ranks == "1" else tuple(values)
                found.setdefault(what, {})[layer.name] = {name: values[name] for name in kept}
    return found


def _curves(network: SplitNetwork, layer: str, batches: Batches, **options: Any) -> list[CompressionCurve]:
    """The curves of the batches on which the layer is alive."""
    return [c for c in compression_curves(network, layer, batches, **options) if isinstance(c, CompressionCurve)]


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    return round(value, DIGITS + 1) if isinstance(value, float) else value


def _provenance() -> dict[str, Any]:
    return provenance("nmfdiag", "torch", "processor", date=time.strftime("%Y-%m-%d"))
