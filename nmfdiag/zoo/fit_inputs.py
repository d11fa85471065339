"""Training samples in the form that a network takes: their normalisation, and the output that each label stands for."""

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
from nmfdiag.zoo.batch_norm import batch_norm_lag, re_estimate_batch_norm

AUTO = "auto"
ROUNDS = ((32, 0.25), (128, 0.1), (256, 0.0))
"""Samples on which normalisations are compared, and the gap to the best one up to which they stay for the next round."""
AT_ONCE = 32
"""Samples that the network answers in one batch."""
LOSS_DIGITS = 3
"""Digits behind the point to which losses of copies are compared: batch norm makes some normalisations equal, up to rounding."""
SAME = 1e-3
"""Relative tolerance between means and deviations of one normalisation."""
SCALED = FIXED.keys() - {"none"}
GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue, as in ITU-R BT.601."""


@dataclass(frozen=True)
class Outcome:
    """A network's accuracy on the given labels and mean loss, on samples that are normalised in one way."""

    accuracy: float
    loss: float
    n: int


def answers(model: nn.Module, inputs: Tensor, pick: Callable[[Any], Tensor] = logits_of) -> Tensor:
    """Return the logits (n, classes) of a network in evaluation mode, a batch at a time; it is left as it was.

    Args:
        model: The network.
        inputs: Samples (n, ...).
        pick: Finds the logits in its answer.

    Raises:
        NmfdiagError: If the network can't take the inputs, or doesn't return logits for each sample.
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
) -> tuple[str, dict[str, Outcome]]:  # fmt: skip
    """Try normalisations on samples, in rounds of more samples and fewer normalisations.

    Args:
        model: The network.
        samples: Samples as they are stored (n, ...).
        labels: Their given labels (n,).
        ways: The normalisations by name; of two equally good ones the first is chosen.
        pick: Finds the logits in the network's answer.

    Returns:
        The name of the one with the highest accuracy (where that is equal, the lowest loss), and the outcome of each.

    Raises:
        NmfdiagError: As :func:`answers`.
    """
    candidates, outcomes = dict(ways), {}
    for n, margin in ROUNDS:
        rows = stratified_subset(labels, min(n, len(labels)), 0)
        for name, way in candidates.items():
            outcomes[name] = _outcome(answers(model, way(samples[rows]), pick), labels[rows])
        best = min(candidates, key=lambda name: (-outcomes[name].accuracy, outcomes[name].loss))
        candidates = {
            name: way for name, way in candidates.items() if outcomes[name].accuracy >= outcomes[best].accuracy - margin
        }
        if len(candidates) == 1 or n >= len(labels):
            break
    return best, outcomes


def choose(
    model: nn.Module, samples: Tensor, labels: Tensor, name: str, measured_on: Tensor
) -> tuple[Normalization, str]:
    """Return the normalisation of a name, ``"auto"`` included, and its description.

    Args:
        model: The network.
        samples: Samples as they are stored (n, ...).
        labels: Their given labels (n,).
        name: A name as in :func:`nmfdiag.data.normalization.normalization`, or ``"auto"``.
        measured_on: Samples that mean and standard deviation are measured on.

    Returns:
        That normalisation; for ``"auto"`` the one whose samples the network gets right most often, in evaluation mode, or where its batch norm lags,
        after re-estimation on a copy.

    Raises:
        NmfdiagError: If the normalisation is unknown or doesn't fit; as :func:`answers`.
    """
    if name != AUTO:
        scaling = normalization(name, measured_on)
        divided = (
            f" (of numbers up to {scale}, divided by that)"
            if name in SCALED and (scale := full_scale(measured_on)) > 1
            else ""
        )
        return scaling, f"{name}{_numbers(name, scaling)}, as asked for{divided}"
    ways = normalizations(measured_on)
    best, outcomes = compare(model, samples, labels, ways)
    if copies := _outcomes_of_copies(model, samples, labels, ways, best):
        best = min(copies, key=lambda name: (-copies[name].accuracy, round(copies[name].loss, LOSS_DIGITS)))
        listing = ", ".join(f"{name} {outcome.accuracy:.0%} and {outcome.loss:.3f}" for name, outcome in copies.items())
        return ways[best], (
            f"{best}{_numbers(best, ways[best])}: best accuracy and loss on {copies[best].n} samples once batch norm is re-estimated ({listing})"
        )
    alternatives_text = [f"{way} {outcomes[way].accuracy:.0%}" for way in ways if way != best]
    text = (
        f"{best}{_numbers(best, ways[best])}: {outcomes[best].accuracy:.0%} of {outcomes[best].n} samples right by their given labels "
        f"({', '.join(alternatives_text)})"
    )
    return ways[best], text


def _outcomes_of_copies(
    model: nn.Module, samples: Tensor, labels: Tensor, ways: dict[str, Normalization], best: str
) -> dict[str, Outcome]:
    """Return the outcomes, by normalisation, of copies with re-estimated batch norm, if it lags: those in evaluation mode then say little.

    On digits, for eight lagging networks of four normalisations, evaluation mode finds the right one five times, the loss of copies always, up to those
    that batch norm makes equal.
    """
    try:
        lag = batch_norm_lag(model, ways[best](samples), labels)
        if lag is None or not lag.lags:
            return {}
        copies = {name: re_estimate_batch_norm(model, way(samples)) for name, way in ways.items()}
        return {name: compare(copy, samples, labels, {name: ways[name]})[1][name] for name, copy in copies.items()}
    except NmfdiagError:  # it can't be copied
        return {}


def alternatives(measured_on: Tensor, scaling: Normalization) -> dict[str, Normalization]:
    """Return the normalisations, by name, whose results differ from the chosen one's."""

    def makes_the_same(way: Normalization) -> bool:
        pairs = [
            (torch.tensor(way.mean), torch.tensor(scaling.mean)),
            (torch.tensor(way.std), torch.tensor(scaling.std)),
        ]
        return all(bool(((a - b).abs() <= SAME * b.abs()).all()) for a, b in pairs)

    return {name: way for name, way in normalizations(measured_on).items() if not makes_the_same(way)}


