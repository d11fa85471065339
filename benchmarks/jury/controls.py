"""Controls for "does it memorise rather than generalise?" that need NMF or another training. Declared before they were measured.

``NMFDIAG_DATA=... python benchmarks/jury/controls.py OUT`` adds a line to ``OUT/controls.jsonl`` for each network of :func:`members` that ``train.py`` has made;
``control_tables.py OUT`` prints what they tell of the test accuracy. Only the half ``"development"`` is opened.

**Networks.** Those with at most 2,000 samples, without ResNet-18; of these 40: all with right labels, then the recipe's first. Measured as ``measure.py`` does,
on a copy with re-estimated batch norm where that lags; the truth then is the copy's test accuracy.

**AuC** is that of NMF over linear k (k = 1, 2, 4, 8, ... and the full rank), on the given labels, of the first ReLU layer, the middle one and the last; networks
without ReLU have none. Measured are at most five classes, spread evenly over their numbers. A *batch* has at most 30 samples, and at least 5, else the class is
left out. One random order of all samples decides which are drawn, so that two batches of nearly the same
samples are nearly the same batch. *Mean* is over classes and *unsaturated* layers: those whose mean AuC in (c) is below ``SATURATED``, all if none is.
Differences are of the layers and classes that both have.

(a) *Halves.* Each class in the order of ``nmfdiag.suspects(...).score``: the least suspicious half is trusted, the most suspicious suspected (as large; a sample in the
    middle belongs to neither). Batches of both halves: trusted minus suspected, and the level of the suspected half. Memorising should make the difference large.
(b) *The probe's answers.* A sample's answer is its given label where the leave-one-out probe of all layers agrees, else the suggested label. Of each class a
    batch of samples with that given label, and one of as many with that answer; both on given labels: given minus answered, and the level of the answered.
(c) *AuC* of given-label batches; of the unsaturated layers, and of all.
(d) *Upper reference.* A copy whose last two modules with a matrix or kernel (biases as well) are trained on a random permutation of the given labels, with
    everything else, batch norm's statistics included, as it was: Adam at 1e-3, until 99 % are fitted, up to 100 epochs and 10 CPU seconds. In a trial of the cost on one
    network that fitted 31 % of the labels (at 3e-3 21 %, after 20 epochs 17 %): how many are fitted is recorded. Its AuC, its
    accuracy on moved copies and its leave-one-out probe of all layers, all on the permuted labels, are those of pure memorising. Control: the network's value minus
    the copy's (*gap*), and where the network lies between the copy (0) and a perfect one (1), *place* = gap / (1 - copy's value).

**Beside them**, on the same networks, the plain controls of ``nmfdiag.suspects``: accuracy on moved copies, the leave-one-out probe of all layers, that of the first
layer; and a constant, the mean test accuracy of the other networks.

**What counts.** A control *carries* if it predicts the test accuracy of networks of a data set it was not fitted on, by a line or an isotonic curve, to .08 in mean
absolute error, with Spearman at least .85, over all and over those with right labels (p = 0) alone. It *helps* if that error is at least .01 below that of the best plain
control on the same networks, over all, and not above it over those with right labels. Else it does not carry.
"""

import copy
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from open_network import opened
from recipe import CLEAN, JuryNetwork, networks
from torch import Tensor, nn

import nmfdiag
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.matrix import coarse_ranks
from nmfdiag.measures.auc import SATURATED
from nmfdiag.measures.compression import compression_curves
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.provenance import provenance
from nmfdiag.zoo.measured_network import network_to_measure
from nmfdiag.zoo.training import accuracy, predict

N_NETWORKS, LARGEST = 40, 2000
"""Networks measured, and samples of the largest."""
LAYERS, CLASSES, SMALLEST_BATCH, LARGEST_BATCH = 3, 5, 5, 30
"""Layers and classes measured at most, and samples of a batch."""
RATE, EPOCHS, CPU_SECONDS, FITTED = 1e-3, 100, 10.0, 0.99
"""Training of the upper reference."""
SEED = 0

Batches = dict[int, np.ndarray]
"""Rows of the samples of a batch, by class."""
Areas = dict[tuple[str, int], float]
"""AuC by layer and class."""


