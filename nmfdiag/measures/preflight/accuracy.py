"""A network's answers to its training samples, and signs that the samples are not prepared as in training."""

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
from nmfdiag.zoo.batch_norm import batch_norm_remark
from nmfdiag.zoo.fit_inputs import compare

LONGEST_RUN, BATCH_SIZE = 8.0, 32
"""Seconds after which no further batch of samples is run, and samples per batch."""
LOW_ACCURACY, CLEAR_GAIN = 0.9, 0.05
"""Accuracy below which something may be wrong, and least gain of another normalisation that is suggested."""
MEANINGS = {
    "none": "0 to 1",
    "half": "-1 to 1",
    "bytes": "0 to 255",
    "data": "mean 0 and standard deviation 1 in each channel",
    "imagenet": "from 0 to 1 minus (.485, .456, .406), divided by (.229, .224, .225)",
}
"""Values of inputs after each normalisation that is found by their range."""
ONE_ANSWER_SHARE = 0.8
"""Share of a class's samples that one answer must have to count as the class's answer."""


@dataclass(frozen=True)
class Answers:
    """A network's answers to its samples, all or as many as there was time for.

    Attributes:
        given: Given labels (m,) of the samples that were run.
        answered: Their answers (m,); -1 if a logit is not finite.
        n_outputs: Number of the network's outputs.
        n_samples: Number of all samples.
        largest: Largest absolute output of each activation function for each sample (m, functions); None if the network does
            not call the same ones for every sample.
    """

    given: Tensor
    answered: Tensor
    n_outputs: int
    n_samples: int
    largest: Tensor | None

    @property
    def accuracy(self) -> float:
        """Share of the samples that are classified as labelled."""
        return float((self.answered == self.given).float().mean())

    @property
    def accuracy_by_class(self) -> dict[int, float]:
        """The same of each class that was run."""
        return {
            int(c): float((self.answered[self.given == c] == c).float().mean()) for c in self.given.unique().tolist()
        }


def answers_of(
    model: nn.Module, inputs: Tensor, labels: Tensor, survey: Survey, pick: Callable[[Any], Tensor] = logits_of
) -> Answers:
    """Run a network on its samples, in turns over the classes, until all are done or time is up.

    Args:
        model: The network.
        inputs: Samples (n, ...).
        labels: Their given labels (n,), on the CPU.
        survey: Activation functions that the network calls.
        pick: Function that finds the logits in its output.

    Raises:
        NmfdiagError: If the network can't take the samples, or does not return logits for each.
    """
    n_calls = len(survey.layers)
    start, order = time.perf_counter(), _order_by_turns(labels)
    answer_parts: list[Tensor] = []
    largest_parts: list[list[Tensor]] = []
    n_outputs = 0
    for part in order.split(BATCH_SIZE):
        if answer_parts and time.perf_counter() - start > LONGEST_RUN:
            break
        logits, values = largest_values(model, inputs[part.to(inputs.device)], pick, survey.replay)
        if len(logits) != len(part):
            raise NmfdiagError(
                f"The network must return a row of logits for each sample, got {len(logits)} for {len(part)} samples."
            )
        n_outputs = logits.shape[1]
        answer_parts.append(logits.argmax(1).where(torch.isfinite(logits).all(1), -1).cpu())
        largest_parts.append([value.expand(len(part)).cpu() for value in values])
    given_labels = labels[order][: sum(map(len, answer_parts))]
    same_calls = all(len(values) == n_calls for values in largest_parts) and n_calls
    largest_outputs = torch.cat([torch.stack(values, 1) for values in largest_parts]) if same_calls else None
    return Answers(given_labels, torch.cat(answer_parts), n_outputs, len(labels), largest_outputs)


def answer_remarks(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    answers: Answers,
    alternatives: tuple[Tensor, Mapping[str, Normalization]] | None = None,
    pick: Callable[[Any], Tensor] = logits_of,
) -> tuple[list[str], str]:
    """Return what looks wrong about the answers, and a normalisation that would be better.

    Args:
        model: The network.
        inputs: Samples (n, ...) of the diagnosis.
        labels: Their given labels (n,).
        answers: Its answers.
        alternatives: As for :func:`nmfdiag.measures.preflight.network_check`.
        pick: Function that finds the logits in the network's output.

    Returns:
        Remarks, and the name of a normalisation with clearly higher accuracy; empty if none is known.
    """
    remarks, better_name, n_run = [], "", len(answers.given)
    if n_run < answers.n_samples:
        remarks.append(f"Accuracy is of {n_run:,} of the {answers.n_samples:,} samples: there was no time for more.")
    if n_broken := int((answers.answered < 0).sum()):
        remarks.append(f"{n_broken:,} of {n_run:,} samples are answered with NaN or infinite logits.")
    outside_labels = labels[(labels < 0) | (labels >= answers.n_outputs)].unique().tolist()
    if outside_labels:
        remarks.append(
            f"The network has {answers.n_outputs} outputs, which are classes 0 to {answers.n_outputs - 1}; the given labels {_shortened(outside_labels)} "
            "are none of them."
        )
    n_classes = len(answers.given.unique())
    distinct_answers = answers.answered.unique()
    if len(distinct_answers) == 1 and n_classes > 1 and not n_broken:
        remarks.append(
            f"Every sample is answered with class {int(distinct_answers)}: the network is constant on these samples."
        )
    if answers.accuracy < LOW_ACCURACY:
        moved_classes = _moved_classes_text(answers)
        sentence = f"The network gets {answers.accuracy:.0%} of these samples right by their given labels"
        samples, normalizations = alternatives or (inputs, alternative_normalizations(inputs))
        better = (
            None
            if moved_classes or not normalizations
            else _better_normalization(model, samples, labels, answers, normalizations, pick)
        )
        lag_remark = (
            "" if moved_classes else batch_norm_remark(model, inputs, labels, pick, better[1] if better else 0.0)
        )
        if moved_classes:
            remarks.append(
                f"{sentence}, but answers each class alike ({moved_classes}): its classes are in another order than these."
            )
        elif lag_remark:
            remarks.append(lag_remark)
        elif better:
            better_name, share, n = better
            meaning = "" if alternatives else f"; that is {MEANINGS[better_name]}"
            remarks.append(
                f"{sentence}. Normalised as {better_name!r} ({share:.0%} of {n} right{meaning}) they would fit better: give the normalisation "
                "of training."
            )
        else:
            remarks.append(
                f"{sentence}. Either it has not fitted them, or they are not prepared as in training (normalisation, size, labels): no curve "
                "is higher than this."
            )
    return remarks, better_name