def in_channels(dataset: Dataset, channels: int | None) -> tuple[Dataset, str]:
    """Return images with as many channels as a network takes, where grey can replace colour or the reverse, and a note about it."""
    x = dataset.inputs
    if channels is None or x.ndim != 4 or x.shape[1] == channels or {x.shape[1], channels} != {1, 3}:
        return dataset, ""
    if channels == 3:
        images, text = x.expand(-1, 3, -1, -1), "grey, given to each of the three channels"
    else:
        grey = torch.einsum("nchw,c->nhw", x.float(), torch.tensor(GREY))[:, None]
        images, text = grey.round().to(torch.uint8) if x.dtype == torch.uint8 else grey, "colours turned to grey"
    return replace(dataset, inputs=images), text


def as_outputs(dataset: Dataset, n_outputs: int, output_names: Sequence[str] = ()) -> tuple[Tensor, tuple[str, ...]]:
    """Return labels (n,) as numbers of a network's outputs, and a name for each output.

    Args:
        dataset: The samples; its classes are the outputs in order where there are as many of them.
        n_outputs: The network's number of outputs.
        output_names: Names of the outputs where they are known, to find fewer classes among them.

    Raises:
        NmfdiagError: If there are more classes than outputs.
    """
    names = dataset.class_names
    if len(names) > n_outputs:
        low, high = int(dataset.labels.min()), int(dataset.labels.max())
        empty = [name for c, name in enumerate(names) if dataset.notes and c not in dataset.labels.unique()]
        hint = (
            f" Folders without an image that is read: {', '.join(empty[:3])}; remove them if they are not classes."
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
    for classes in (ClassList.from_names(output_names), by_number) if len(output_names) == n_outputs else (by_number,):
        places = [classes.place(name) for name in names]
        if None not in places and len(set(places)) == len(places):
            return torch.tensor(places)[dataset.labels], classes.names
    return dataset.labels, _all_different([*names, *map(str, range(len(names), n_outputs))])


def drawn_rows(labels: Tensor, per_class: int | None, seed: int) -> Tensor:
    """Return the rows of up to ``per_class`` samples of each class (all for None), drawn at random, ascending."""
    random = torch.Generator().manual_seed(seed)
    of_class = [torch.nonzero(labels == c).flatten() for c in labels.unique()]
    rows_by_class = [rows[torch.randperm(len(rows), generator=random)[:per_class]] for rows in of_class]
    return torch.cat(rows_by_class).sort().values


def _outcome(logits: Tensor, labels: Tensor) -> Outcome:
    finite = torch.isfinite(logits).all(dim=1)
    labels = labels.to(logits.device)
    right = (logits.argmax(1) == labels) & finite
    loss = (
        F.cross_entropy(logits.float().nan_to_num(), labels)
        if int(labels.max()) < logits.shape[1]
        else torch.tensor(torch.inf)
    )
    return Outcome(float(right.float().mean()), float(loss), len(labels))


def _all_different(names: Sequence[str]) -> tuple[str, ...]:
    return ClassList.from_names(names).names


def _numbers(name: str, scaling: Normalization) -> str:
    """Return measured mean and deviation as a text, where they are few."""
    if name != "data" or len(scaling.mean) > 3:
        return ""
    mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (scaling.mean, scaling.std))
    return f" (mean {mean}; deviation {std})"