def members() -> list[JuryNetwork]:
    """Return the networks to measure, in the recipe's order; none is of the judged half."""
    eligible = [
        network
        for network in networks()
        if network.half == "development" and network.n <= LARGEST and network.arch != "resnet18"
    ]
    kept_names = {network.name for network in sorted(eligible, key=lambda network: network.kind != CLEAN)[:N_NETWORKS]}
    return [network for network in eligible if network.name in kept_names]


def measured_classes(labels: np.ndarray) -> list[int]:
    """Return the classes that are measured, of those that have a sample."""
    classes = np.unique(labels)
    return [int(c) for c in classes[np.linspace(0, len(classes) - 1, min(CLASSES, len(classes))).round().astype(int)]]


def batch(rows: np.ndarray, places: np.ndarray, size: int = LARGEST_BATCH) -> np.ndarray:
    """Return the ``size`` of these rows that come first in the random order, sorted; ``places`` (n,) has each sample's place in it."""
    return np.sort(rows[np.argsort(places[rows])[:size]])


def label_batches(labels: np.ndarray, places: np.ndarray) -> Batches:
    """Return a batch of each class."""
    return {c: batch(np.flatnonzero(labels == c), places) for c in measured_classes(labels)}


def half_batches(labels: np.ndarray, score: np.ndarray, places: np.ndarray) -> tuple[Batches, Batches]:
    """Return batches of the trusted and of the suspected half of each class, by a suspects' score (n,)."""
    trusted, suspected = {}, {}
    for c in measured_classes(labels):
        rows = np.flatnonzero(labels == c)
        rows = rows[np.argsort(score[rows], kind="stable")]
        n_half = len(rows) // 2
        trusted[c], suspected[c] = batch(rows[:n_half], places), batch(rows[len(rows) - n_half :], places)
    return trusted, suspected


def answers(result: Suspects) -> np.ndarray:
    """Return the leave-one-out probe's answers (n,): the given label where it agrees, else the suggested one."""
    n_agreeing = round(result.accuracies["probe of all layers"] * len(result.given))
    agreeing = np.argsort(result.components["probe"], kind="stable")[:n_agreeing]  # ranks of the margin
    answered = result.suggested.copy()
    answered[agreeing] = result.given[agreeing]
    return answered


def answer_batches(labels: np.ndarray, answered: np.ndarray, places: np.ndarray) -> tuple[Batches, Batches]:
    """Return batches of each given label, and batches of as many samples with that answer."""
    by_label, by_answer = {}, {}
    for c in measured_classes(labels):
        label_rows, answer_rows = np.flatnonzero(labels == c), np.flatnonzero(answered == c)
        size = min(len(label_rows), len(answer_rows), LARGEST_BATCH)
        by_label[c], by_answer[c] = batch(label_rows, places, size), batch(answer_rows, places, size)
    return by_label, by_answer


class AreaMeter:
    """The AuC of batches at some layers of a network; the same batch is measured once."""

    def __init__(self, model: nn.Module, inputs: Tensor, labels: Tensor):
        self._network = SplitNetwork(model, inputs[:2], "relu", samples=(inputs, labels))
        names = [layer.name for layer in self._network.checked_layers()]
        places = np.linspace(0, len(names) - 1, min(LAYERS, len(names))).round().astype(int)
        self.layers = [names[i] for i in places]
        self._inputs, self._labels = inputs, labels
        self._measured: dict[bytes, dict[str, float]] = {}

    def __call__(self, batches: Batches) -> Areas:
        """Return the AuC of each batch at each layer, but for layers that are dead on it."""
        return {
            (layer, c): area
            for c, rows in batches.items()
            if len(rows) >= SMALLEST_BATCH
            for layer, area in self._by_layer(rows).items()
        }

    def _by_layer(self, rows: np.ndarray) -> dict[str, float]:
        key = rows.tobytes()
        if key not in self._measured:
            samples = self._inputs[rows], self._labels[rows]
            curves = [
                compression_curves(self._network, layer, [samples], ranks=coarse_ranks)[0] for layer in self.layers
            ]
            self._measured[key] = {curve.layer: curve.auc for curve in curves if isinstance(curve, CompressionCurve)}
        return self._measured[key]


def mean(areas: Areas, layers: Sequence[str], common: Areas | None = None) -> float | None:
    """Return the mean AuC over layers and classes, those that ``common`` has as well; None without any."""
    values = [area for key, area in areas.items() if key[0] in layers and (common is None or key in common)]
    return float(np.mean(values)) if values else None


