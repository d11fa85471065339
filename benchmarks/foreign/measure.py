"""Diagnose the networks that `train.py` left, by the ways that a user has, and write down what happened.

``python benchmarks/foreign/measure.py OUT RESULTS`` takes each ``OUT/NAME-pP.pth`` with its ``.npz`` and nothing else: the
architecture and the normalisation are for nmfdiag to find. It writes

- ``RESULTS/opened.csv``, a line a network: what was found and how long it took, the pre-flight, and what plain NMF says,
- ``RESULTS/curves.csv``, a line a network, method and layer: mean single-class AuC over the ten classes.

Of networks with more than twelve layers twelve are measured, evenly spaced, the first and the last among them. What is in
``curves.csv`` already is not measured again.
"""

import csv
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

import nmfdiag
from nmfdiag.measures.preflight.network_check import preflight
from nmfdiag.zoo.open_network import Opened, open_checkpoint

PER_CLASS, LAYERS, SEED = 20, 12, 0
METHODS = {
    "mobilenet_v3_small": ("nmf", "signed", "pca"),
    "convnext_tiny": ("signed", "pca"),
    "vit_b_16": ("signed", "pca"),
}
OPENED = (
    "name arch normalization normalization_trained accuracy layers skipped seconds_opening seconds_estimated seconds outcome "
    "nmf_alone verdict machine torch"
).split()
CURVES = "name method layer kind depth n_layers width auc standard_error baseline classes".split()


def spaced(names: list[str]) -> list[str]:
    """Return at most twelve, evenly spaced, with the first and the last."""
    if len(names) <= LAYERS:
        return names
    return [names[round(i * (len(names) - 1) / (LAYERS - 1))] for i in range(LAYERS)]


def message(error: Exception) -> str:
    """Return what a user reads: our sentence, or the exception."""
    return f"says: {error}" if isinstance(error, nmfdiag.NmfdiagError) else f"BREAKS: {type(error).__name__}: {error}"


def diagnose_layers(name: str, opened: Opened, methods: tuple[str, ...], line: dict[str, Any]) -> list[dict[str, Any]]:
    """Run pre-flight and diagnosis; fill the network's line and return those of its layers."""
    activations = "all" if "signed" in methods else "relu"
    options: dict[str, Any] = {"per_class": PER_CLASS, "methods": methods}
    whole = preflight(opened.model, opened.inputs, opened.given_labels, activations=activations, **options)
    kinds = {layer.name: layer for layer in whole.layers}
    layers = spaced(list(kinds))
    part = preflight(
        opened.model, opened.inputs, opened.given_labels, activations=activations, layers=layers, **options
    )
    line |= {
        "accuracy": f"{whole.accuracy:.3f}", "layers": len(kinds), "seconds_estimated": f"{part.seconds:.0f}",
        "skipped": "; ".join(f"{module}: {reason}" for module, reason in whole.skipped.items()),
    }  # fmt: skip
    start = time.process_time()
    diagnosis = nmfdiag.diagnose(opened.model, opened.inputs, opened.given_labels, layers=layers, seed=SEED, **options)
    line |= {"seconds": f"{time.process_time() - start:.0f}", "verdict": diagnosis.verdict, "outcome": "works"}
    order = list(kinds)
    rows = []
    for method in methods:
        baselines = diagnosis.profile.to_frame().query("method == @method").groupby("layer").baseline_accuracy.mean()
        for layer, auc in diagnosis.profile.auc_by_layer(method).items():
            rows.append(
                {
                    "name": name, "method": method, "layer": layer, "kind": kinds[layer].kind, "depth": order.index(layer),
                    "n_layers": len(order), "width": kinds[layer].width, "auc": f"{auc.mean:.4f}",
                    "standard_error": f"{auc.sem:.4f}", "baseline": f"{baselines[layer]:.4f}", "classes": auc.n,
                }
            )  # fmt: skip
    return rows


def nmf_alone(opened: Opened) -> str:
    """Return what a user of plain NMF, the default, reads; nothing is computed where there are ReLU layers."""
    try:
        return f"{len(nmfdiag.relu_layers(opened.model, opened.inputs[:2]))} ReLU layers"
    except Exception as error:
        return message(error)


def main(networks: Path, results: Path) -> None:
    """Measure the networks that are not in the tables yet."""
    torch.set_num_threads(1)
    trained = {line["name"]: line for line in csv.DictReader((networks / "training.csv").open(encoding="utf-8"))}
    tables = {results / "opened.csv": OPENED, results / "curves.csv": CURVES}
    for path, columns in tables.items():
        if not path.exists():
            path.write_text(",".join(columns) + "\n", encoding="utf-8")
    finished_names = {line["name"] for line in csv.DictReader((results / "opened.csv").open(encoding="utf-8"))}
    for name, recipe in trained.items():
        if name in finished_names:
            continue
        line: dict[str, Any] = {
            "name": name, "normalization_trained": recipe["normalization"], "torch": torch.__version__,
            "machine": platform.processor() or platform.machine(),
        }  # fmt: skip
        rows: list[dict[str, Any]] = []
        try:
            start = time.process_time()
            opened = open_checkpoint(
                "auto", networks / f"{name}.pth", networks / f"{name}.npz", per_class=PER_CLASS, seed=SEED
            )
            line |= {"seconds_opening": f"{time.process_time() - start:.0f}", "arch": opened.arch}
            line |= {"normalization": opened.normalization, "nmf_alone": nmf_alone(opened)}
            rows = diagnose_layers(name, opened, METHODS.get(recipe["arch"], ("nmf",)), line)
        except Exception as error:
            line["outcome"] = message(error)
        for (path, columns), lines in zip(tables.items(), ([line], rows), strict=True):
            with path.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, columns, lineterminator="\n").writerows(lines)
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
