"""Run a declared experiment and record it: train each network, measure it, write its record; resume where it was stopped."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from nmfdiag.data.datasets import Dataset, load
from nmfdiag.data.probe import multi_class_batch, single_class_batches
from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence.curve_records import DIGITS, MULTI_DRAWS, PER_CLASS
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
WATCH_DRAWS = 1
"""Draws of random ablation in a watched run."""

OnStep = Callable[[str, float], None]
"""Called with the current step and the share of this network that is done."""


@dataclass(frozen=True)
class Measure:
    """A measure taken after each epoch of a watched run; ``fitted`` leaves out the samples that the network gets wrong."""

    method: str
    fitted: bool = False


WATCH_MEASURES = {"nmf": Measure("nmf"), "random": Measure("random"), "nmf on fitted": Measure("nmf", fitted=True)}
WATCHED: dict[str, dict[str, Any]] = {
    "early-stopping": {"measures": ["nmf", "random", "nmf on fitted"], "ranks": "coarse", "per_class": 10},
    "few-shot": {"measures": ["nmf"], "ranks": "1", "per_class": 20},
}
"""Measures, ranks and samples per class of each experiment that watches training."""


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
    """Run the part of an experiment that is not recorded yet.

    Args:
        name: One of :data:`nmfdiag.zoo.experiments.EXPERIMENTS`.
        folder: Folder of the records, read and written.
        only: Name prefixes of the networks to run; empty for all.
        root: Folder of the data sets.
        download: Whether torchvision may download a missing data set.
        device: Device to train and measure on.
        on_step: Called with the current step and the share done; may raise to stop.

    Returns:
        The names of the newly recorded networks.

    Raises:
        NmfdiagError: If the experiment is unknown, no network's name has such a prefix, or a data set is missing.
    """
    recipes = {n: r for n, r in experiment(name).items() if not only or n.startswith(tuple(only))}
    if not recipes:
        raise NmfdiagError(f"No network of {name!r} has a name that begins with {', '.join(only)}.")
    tell = on_step or (lambda text, share: None)
    if name not in WATCHED:
        recorded_names = set(network_records(folder, name))
    else:
        recorded_names = {n for n, history in histories(name, folder).items() if history.finished}
    unrecorded = {n: recipe for n, recipe in recipes.items() if n not in recorded_names}
    for i, (network_name, recipe) in enumerate(unrecorded.items()):

        def report(text: str, share: float, network_name: str = network_name, i: int = i) -> None:
            tell(f"{network_name}: {text}", (i + share) / len(unrecorded))

        dataset = load(recipe.dataset, root=root, download=download)
        options = {"root": root, "download": download, "device": device}
        if name not in WATCHED:
            _record_network(network_name, recipe, dataset, folder / f"{name}.jsonl", options, report)
        else:
            _record_history(
                name, network_name, recipe, dataset, folder / name / f"{network_name}.jsonl", options, report
            )
    return list(unrecorded)


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
    training_data = training_set(recipe, dataset)
    inputs, labels = training_data.normalization(training_data.inputs), training_data.labels.given
    network = SplitNetwork(trained.model, inputs[:2])
    batches = {
        "single": [(b.inputs, b.given_labels) for b in single_class_batches(inputs, labels, size=PER_CLASS)],
        "multi": [
            (b.inputs, b.given_labels)
            for b in (multi_class_batch(inputs, labels, size=PER_CLASS, seed=seed) for seed in range(MULTI_DRAWS))
        ],
    }
    layers = [layer.name for layer in network.layers]
    auc: dict[str, dict[str, dict[str, list[float]]]] = {}
    baseline = {}
    for kind, kind_batches in batches.items():
        auc[kind] = {method: {axis: [] for axis in AXES} for method in PAPER_METHODS}
        for method in PAPER_METHODS:
            for layer in layers:
                curves = _curves_of_live_layers(network, layer, kind_batches, method=method, ranks=coarse_ranks)
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
    path.unlink(missing_ok=True)  # an unfinished run: training can't be resumed
    head = {"name": name, "experiment": experiment_name, "recipe": recipe.to_dict(), "probe": probe}
    append(path, head | {"provenance": _provenance()})
    training_data = training_set(recipe, dataset)
    inputs, labels = training_data.normalization(training_data.inputs), training_data.labels.given
    batches = [(b.inputs, b.given_labels) for b in single_class_batches(inputs, labels, size=probe["per_class"])]

    def watch(model: nn.Module) -> dict[str, Any]:
        return {"curves": measure(model, batches, probe["measures"], probe["ranks"], recipe.precision)}

    def on_epoch(line: dict[str, Any]) -> None:
        append(path, {key: _round_values(value) for key, value in line.items()})
        report(f"epoch {line['epoch']:.0f}, accuracy {line['train_accuracy']:.2f}", line["epoch"] / recipe.max_epochs)

    trained: Trained = train(recipe, on_epoch=on_epoch, watch=watch, **options)
    result = {"train_accuracy": trained.train_accuracy, "test_accuracy": trained.test_accuracy}
    append(path, {"result": result | {"seconds": round(trained.seconds, 1)}})


def measure(
    model: nn.Module, batches: Batches, measures: Sequence[str], ranks: str, precision: str = "float32"
) -> dict[str, dict[str, dict[str, float]]]:
    """Measure every layer of a network in training: ``[measure][layer]`` -> values, as in :class:`History`.

    A dead layer, or a measure without any batch of two fitted samples, is left out.
    """
    network = SplitNetwork(model, batches[0][0][:2])
    fitted_batches = [
        (x[right], y[right]) for x, y in batches if int((right := predict(model, x).argmax(1) == y).sum()) > 1
    ]
    values_by_measure: dict[str, dict[str, dict[str, float]]] = {}
    for measure_name in measures:
        method, measure_batches = (
            WATCH_MEASURES[measure_name].method,
            fitted_batches if WATCH_MEASURES[measure_name].fitted else batches,
        )
        for layer in network.layers:
            curves = _curves_of_live_layers(
                network, layer.name, measure_batches, method=method, ranks=[1] if ranks == "1" else coarse_ranks,
                draws=WATCH_DRAWS, tail_dtype=precision,
            )  # fmt: skip
            if curves:
                values = summarised([(c.ranks, c.accuracy, c.baseline_accuracy) for c in curves])
                value_names = ("first", "baseline") if ranks == "1" else tuple(values)
                values_by_measure.setdefault(measure_name, {})[layer.name] = {
                    name: values[name] for name in value_names
                }
    return values_by_measure


def _curves_of_live_layers(
    network: SplitNetwork, layer: str, batches: Batches, **options: Any
) -> list[CompressionCurve]:
    """Compute the curves of the batches on which the layer is alive."""
    return [c for c in compression_curves(network, layer, batches, **options) if isinstance(c, CompressionCurve)]


def _round_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _round_values(v) for key, v in value.items()}
    return round(value, DIGITS + 1) if isinstance(value, float) else value


def _provenance() -> dict[str, Any]:
    return provenance("nmfdiag", "torch", "processor", date=time.strftime("%Y-%m-%d"))
