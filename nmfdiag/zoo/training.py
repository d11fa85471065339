"""Train a network from its recipe: noisy labels in, fitted network and log out."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.data import Dataset, NoisyLabels, Normalization, load, randomize_labels, stratified_subset
from nmfdiag.networks.architectures import build
from nmfdiag.zoo.recipes import Recipe

TEST_SAMPLES_AN_EPOCH = 2000
EVAL_BATCH = 500


@dataclass(frozen=True)
class TrainingSet:
    """The samples that a recipe trains on, with given and true labels.

    ``inputs`` (n, c, h, w) as the data set stores them; ``index`` (n,) says which of its samples they are.
    """

    inputs: Tensor
    labels: NoisyLabels
    index: Tensor
    normalization: Normalization


@dataclass(frozen=True)
class Trained:
    """A trained network in evaluation mode, its epoch log and its final accuracies (in [0, 1])."""

    model: nn.Module
    log: list[dict[str, float]]
    train_accuracy: float
    test_accuracy: float
    test_accuracy_by_class: list[float]
    seconds: float


def training_set(recipe: Recipe, train: Dataset) -> TrainingSet:
    """Choose the recipe's samples and give them their labels."""
    index = stratified_subset(train.labels, recipe.n_train, recipe.seed)
    inputs = train.inputs[index]
    labels = randomize_labels(train.labels[index], recipe.label_noise, train.n_classes, seed=recipe.seed)
    return TrainingSet(inputs, labels, index, Normalization.of(inputs))


def train(
    recipe: Recipe,
    *,
    root: str | None = None,
    download: bool = False,
    device: str = "cpu",
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Trained:
    """Train until the given labels are fitted, then cool down for as many epochs as every other network.

    Args:
        recipe: What to train.
        root: Folder of the data sets.
        download: Whether torchvision may download a missing data set.
        device: Where to train.
        on_epoch: Called with each epoch's line of the log; an exception that it raises ends the training.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        NmfdiagError: If the data set is missing.
    """
    start = time.perf_counter()
    test = load(recipe.dataset, "test", root=root, download=download)
    chosen = training_set(recipe, load(recipe.dataset, "train", root=root, download=download))
    model = build(recipe.arch, test.input_shape, test.n_classes, seed=recipe.seed, **recipe.arch_options)
    model = model.to(device).to(memory_format=torch.channels_last)
    x, y = chosen.normalization(chosen.inputs).to(device), chosen.labels.given.to(device)
    x_test, y_test = chosen.normalization(test.inputs).to(device), test.labels.to(device)
    glance = stratified_subset(test.labels, min(TEST_SAMPLES_AN_EPOCH, len(test)), 0)

    log = []
    for line in _epochs(model, x, y, recipe):
        logits = predict(model.eval(), x_test[glance])
        line["test_loss"] = float(F.cross_entropy(logits, y_test[glance]))
        line["test_accuracy"] = accuracy(logits, y_test[glance])
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
    """Logits (n, classes) of inputs of any number, a batch at a time; the model is in evaluation mode."""
    with torch.inference_mode():
        return torch.cat([model(batch) for batch in inputs.split(EVAL_BATCH)])


def _epochs(model: nn.Module, x: Tensor, y: Tensor, recipe: Recipe) -> Iterator[dict[str, float]]:
    optimizer = torch.optim.Adam(model.parameters(), recipe.learning_rate)
    order = torch.Generator().manual_seed(recipe.seed)
    fitted, cooled = False, 0
    for epoch in range(1, recipe.max_epochs + 1):
        fitted = fitted or epoch > recipe.max_epochs - recipe.cool_down
        cooled += fitted
        rate = recipe.learning_rate * (1 - cooled / (recipe.cool_down + 1))
        optimizer.param_groups[0]["lr"] = rate
        batches = torch.randperm(len(x), generator=order).to(x.device).split(recipe.batch_size)
        loss, running = _one_epoch(model, x, y, optimizer, batches, half=recipe.precision == "bfloat16")
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
    """One pass over the batches; returns the mean loss and the running accuracy."""
    model.train()
    losses, hits, seen = 0.0, 0, 0
    for batch in batches:
        if len(batch) < 2:  # batch norm has no variance of one sample
            continue
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half):
            logits = model(x[batch]).float()
        loss = F.cross_entropy(logits, y[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses += float(loss.detach()) * len(batch)
        hits += int((logits.argmax(1) == y[batch]).sum())
        seen += len(batch)
    return losses / seen, hits / seen


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of the samples whose largest logit is their label."""
    return float((logits.argmax(1) == labels).float().mean())
