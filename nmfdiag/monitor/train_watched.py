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
"""Looking may take so many times as long as training: small networks are looked at after each epoch."""
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

    The monitor looks at samples of the recipe's own training set with the labels that they are trained with.

    Args:
        recipe: What to train.
        folder: Folder of the runs.
        root: Folder of the data sets.
        download: Whether torchvision may download a missing data set.
        device: Where to train.
        on_epoch: Called with each epoch's line of the log.
    """
    chosen = training_set(recipe, load(recipe.dataset, "train", root=root, download=download))
    monitor = MemorizationMonitor(
        chosen.normalization(chosen.inputs), chosen.labels.given,
        folder=folder / recipe.name, overhead=EVERY_EPOCH, recipe=recipe,
    )  # fmt: skip
    network: list[nn.Module] = []

    def keep(model: nn.Module) -> dict[str, Any]:
        network[:] = [model]
        return {}

    def look(line: dict[str, Any]) -> None:
        monitor.on_epoch_end(network[0], line["epoch"], **{what: line[what] for what in LOGGED})
        if on_epoch is not None:
            on_epoch(line)

    trained = train(recipe, root=root, download=download, device=device, on_epoch=look, watch=keep)
    monitor.finish(
        train_accuracy=trained.train_accuracy, test_accuracy=trained.test_accuracy, seconds=round(trained.seconds, 1)
    )
    return trained
