"""Probe batches: the training samples that a layer's activations are computed on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nmfdiag.data.labels import check_labels
from nmfdiag.data.seeds import generator
from nmfdiag.data.subsets import stratified_subset
from nmfdiag.errors import NmfdiagError

SMALLEST = 2


@dataclass(frozen=True)
class ProbeBatch:
    """Samples that share a given label, or a mixture of all classes.

    ``inputs`` (n, ...), ``given_labels`` (n,), ``true_labels`` (n,) or None, ``index`` (n,) rows of the source;
    ``class_idx`` is the shared given label, None for a multi-class batch.
    """

    inputs: Tensor
    given_labels: Tensor
    true_labels: Tensor | None
    class_idx: int | None
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)


def single_class_batch(
    inputs: Tensor,
    given_labels: Tensor,
    class_idx: int,
    *,
    size: int = 50,
    seed: int = 0,
    true_labels: Tensor | None = None,
) -> ProbeBatch:
    """Draw samples whose given label is ``class_idx``: ``size`` of them, or all where there are fewer.

    Args:
        inputs: Inputs (n, ...) of a training set.
        given_labels: What the network was trained on (n,).
        class_idx: The given label that all samples of the batch share.
        size: Samples in the batch, at least 2.
        seed: Chooses which.
        true_labels: True labels (n,), where they are known; they never influence the choice.

    Raises:
        NmfdiagError: If the class has fewer than two samples, or the lengths disagree.
    """
    source = _Source(inputs, given_labels, true_labels, size)
    members = torch.nonzero(source.given == class_idx).flatten()
    if len(members) < SMALLEST:
        raise NmfdiagError(
            f"Class {class_idx} has {len(members)} samples with that given label: "
            f"a probe batch needs at least {SMALLEST}."
        )
    order = torch.from_numpy(generator(seed).permutation(len(members))).to(members.device)
    return source.batch(members[order[:size]].sort().values, int(class_idx))


def single_class_batches(
    inputs: Tensor, given_labels: Tensor, *, size: int = 50, seed: int = 0, true_labels: Tensor | None = None
) -> list[ProbeBatch]:
    """Draw one batch for every class that has at least two samples, in the order of the classes.

    The arguments are those of :func:`single_class_batch`.

    Raises:
        NmfdiagError: If no class has two samples, or the lengths disagree.
    """
    source = _Source(inputs, given_labels, true_labels, size)
    classes, counts = source.given.unique(return_counts=True)
    large = classes[counts >= SMALLEST].tolist()
    if not large:
        raise NmfdiagError(f"No class has {SMALLEST} samples with its given label: there are {len(classes)} samples.")
    return [single_class_batch(inputs, given_labels, c, size=size, seed=seed, true_labels=true_labels) for c in large]


def multi_class_batch(
    inputs: Tensor, given_labels: Tensor, *, size: int = 50, seed: int = 0, true_labels: Tensor | None = None
) -> ProbeBatch:
    """Draw ``size`` samples, or all where there are fewer, as evenly over the given labels as they allow.

    The arguments are those of :func:`single_class_batch`.

    Raises:
        NmfdiagError: If there are fewer than two samples, or the lengths disagree.
    """
    source = _Source(inputs, given_labels, true_labels, size)
    return source.batch(stratified_subset(source.given, min(size, len(source.given)), seed), None)


class _Source:
    """The checked samples that batches are drawn from."""

    def __init__(self, inputs: Tensor, given_labels: Tensor, true_labels: Tensor | None, size: int) -> None:
        self.inputs = inputs
        self.given = check_labels(given_labels)
        self.true = None if true_labels is None else check_labels(true_labels)
        for what, labels in (("given", self.given), ("true", self.true)):
            if labels is not None and len(labels) != len(inputs):
                raise NmfdiagError(f"There are {len(inputs)} inputs but {len(labels)} {what} labels.")
        if size < SMALLEST or len(inputs) < SMALLEST:
            raise NmfdiagError(f"A probe batch needs at least {SMALLEST} samples, got {min(size, len(inputs))}.")

    def batch(self, index: Tensor, class_idx: int | None) -> ProbeBatch:
        here, of_given = index.to(self.inputs.device), index.to(self.given.device)
        true = None if self.true is None else self.true[index.to(self.true.device)]
        return ProbeBatch(self.inputs[here], self.given[of_given], true, class_idx, index)
