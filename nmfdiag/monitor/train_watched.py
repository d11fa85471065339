"""Train a network of the zoo with a monitor beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from nmfdiag.data.datasets import load
from nmfdiag.monitor.callback import MemorizationMonitor
from nmfdiag.zoo.recipes import Recipe
from nmfdiag.zoo.training import Trained, train, training_set

EVERY_EPOCH = 1e6
"""Overhead so large that small networks are measured after each epoch."""
LOGGED = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")


def train_watched(
    recipe: Recipe,
    folder: Path,
    *,
    root: str | None = None,
    download: bool = False,
    device: str = "cpu",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:
    """Train as :func:`nmfdiag.zoo.training.train` does, to the same weights, and write ``FOLDER/NAME/run.jsonl`` meanwhile.

    The monitor measures on samples of the recipe's training set, with the labels that they are trained with.

    Args:
        recipe: The network to train.
        folder: Folder of the runs.
        root: Folder of the data sets.
        download: Whether torchvision may download a missing data set.
        device: Device to train on.
        on_epoch: Called with each epoch's line of the log.
    """
    samples = training_set(recipe, load(recipe.dataset, "train", root=root, download=download))
    monitor = MemorizationMonitor(
        samples.normalization(samples.inputs), samples.labels.given,
        folder=folder / recipe.name, overhead=EVERY_EPOCH, recipe=recipe,
    )  # fmt: skip
    network: list[nn.Module] = []

    def keep(model: nn.Module) -> dict[str, Any]:
        network[:] = [model]
        return {}

    def measure(line: dict[str, Any]) -> None:
        monitor.on_epoch_end(network[0], line["epoch"], **{name: line[name] for name in LOGGED})
        if on_epoch is not None:
            on_epoch(line)

    trained = train(recipe, root=root, download=download, device=device, on_epoch=measure, watch=keep)
    monitor.finish(
        train_accuracy=trained.train_accuracy, test_accuracy=trained.test_accuracy, seconds=round(trained.seconds, 1)
    )
    return trained