def memorising_copy(network: JuryNetwork, model: nn.Module, x: Tensor, y: Tensor) -> tuple[nn.Module, dict[str, float]]:
    """Return a copy whose last two modules were trained on labels y (n,), and a record of that training."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    weighted = [m for m in model.modules() if getattr(m, "weight", None) is not None and m.weight.ndim >= 2]
    parameters = [p.requires_grad_() for module in weighted[-2:] for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, RATE)
    generator = torch.Generator().manual_seed(SEED)
    start, epoch, share = time.process_time(), 0, 0.0
    while epoch < EPOCHS and share < FITTED and time.process_time() - start < CPU_SECONDS:
        for rows in torch.randperm(len(x), generator=generator).split(network.batch_size):
            loss = F.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        epoch, share = epoch + 1, accuracy(predict(model, x), y)
    model.requires_grad_(False)
    return model, {"epochs": epoch, "fitted": share, "seconds": time.process_time() - start}


def plain(result: Suspects) -> dict[str, float | None]:
    """Return the plain controls."""
    return {
        "network": result.accuracies["network"],
        "moved": result.accuracies.get("moved copies"),
        "probe": result.accuracies["probe of all layers"],
        "first_probe": next(iter(result.accuracy_by_layer.values())),
    }


def row_of(folder: Path, network: JuryNetwork) -> dict[str, Any]:
    """Return a network's line."""
    assert network.half == "development"
    start = time.process_time()
    model, inputs, given_labels, truth = opened(folder, network)
    measured_model, remark = network_to_measure(model, inputs, given_labels)
    test_accuracy = truth["test_accuracy" if measured_model is model else "test_accuracy_restored"]
    result, labels = nmfdiag.suspects(measured_model, inputs, given_labels), given_labels.numpy()
    permuted = given_labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(SEED))]
    copied_model, training = memorising_copy(network, measured_model, inputs, permuted)
    reference = plain(nmfdiag.suspects(copied_model, inputs, permuted))
    line = {
        "name": network.name,
        **asdict(network),
        "half": network.half,
        "wrong": float(truth["wrong"]),
        "test_accuracy": float(test_accuracy),
        "remark": remark,
        "plain": plain(result),
        "copy": reference,
        "copy_training": training,
    }
    places = np.random.default_rng(SEED).permutation(len(labels))
    try:
        meter, copied_meter = AreaMeter(measured_model, inputs, given_labels), AreaMeter(copied_model, inputs, permuted)
    except NmfdiagError as error:
        line["no_auc"] = str(error)
    else:
        by_class = meter(label_batches(labels, places))
        layer_means = {layer: mean(by_class, [layer]) for layer in meter.layers}
        layers = [layer for layer, area in layer_means.items() if area is not None and area < SATURATED]
        layers = layers or meter.layers
        trusted, suspected = map(meter, half_batches(labels, result.score, places))
        by_label, by_answer = map(meter, answer_batches(labels, answers(result), places))
        copied = copied_meter(label_batches(permuted.numpy(), places))
        line |= {
            "auc_by_layer": layer_means,
            "unsaturated": layers,
            "auc": mean(by_class, layers),
            "auc_all_layers": mean(by_class, meter.layers),
            "auc_trusted": mean(trusted, layers, suspected),
            "auc_suspected": mean(suspected, layers, trusted),
            "auc_given": mean(by_label, layers, by_answer),
            "auc_answered": mean(by_answer, layers, by_label),
            "auc_copy": mean(copied, layers),
        }
    return line | {"cpu_seconds": time.process_time() - start, **provenance("nmfdiag", "torch", "date")}


def measure(path: Path) -> None:
    """Measure what is trained and not measured yet."""
    measured_names = {line["name"] for line in lines_of(path)}
    for network in members():
        if network.name in measured_names or not (path.parent / f"{network.name}.npz").exists():
            continue
        line = row_of(path.parent, network)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(network.name, round(line["cpu_seconds"], 1), flush=True)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file; none if there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python benchmarks/jury/controls.py OUT")
    torch.set_num_threads(1)
    try:
        measure(Path(sys.argv[1]) / "controls.jsonl")
    except (NmfdiagError, OSError) as error:
        sys.exit(str(error))
