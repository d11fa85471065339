"""Training samples as a network takes them: how they are normalised, and which of its outputs each label is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.data.datasets import Dataset
from nmfdiag.data.imagenet import ClassList
from nmfdiag.data.labels import offset_hint
from nmfdiag.data.normalization import FIXED, Normalization, full_scale, normalization, normalizations
from nmfdiag.data.probe import stratified_subset
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.activations import RELUS
from nmfdiag.networks.evaluation import evaluating
from nmfdiag.networks.intercept import Replay
from nmfdiag.networks.outputs import logits_of

AUTO = "auto"
ROUNDS = ((32, 0.25), (128, 0.1), (256, 0.0))
"""Samples on which normalisations are compared, and how far behind the best one may be to stay for the next round."""
AT_ONCE = 32
SAME = 1e-3
"""How far means and deviations of one normalisation may be apart, relative."""
SCALED = FIXED.keys() - {"none"}
GREY = (0.299, 0.587, 0.114)  # of red, green and blue, as in ITU-R BT.601


@dataclass(frozen=True)
class Tried:
    """How a network answers samples that are normalised in one way: share right by their given labels, and mean loss."""

    accuracy: float
    loss: float
    n: int


def answers(model: nn.Module, inputs: Tensor, pick: Callable[[Any], Tensor] = logits_of) -> Tensor:
    """Logits (n, classes) of a network in evaluation mode, a batch at a time; it is left as it was.

    Args:
        model: The network.
        inputs: Samples (n, ...).
        pick: Finds the logits in what it returns.

    Raises:
        NmfdiagError: If the network can't take the inputs, or returns no logits for each sample.
    """
    with evaluating(model, inputs):
        replay = Replay(model, RELUS)
        parts = [pick(replay.run(part, lambda *_: None)).detach() for part in inputs.split(AT_ONCE)]
        logits = torch.cat(parts)
    if len(logits) != len(inputs):
        raise NmfdiagError(
            f"The network must return a row of logits for each sample, got {len(logits)} for {len(inputs)} samples."
        )
    return logits


def compare(
    model: nn.Module, samples: Tensor, labels: Tensor, ways: dict[str, Normalization],
    pick: Callable[[Any], Tensor] = logits_of,
) -> tuple[str, dict[str, Tried]]:  # fmt: skip
    """Try normalisations on samples, in rounds of more samples and fewer normalisations.

    Args:
        model: The network.
        samples: Samples as they are stored (n, ...).
        labels: Their given labels (n,).
        ways: The normalisations by name; of two that do equally well the first is chosen.
        pick: Finds the logits in what the network returns.

    Returns:
        The name of the one with the highest accuracy (where that is equal, the lowest loss), and how each did.

    Raises:
        NmfdiagError: As :func:`answers`.
    """
    left, tried = dict(ways), {}
    for n, margin in ROUNDS:
        some = stratified_subset(labels, min(n, len(labels)), 0)
        for name, way in left.items():
            tried[name] = _tried(answers(model, way(samples[some]), pick), labels[some])
        best = min(left, key=lambda name: (-tried[name].accuracy, tried[name].loss))
        left = {name: way for name, way in left.items() if tried[name].accuracy >= tried[best].accuracy - margin}
        if len(left) == 1 or n >= len(labels):
            break
    return best, tried


def choose(
    model: nn.Module, samples: Tensor, labels: Tensor, name: str, measured_on: Tensor
) -> tuple[Normalization, str]:
    """The normalisation of a name, ``"auto"`` included, and words about it.

    Args:
        model: The network.
        samples: Samples as they are stored (n, ...).
        labels: Their given labels (n,).
        name: As :func:`nmfdiag.data.normalization.normalization` takes it, or ``"auto"``.
        measured_on: Samples that mean and standard deviation are measured on.

    Raises:
        NmfdiagError: If there is no such normalisation, or it doesn't fit; as :func:`answers`.
    """
    if name != AUTO:
        chosen = normalization(name, measured_on)
        divided = (
            f" (of numbers up to {scale}, divided by that)"
            if name in SCALED and (scale := full_scale(measured_on)) > 1
            else ""
        )
        return chosen, f"{name}{_numbers(name, chosen)}, as asked for{divided}"
    ways = normalizations(measured_on)
    best, tried = compare(model, samples, labels, ways)
    others = [f"{other} {tried[other].accuracy:.0%}" for other in ways if other != best]
    words = (
        f"{best}{_numbers(best, ways[best])}: {tried[best].accuracy:.0%} of {tried[best].n} samples right by their given labels "
        f"({', '.join(others)})"
    )
    return ways[best], words


def alternatives(measured_on: Tensor, chosen: Normalization) -> dict[str, Normalization]:
    """The normalisations, by name, that make something else of samples than the chosen one does."""

    def makes_the_same(way: Normalization) -> bool:
        pairs = [(torch.tensor(way.mean), torch.tensor(chosen.mean)), (torch.tensor(way.std), torch.tensor(chosen.std))]
        return all(bool(((a - b).abs() <= SAME * b.abs()).all()) for a, b in pairs)

    return {name: way for name, way in normalizations(measured_on).items() if not makes_the_same(way)}


def in_channels(dataset: Dataset, channels: int | None) -> tuple[Dataset, str]:
    """Images with as many channels as a network takes, where grey and colour can stand for each other; and what was done."""
    x = dataset.inputs
    if channels is None or x.ndim != 4 or x.shape[1] == channels or {x.shape[1], channels} != {1, 3}:
        return dataset, ""
    if channels == 3:
        changed, words = x.expand(-1, 3, -1, -1), "grey, given to each of the three channels"
    else:
        grey = torch.einsum("nchw,c->nhw", x.float(), torch.tensor(GREY))[:, None]
        changed, words = grey.round().to(torch.uint8) if x.dtype == torch.uint8 else grey, "colours turned to grey"
    return replace(dataset, inputs=changed), words


def as_outputs(dataset: Dataset, n_outputs: int, known: Sequence[str] = ()) -> tuple[Tensor, tuple[str, ...]]:
    """Labels (n,) as numbers of a network's outputs, and a name for each output.

    Args:
        dataset: The samples; its classes are the outputs in order where there are as many of them.
        n_outputs: Number of the network's outputs.
        known: Names of the outputs where they are known, by which fewer classes are found among them.

    Raises:
        NmfdiagError: If there are more classes than outputs.
    """
    names = dataset.class_names
    if len(names) > n_outputs:
        low, high = int(dataset.labels.min()), int(dataset.labels.max())
        empty = [name for c, name in enumerate(names) if dataset.notes and c not in dataset.labels.unique()]
        hint = (
            f" Folders without an image that is read: {', '.join(empty[:3])}; take them away if they are no classes."
            if empty
            else ""
        )
        raise NmfdiagError(
            f"{dataset.name} has {len(names)} classes (labels up to {high}), the network has {n_outputs} outputs."
            f"{hint or offset_hint(low, high, n_outputs)}"
        )
    if len(names) == n_outputs:
        return dataset.labels, _all_different(names)
    by_number = ClassList.from_names(tuple(map(str, range(n_outputs))))
    for classes in (ClassList.from_names(known), by_number) if len(known) == n_outputs else (by_number,):
        places = [classes.place(name) for name in names]
        if None not in places and len(set(places)) == len(places):
            return torch.tensor(places)[dataset.labels], classes.names
    return dataset.labels, _all_different([*names, *map(str, range(len(names), n_outputs))])


def drawn(labels: Tensor, per_class: int, seed: int) -> Tensor:
    """Rows of up to so many samples of each class, drawn at random, ascending."""
    random = torch.Generator().manual_seed(seed)
    of_class = [torch.nonzero(labels == c).flatten() for c in labels.unique()]
    chosen = [rows[torch.randperm(len(rows), generator=random)[:per_class]] for rows in of_class]
    return torch.cat(chosen).sort().values


def _tried(logits: Tensor, labels: Tensor) -> Tried:
    finite = torch.isfinite(logits).all(dim=1)
    labels = labels.to(logits.device)
    right = (logits.argmax(1) == labels) & finite
    loss = (
        F.cross_entropy(logits.float().nan_to_num(), labels)
        if int(labels.max()) < logits.shape[1]
        else torch.tensor(torch.inf)
    )
    return Tried(float(right.float().mean()), float(loss), len(labels))


def _all_different(names: Sequence[str]) -> tuple[str, ...]:
    return ClassList.from_names(names).names


def _numbers(name: str, chosen: Normalization) -> str:
    """Mean and deviation of what was measured, where they are few."""
    if name != "data" or len(chosen.mean) > 3:
        return ""
    mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (chosen.mean, chosen.std))
    return f" (mean {mean}; deviation {std})"