def _order_by_turns(labels: Tensor) -> Tensor:
    """Return the order of rows that takes one of each class, then the next of each."""
    turns = torch.zeros_like(labels)
    for c in labels.unique():
        members = labels == c
        turns[members] = torch.arange(int(members.sum()))
    return turns.argsort(stable=True)


def _moved_classes_text(answers: Answers) -> str:
    """Return which class is answered as which, if nearly every class has one answer and no two have the same; else nothing."""
    usual_answers, agreements = {}, []
    for c in answers.given.unique().tolist():
        class_answers = answers.answered[answers.given == c]
        usual_answers[c] = int(class_answers.mode().values)
        agreements.append(float((class_answers == usual_answers[c]).float().mean()))
    mismatches = [f"{c} as {answer}" for c, answer in usual_answers.items() if c != answer]
    if (
        len(usual_answers) < 2
        or len(set(usual_answers.values())) < len(usual_answers)
        or sum(agreements) / len(agreements) < ONE_ANSWER_SHARE
        or not mismatches
    ):
        return ""
    return f"class {', '.join(mismatches[:3])}{', ...' if len(mismatches) > 3 else ''}"


def _better_normalization(
    model: nn.Module,
    samples: Tensor,
    labels: Tensor,
    answers: Answers,
    normalizations: Mapping[str, Normalization],
    pick: Callable[[Any], Tensor],
) -> tuple[str, float, int] | None:
    """Return a normalisation with clearly higher accuracy, that accuracy, and its number of samples."""
    rows = torch.nonzero((labels >= 0) & (labels < answers.n_outputs)).flatten()
    if not len(rows):
        return None
    samples, given_labels = samples[rows.to(samples.device)], labels[rows]
    best, results = compare(model, samples, given_labels, dict(normalizations), pick)
    best_result = results[best]
    return (best, best_result.accuracy, best_result.n) if best_result.accuracy > answers.accuracy + CLEAR_GAIN else None


def alternative_normalizations(inputs: Tensor) -> dict[str, Normalization]:
    """Return conversions of the inputs to each usual normalisation, from those that their range allows."""
    if not inputs.is_floating_point() or inputs.ndim < 2:
        return {}
    low, high = float(inputs.min()), float(inputs.max())
    colours = inputs.ndim == 4 and inputs.shape[1] == 3
    candidates = []
    if low >= 0:
        candidates.append("none" if high <= 1 else "bytes")
    elif low >= -1 and high <= 1:
        candidates.append("half")
    if colours:
        imagenet = FIXED["imagenet"]
        ends = [((end - m) / s) for end in (0.0, 1.0) for m, s in zip(imagenet.mean, imagenet.std, strict=True)]
        if min(ends) - 1e-3 <= low < 0 and high <= max(ends) + 1e-3:
            candidates.append("imagenet")
    conversions = {"data": Normalization.measure(inputs)}
    for name in candidates:
        for target in (*(["imagenet"] if colours else []), "none", "half", "bytes"):
            if target not in candidates:
                conversions.setdefault(target, _conversion(FIXED[name], FIXED[target]))
    return conversions


def _conversion(source: Normalization, target: Normalization) -> Normalization:
    """Return the normalisation that converts inputs from one normalisation to another."""
    n = max(len(v) for v in (source.mean, source.std, target.mean, target.std))
    m0, s0, m1, s1 = (v * n if len(v) == 1 else v for v in (source.mean, source.std, target.mean, target.std))
    mean = tuple((b - a) / s for a, s, b in zip(m0, s0, m1, strict=True))
    return Normalization(mean, tuple(t / s for s, t in zip(s0, s1, strict=True)))


def _shortened(labels: list[int]) -> str:
    return ", ".join(map(str, labels[:5])) + (", ..." if len(labels) > 5 else "")
