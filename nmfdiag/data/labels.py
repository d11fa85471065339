"""Check labels, and randomise them by a seed (Zhang et al. 2017, section 2.1; the paper's p)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nmfdiag.data.arrays import as_tensor
from nmfdiag.errors import NmfdiagError

ACCEPTED_LABELS = "labels must be whole numbers of shape (n,), the number of the network's output for each sample, or one-hot rows (n, classes)"
SOFT_SUM = 1e-3
"""Largest distance of a row of probabilities from a sum of 1."""


@dataclass(frozen=True)
class NoisyLabels:
    """The labels that a network is trained on, ``given``, and the ``true`` ones, each (n,) int64."""

    given: Tensor
    true: Tensor
    label_noise: float

    @property
    def wrong(self) -> Tensor:
        """Return a mask (n,) of the samples whose given label is not the true one."""
        return self.given != self.true


def as_labels(labels: Any) -> Tensor:
    """Return labels in any form as (n,) int64 on the CPU; one-hot rows become class numbers.

    Raises:
        NmfdiagError: If they are text, probabilities, missing, not whole numbers, or of several classes per sample.
    """
    if labels is None:
        raise NmfdiagError(f"The labels are None: {ACCEPTED_LABELS}; give those that the network was trained with.")
    cure = (
        "; for text give [names.index(label) for label in labels], with the names in the order of the network's outputs"
    )
    values = as_tensor(labels, "labels", ACCEPTED_LABELS + cure).cpu()
    got = f"{values.dtype} {tuple(values.shape)}"
    if values.is_complex() or values.ndim not in (1, 2):
        raise NmfdiagError(f"Labels have the wrong form, {got}: {ACCEPTED_LABELS}.")
    if values.is_floating_point() and (missing := int(values.isnan().sum())):
        raise NmfdiagError(
            f"The labels hold NaN in {missing} of {values.numel()} places: {ACCEPTED_LABELS}; leave those samples out."
        )
    if values.ndim == 2:
        return _from_rows(values, got)
    if values.is_floating_point():
        raise NmfdiagError(
            f"Labels must be whole numbers of shape (n,), got {got}: if they are classes, give labels as integers."
        )
    return values.long()


def _from_rows(rows: Tensor, got: str) -> Tensor:
    """Return the class of each one-hot row (n, classes)."""
    ones = (rows == 1).sum(1)
    if (
        rows.shape[1] > 1
        and len(rows)
        and bool((ones == 1).all())
        and bool(((rows == 0).sum(1) + ones == rows.shape[1]).all())
    ):
        return (rows == 1).long().argmax(1)
    if rows.shape[1] == 1:
        description, cure = "a column", "give labels[:, 0]"
    elif rows.is_floating_point() and bool((rows >= 0).all() & ((rows.sum(1) - 1).abs() < SOFT_SUM).all()):
        description, cure = (
            "probabilities of classes (soft labels)",
            "a curve needs one given class per sample, such as labels.argmax(1)",
        )
    elif bool(((rows == 0) | (rows == 1)).all()):
        description, cure = "rows with none or several classes per sample", "a curve needs one given class per sample"
    else:
        description, cure = "a table of numbers", "give one class per sample"
    raise NmfdiagError(f"The labels are {description}, {got}: {ACCEPTED_LABELS}; {cure}.")


def unlabelled_hint(lowest: int, inputs: str = "inputs", labels: str = "labels") -> str:
    """Return how to leave out samples with a negative label, by the names of the arrays; empty where there are none."""
    if lowest >= 0:
        return ""
    return f" Samples without a label have to be left out: {inputs}[{labels} >= 0] and {labels}[{labels} >= 0]."


def offset_hint(low: int, high: int, n_classes: int) -> str:
    """Return a hint for labels in ``1 .. n_classes`` where classes are counted from 0; empty for other labels."""
    if not (low >= 1 and high == n_classes):
        return ""
    return f" They seem to be counted from 1, and the network's {n_classes} outputs from 0: if class 1 is its first output, give labels - 1."


def check_labels(labels: Tensor, n_classes: int) -> Tensor:
    """Return the labels as (n,) int64.

    Raises:
        NmfdiagError: If they are not one whole number per sample, or lie outside ``0 .. n_classes - 1``.
    """
    labels = torch.as_tensor(labels)
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex() or not len(labels):
        raise NmfdiagError(f"Labels must be whole numbers of shape (n,), got {labels.dtype} {tuple(labels.shape)}.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        raise NmfdiagError(
            f"Labels must lie in 0 .. {n_classes - 1}, got {low} .. {high}.{offset_hint(low, high, n_classes)}"
        )
    return labels.long()


def randomize_labels(labels: Tensor, label_noise: float, n_classes: int, *, seed: int = 0) -> NoisyLabels:
    """Replace each label, with probability p, by a uniformly random class (which may be the true one).

    For one seed the levels are nested: a label replaced at p = 0.2 is replaced at p = 0.4 by the same class.

    Args:
        labels: True labels (n,), in ``0 .. n_classes - 1``.
        label_noise: p in [0, 1].
        n_classes: Number of classes.
        seed: Seed of the choice of labels and of their replacements.

    Raises:
        NmfdiagError: If p or a label is out of range.

    References:
        C. Zhang et al., Understanding deep learning requires rethinking generalization, 2017.
    """
    if not 0 <= label_noise <= 1:
        raise NmfdiagError(f"Label noise p must lie in [0, 1], got {label_noise}.")
    true = check_labels(labels, n_classes)
    rng = np.random.Generator(np.random.PCG64(seed))
    replaced = torch.from_numpy(rng.random(len(true)) < label_noise)
    random_classes = torch.from_numpy(rng.integers(0, n_classes, len(true)))
    return NoisyLabels(torch.where(replaced, random_classes, true), true, float(label_noise))
