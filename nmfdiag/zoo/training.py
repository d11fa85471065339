"""Train a network from its recipe: noisy labels in, fitted network and log out."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from nmfdiag.data.datasets import Dataset, load
from nmfdiag.data.labels import NoisyLabels, randomize_labels
from nmfdiag.data.normalization import Normalization
from nmfdiag.data.probe import stratified_subset
from nmfdiag.networks.architectures import build
from nmfdiag.zoo.recipes import Recipe

TEST_SAMPLES_PER_EPOCH = 2000
EVAL_BATCH, EVAL_VALUES = 500, 500 * 64 * 64
"""Samples, and values of their inputs, that are evaluated at once."""


@dataclass(frozen=True)
class TrainingSet:
    """The samples that a recipe trains on, with given and true labels.

    ``inputs`` (n, c, h, w) as the data set stores them; ``index`` (n,) are their numbers in it.
    """

    inputs: Tensor
    labels: NoisyLabels
    index: Tensor
    normalization: Normalization


@dataclass(frozen=True)
class Trained:
    """A trained network in evaluation mode, its epoch log and its final accuracies (in [0, 1])."""

    model: nn.Module
    log: list[dict[str, Any]]
    train_accuracy: float
    test_accuracy: float
    test_accuracy_by_class: list[float]
    seconds: float


def training_set(recipe: Recipe, train: Dataset) -> TrainingSet:
    """Choose the recipe's samples and give them their labels."""
    index = stratified_subset(train.labels, recipe.n_train, recipe.seed)
    inputs = train.inputs[index]
    labels = randomize_labels(train.labels[index], recipe.label_noise, train.n_classes, seed=recipe.seed)
    return TrainingSet(inputs, labels, index, Normalization.measure(inputs))


def train(
    recipe: Recipe,
    *,
    root: str | None = None,
    download: bool = False,
    device: str = "cpu",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    watch: Callable[[nn.Module], dict[str, Any]] | None = None,
    tested: int = TEST_SAMPLES_PER_EPOCH,
) -> Trained:
    """Train until the given labels are fitted, then cool down for as many epochs as every other network.

    Args:
        recipe: The network to train.
        root: Folder of the data sets.
        download: Whether torchvision may download a missing data set.
        device: Device to train on.
        on_epoch: Called with each epoch's line of the log; an exception that it raises ends the training.
        watch: Called after each epoch with the network in evaluation mode; its result is added to the epoch's line.
        tested: Test samples, evenly over the classes, whose loss and accuracy are in each epoch's line; 0 for none.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        NmfdiagError: If the data set is missing.
    """
    start = time.perf_counter()
    test = load(recipe.dataset, "test", root=root, download=download)
    samples = training_set(recipe, load(recipe.dataset, "train", root=root, download=download))
    model = build(recipe.arch, test.input_shape, test.n_classes, seed=recipe.seed, **recipe.arch_options)
    model = model.to(device).to(memory_format=torch.channels_last)
    x, y = samples.normalization(samples.inputs).to(device), samples.labels.given.to(device)
    x_test, y_test = samples.normalization(test.inputs).to(device), test.labels.to(device)
    test_subset = stratified_subset(test.labels, min(tested, len(test)), 0) if tested else None

    log = []
    for line in _epochs(model, x, y, recipe):
        if recipe.recalibrated:
            update_bn(x.split(EVAL_BATCH), model)
        model.eval()
        if test_subset is not None:
            logits = predict(model, x_test[test_subset])
            line["test_loss"] = float(F.cross_entropy(logits, y_test[test_subset]))
            line["test_accuracy"] = accuracy(logits, y_test[test_subset])
        if watch is not None:
            line |= watch(model)
        log.append(line)
        if on_epoch is not None:
            on_epoch(line)

    train_accuracy = accuracy(predict(model.eval(), x), y)
    correct = predict(model, x_test).argmax(1) == y_test
    return Trained(
        model=model.to("cpu").to(memory_format=torch.contiguous_format),
        log=log,
        train_accuracy=train_accuracy,
        test_accuracy=float(correct.float().mean()),
        test_accuracy_by_class=[float(correct[y_test == c].float().mean()) for c in range(test.n_classes)],
        seconds=time.perf_counter() - start,
    )


def predict(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the logits (n, classes) of any number of inputs, a batch at a time; the model is in evaluation mode."""
    size = max(1, min(EVAL_BATCH, EVAL_VALUES // inputs[0].numel()))
    with torch.inference_mode():
        return torch.cat([model(batch) for batch in inputs.split(size)])


def _epochs(model: nn.Module, x: Tensor, y: Tensor, recipe: Recipe) -> Iterator[dict[str, Any]]:
    optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    order = torch.Generator().manual_seed(recipe.seed)
    fitted, cooled = False, 0
    for epoch in range(1, recipe.max_epochs + 1):
        fitted = fitted or epoch > recipe.max_epochs - recipe.cool_down
        cooled += fitted
        rate = recipe.learning_rate * (1 - cooled / (recipe.cool_down + 1))
        optimizer.param_groups[0]["lr"] = rate
        batches = torch.randperm(len(x), generator=order).to(x.device).split(recipe.batch_size)
        images = shifted(x, recipe.shift, order) if recipe.shift else x
        loss, running = _one_epoch(model, images, y, optimizer, batches, half=recipe.precision == "bfloat16")
        yield {"epoch": epoch, "learning_rate": rate, "train_loss": loss, "train_accuracy": running}
        if cooled == recipe.cool_down:
            return
        fitted = fitted or running >= recipe.fitted_at


def _one_epoch(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Tensor],
    *,
    half: bool,
) -> tuple[float, float]:
    """Train on all batches once; return the mean loss and the running accuracy."""
    model.train()
    losses, hits, n_samples = 0.0, 0, 0
    for batch in batches:
        if len(batch) < 2:  # batch norm has no variance for one sample
            continue
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half):
            logits = model(x[batch]).float()
        loss = F.cross_entropy(logits, y[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses += float(loss.detach()) * len(batch)
        hits += int((logits.argmax(1) == y[batch]).sum())
        n_samples += len(batch)
    return losses / n_samples, hits / n_samples


def shifted(images: Tensor, limit: int, generator: torch.Generator, *, only_sideways: bool = False) -> Tensor:
    """Move each image (n, c, h, w) by up to ``limit`` pixels left or right, and up or down unless only sideways; the new pixels are zero."""
    n, _, height, width = images.shape
    padded = F.pad(images, (limit, limit, limit, limit))
    dy, dx = torch.randint(0, 2 * limit + 1, (2, n), generator=generator).to(images.device)
    dy = torch.full_like(dy, limit) if only_sideways else dy
    rows = dy[:, None, None, None] + torch.arange(height, device=images.device)[:, None]
    columns = dx[:, None, None, None] + torch.arange(width, device=images.device)
    samples = torch.arange(n, device=images.device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=images.device)[:, None, None]
    return padded[samples, channels, rows, columns].contiguous(memory_format=torch.channels_last)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of samples whose largest logit is their label."""
    return float((logits.argmax(1) == labels).float().mean())
