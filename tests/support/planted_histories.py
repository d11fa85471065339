"""Recorded training runs with a planted answer, for the tests of the page *Early stopping*."""

from typing import Any

from nmfdiag.evidence.records import History
from nmfdiag.zoo.recipes import Recipe

EPOCHS, BEST_EPOCH = 12, 4
PROBES = {
    "early-stopping": {"measures": ["nmf", "random", "nmf on fitted"], "ranks": "coarse", "per_class": 25},
    "few-shot": {"measures": ["nmf"], "ranks": "1", "per_class": 20},
}


def layer_values(first: float) -> dict[str, float]:
    """Return the values of one layer in a few-shot run."""
    return {"first": first, "baseline": min(1.0, first + 0.1)}


def planted_run(
    experiment: str = "early-stopping", *, seed: int = 0, label_noise: float = 0.0, peak: int = 5, end: float = 0.16
) -> History:
    """Return a run of 12 epochs: the measure is highest at ``peak`` in every layer, the test loss lowest at epoch 4.

    The test accuracy rises by .1 an epoch to .7 at epoch 4, and then falls evenly by ``end``.
    """
    dataset, arch = ("cifar10", "cnn") if experiment == "early-stopping" else ("digits", "cnn")
    recipe = Recipe(dataset, arch, label_noise, seed, 100, {"width": 8})
    epochs = []
    for epoch in range(1, EPOCHS + 1):
        values = {layer: 0.8 - 0.05 * i - 0.01 * abs(epoch - peak) for i, layer in enumerate("abc")}
        if experiment == "early-stopping":
            layer_curves = {layer: _values(value, epoch) for layer, value in values.items()}
            curves = {name: layer_curves for name in PROBES[experiment]["measures"]}  # type: ignore[attr-defined]
            curves["random"] = {layer: _values(0.5 * value, epoch) for layer, value in values.items()}
        else:
            curves = {"nmf": {layer: layer_values(value) for layer, value in values.items()}}
        line: dict[str, Any] = {
            "epoch": epoch,
            "learning_rate": 2e-3,
            "train_loss": 2 / epoch,
            "train_accuracy": 0.5 + 0.03 * epoch,
            "test_loss": 1 + 0.1 * abs(epoch - BEST_EPOCH) + 0.01 * seed,
            "test_accuracy": 0.7
            - (
                0.1 * (BEST_EPOCH - epoch) if epoch < BEST_EPOCH else end * (epoch - BEST_EPOCH) / (EPOCHS - BEST_EPOCH)
            ),
            "curves": curves,
        }
        epochs.append(line)
    provenance = {"nmfdiag": "0", "torch": "2", "processor": "x", "date": "2026-01-01"}
    result = {"train_accuracy": 1.0, "test_accuracy": epochs[-1]["test_accuracy"], "seconds": 1.0}
    name = recipe.name if experiment == "early-stopping" else f"digits-cnn-s{seed}"
    return History(name, experiment, recipe, PROBES[experiment], provenance, tuple(epochs), result)


def _values(auc: float, epoch: int) -> dict[str, float]:
    baseline = 0.5 + 0.03 * epoch
    return {"auc": auc, "sem": 0.01, "auc_log": auc, "relative": auc / baseline, "first": auc / 2, "baseline": baseline}
