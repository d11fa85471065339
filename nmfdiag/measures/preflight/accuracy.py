"""How a network answers its training samples, and what that says about whether they are prepared as they were in training."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nmfdiag.data.normalization import FIXED, Normalization
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.outputs import logits_of
from nmfdiag.networks.survey import Survey, largest_values
from nmfdiag.zoo.fit_inputs import compare

LOOKING, AT_ONCE = 8.0, 32
"""Seconds after which no more samples are looked at, and samples looked at together."""
LOW, CLEARLY = 0.9, 0.05
"""Accuracy below which something may be wrong, and by how much another normalisation must be better to be named."""
MEANINGS = {
    "none": "0 to 1",
    "half": "-1 to 1",
    "bytes": "0 to 255",
    "data": "mean 0 and standard deviation 1 in each channel",
    "imagenet": "from 0 to 1 minus (.485, .456, .406), divided by (.229, .224, .225)",
}
"""What inputs are after each normalisation that is found by their range."""
ALIKE = 0.8  # share of a class's samples that one answer must have to be the class's answer


@dataclass(frozen=True)
class Answers:
    """A network's answers to samples, all or those that there was time for.

    Attributes:
        given: Given labels (m,) of the samples looked at.
        answered: Their answers (m,); -1 where a logit is not finite.
        n_outputs: The network's outputs.
        n_samples: Samples that there are.
        largest: Largest absolute value that each activation function gives each sample (m, functions); None where the network
            does not call the same ones for every sample.
    """

    given: Tensor
    answered: Tensor
    n_outputs: int
    n_samples: int
    largest: Tensor | None

    @property
    def accuracy(self) -> float:
        """Share of the samples that are put into their given class."""
        return float((self.answered == self.given).float().mean())

    @property
    def accuracy_by_class(self) -> dict[int, float]:
        """The same of each class that was looked at."""
        return {
            int(c): float((self.answered[self.given == c] == c).float().mean()) for c in self.given.unique().tolist()
        }


def answers_of(
    model: nn.Module, inputs: Tensor, labels: Tensor, seen: Survey, pick: Callable[[Any], Tensor] = logits_of
) -> Answers:
    """Run a network on its samples, some of every class first, until all are done or time is up.

    Args:
        model: The network.
        inputs: Samples (n, ...).
        labels: Their given labels (n,), on the CPU.
        seen: Which activation functions the network calls.
        pick: Finds the logits in what it returns.

    Raises:
        NmfdiagError: If the network can't take the samples, or does not answer each with logits.
    """
    n_calls = len(seen.layers)
    begun, order = time.perf_counter(), _by_turns(labels)
    answered: list[Tensor] = []
    largest: list[list[Tensor]] = []
    n_outputs = 0
    for part in order.split(AT_ONCE):
        if answered and time.perf_counter() - begun > LOOKING:
            break
        logits, values = largest_values(model, inputs[part.to(inputs.device)], pick, seen.replay)
        if len(logits) != len(part):
            raise NmfdiagError(
                f"The network must return a row of logits for each sample, got {len(logits)} for {len(part)} samples."
            )
        n_outputs = logits.shape[1]
        answered.append(logits.argmax(1).where(torch.isfinite(logits).all(1), -1).cpu())
        largest.append([value.expand(len(part)).cpu() for value in values])
    given = labels[order][: sum(map(len, answered))]
    steady = all(len(values) == n_calls for values in largest) and n_calls
    together = torch.cat([torch.stack(values, 1) for values in largest]) if steady else None
    return Answers(given, torch.cat(answered), n_outputs, len(labels), together)


def answer_remarks(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    answers: Answers,
    alternatives: tuple[Tensor, Mapping[str, Normalization]] | None = None,
    pick: Callable[[Any], Tensor] = logits_of,
) -> tuple[list[str], str]:
    """What looks wrong about the answers, and what would be better.

    Args:
        model: The network.
        inputs: Samples (n, ...), as it is to be diagnosed on.
        labels: Their given labels (n,).
        answers: Its answers.
        alternatives: As :func:`nmfdiag.measures.preflight.preflight` takes them.
        pick: Finds the logits in what the network returns.

    Returns:
        Remarks, and the name of a normalisation that gets clearly more samples right; empty if none is known.
    """
    remarks, better_name, seen = [], "", len(answers.given)
    if seen < answers.n_samples:
        remarks.append(f"Accuracy is of {seen:,} of the {answers.n_samples:,} samples: there was no time for more.")
    if broken := int((answers.answered < 0).sum()):
        remarks.append(f"{broken:,} of {seen:,} samples are answered with NaN or infinite logits.")
    high = labels[(labels < 0) | (labels >= answers.n_outputs)].unique().tolist()
    if high:
        remarks.append(
            f"The network has {answers.n_outputs} outputs, which are classes 0 to {answers.n_outputs - 1}; the given labels {_few(high)} "
            "are none of them."
        )
    classes = len(answers.given.unique())
    only = answers.answered.unique()
    if len(only) == 1 and classes > 1 and not broken:
        remarks.append(f"Every sample is answered with class {int(only)}: the network is constant on these samples.")
    if answers.accuracy < LOW:
        other = _another_order(answers)
        words = f"The network gets {answers.accuracy:.0%} of these samples right by their given labels"
        samples, ways = alternatives or (inputs, _other_ways(inputs))
        better = None if other or not ways else _better(model, samples, labels, answers, ways, pick)
        if other:
            remarks.append(
                f"{words}, but answers each class alike ({other}): its classes are in another order than these."
            )
        elif better:
            better_name, share, n = better
            meaning = "" if alternatives else f"; that is {MEANINGS[better_name]}"
            remarks.append(
                f"{words}. Normalised as {better_name!r} ({share:.0%} of {n} right{meaning}) they would fit better: give the normalisation "
                "of training."
            )
        else:
            remarks.append(
                f"{words}. Either it has not fitted them, or they are not prepared as in training (normalisation, size, labels): no curve "
                "is higher than this."
            )
    return remarks, better_name


def _by_turns(labels: Tensor) -> Tensor:
    """All rows, one of each class, then the next of each."""
    turn = torch.zeros_like(labels)
    for c in labels.unique():
        members = labels == c
        turn[members] = torch.arange(int(members.sum()))
    return turn.argsort(stable=True)


def _another_order(answers: Answers) -> str:
    """Which class is answered as which, where nearly every class is answered alike and as one of its own; else nothing."""
    usual, alike = {}, []
    for c in answers.given.unique().tolist():
        some = answers.answered[answers.given == c]
        usual[c] = int(some.mode().values)
        alike.append(float((some == usual[c]).float().mean()))
    moved = [f"{c} as {answer}" for c, answer in usual.items() if c != answer]
    if len(usual) < 2 or len(set(usual.values())) < len(usual) or sum(alike) / len(alike) < ALIKE or not moved:
        return ""
    return f"class {', '.join(moved[:3])}{', ...' if len(moved) > 3 else ''}"


def _better(
    model: nn.Module,
    samples: Tensor,
    labels: Tensor,
    answers: Answers,
    ways: Mapping[str, Normalization],
    pick: Callable[[Any], Tensor],
) -> tuple[str, float, int] | None:
    """A normalisation that gives a clearly higher accuracy, that accuracy, and of how many samples."""
    usable = torch.nonzero((labels >= 0) & (labels < answers.n_outputs)).flatten()
    if not len(usable):
        return None
    samples, given = samples[usable.to(samples.device)], labels[usable]
    best, tried = compare(model, samples, given, dict(ways), pick)
    found = tried[best]
    return (best, found.accuracy, found.n) if found.accuracy > answers.accuracy + CLEARLY else None


def _other_ways(inputs: Tensor) -> dict[str, Normalization]:
    """What would make each usual normalisation of inputs that are normalised in one that their range allows."""
    if not inputs.is_floating_point() or inputs.ndim < 2:
        return {}
    low, high = float(inputs.min()), float(inputs.max())
    colours = inputs.ndim == 4 and inputs.shape[1] == 3
    now = []
    if low >= 0:
        now.append("none" if high <= 1 else "bytes")
    elif low >= -1 and high <= 1:
        now.append("half")
    if colours:
        scaled = FIXED["imagenet"]
        ends = [((end - m) / s) for end in (0.0, 1.0) for m, s in zip(scaled.mean, scaled.std, strict=True)]
        if min(ends) - 1e-3 <= low < 0 and high <= max(ends) + 1e-3:
            now.append("imagenet")
    ways = {"data": Normalization.of(inputs)}
    for name in now:
        for other in (*(["imagenet"] if colours else []), "none", "half", "bytes"):
            if other not in now:
                ways.setdefault(other, _instead(FIXED[name], FIXED[other]))
    return ways


def _instead(now: Normalization, target: Normalization) -> Normalization:
    """What makes of inputs normalised in one way those normalised in another."""
    n = max(len(v) for v in (now.mean, now.std, target.mean, target.std))
    m0, s0, m1, s1 = (v * n if len(v) == 1 else v for v in (now.mean, now.std, target.mean, target.std))
    mean = tuple((b - a) / s for a, s, b in zip(m0, s0, m1, strict=True))
    return Normalization(mean, tuple(t / s for s, t in zip(s0, s1, strict=True)))


def _few(labels: list[int]) -> str:
    return ", ".join(map(str, labels[:5])) + (", ..." if len(labels) > 5 else "")
