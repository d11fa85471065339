"""Draw probe batches: the training samples on which a layer's activations are computed."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmfdiag.data.batch_rows import rows_of_class
from nmfdiag.errors import NmfdiagError


@dataclass(frozen=True)
class ProbeBatch:
    """Samples that share a given label, or a mixture of all classes.

    ``inputs`` (n, ...), ``given_labels`` (n,), ``true_labels`` (n,) or None, ``index`` (n,) rows in the source;
    ``class_idx`` is the shared given label, None for a multi-class batch.
    """

    inputs: Tensor
    given_labels: Tensor
    true_labels: Tensor | None
    class_idx: int | None
    index: Tensor


def stratified_subset(labels: Tensor, size: int, seed: int) -> Tensor:
    """Choose ``size`` samples, as evenly over the classes as possible; returns sorted rows (size,) int64.

    Raises:
        NmfdiagError: If there are fewer samples than ``size``, or ``size`` is not positive.
    """
    if not 0 < size <= len(labels):
        raise NmfdiagError(f"A subset must hold 1 .. {len(labels)} samples, got {size}.")
    rng = np.random.Generator(np.random.PCG64(seed))
    order = rng.permutation(len(labels))
    shuffled = labels.numpy()[order]
    turn = np.empty(len(labels), dtype=np.int64)  # number of samples of its class before each sample
    for c in np.unique(shuffled):
        members = np.flatnonzero(shuffled == c)
        turn[members] = np.arange(len(members))
    rows = order[np.argsort(turn, kind="stable")[:size]]
    return torch.from_numpy(np.sort(rows))


def single_class_batch(
    inputs: Tensor,
    given_labels: Tensor,
    class_idx: int,
    *,
    size: int = 50,
    seed: int = 0,
    true_labels: Tensor | None = None,
) -> ProbeBatch:
    """Draw up to ``size`` samples whose given label is ``class_idx``.

    Raises:
        NmfdiagError: If the class has fewer than two samples, or the lengths disagree.
    """
    _check(inputs, given_labels, true_labels, size)
    n_members = int((given_labels == class_idx).sum())
    if n_members < 2:
        raise NmfdiagError(
            f"Class {class_idx} has {n_members} samples with that given label: a probe batch needs at least 2."
        )
    rows = torch.from_numpy(rows_of_class(given_labels.cpu().numpy(), class_idx, size, seed))
    return _batch(inputs, given_labels, true_labels, rows, class_idx)


def single_class_batches(
    inputs: Tensor, given_labels: Tensor, *, size: int = 50, seed: int = 0, true_labels: Tensor | None = None
) -> list[ProbeBatch]:
    """Return a batch for every class that has at least two samples, in the order of the classes."""
    classes, counts = given_labels.unique(return_counts=True)
    return [
        single_class_batch(inputs, given_labels, int(c), size=size, seed=seed, true_labels=true_labels)
        for c in classes[counts >= 2]
    ]


def multi_class_batch(
    inputs: Tensor, given_labels: Tensor, *, size: int = 50, seed: int = 0, true_labels: Tensor | None = None
) -> ProbeBatch:
    """Draw up to ``size`` samples, as evenly over the given labels as possible.

    Raises:
        NmfdiagError: If there are fewer than two samples, or the lengths disagree.
    """
    _check(inputs, given_labels, true_labels, size)
    index = stratified_subset(given_labels, min(size, len(given_labels)), seed)
    return _batch(inputs, given_labels, true_labels, index, None)


def _check(inputs: Tensor, given_labels: Tensor, true_labels: Tensor | None, size: int) -> None:
    if len(inputs) != len(given_labels):
        raise NmfdiagError(f"There are {len(inputs)} inputs but {len(given_labels)} labels.")
    if true_labels is not None and len(true_labels) != len(inputs):
        raise NmfdiagError(f"There are {len(inputs)} inputs but {len(true_labels)} true labels.")
    if size < 2 or len(inputs) < 2:
        raise NmfdiagError(f"A probe batch needs at least 2 samples, got {min(size, len(inputs))}.")


def _batch(
    inputs: Tensor, given_labels: Tensor, true_labels: Tensor | None, index: Tensor, class_idx: int | None
) -> ProbeBatch:
    return ProbeBatch(
        inputs[index], given_labels[index], None if true_labels is None else true_labels[index], class_idx, index
    )
