"""Seeded label randomisation (Zhang et al. 2017, section 2.1; the paper's p)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError


@dataclass(frozen=True)
class NoisyLabels:
    """What a network is trained on, and what the truth is: ``given`` and ``true``, each (n,) int64."""

    given: Tensor
    true: Tensor
    label_noise: float

    @property
    def wrong(self) -> Tensor:
        """Mask (n,) of the samples whose given label is not the true one."""
        return self.given != self.true


def check_labels(labels: Tensor, n_classes: int) -> Tensor:
    """Return the labels as (n,) int64.

    Raises:
        NmfdiagError: If they are not one whole number a sample, or lie outside ``0 .. n_classes - 1``.
    """
    labels = torch.as_tensor(labels)
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex() or not len(labels):
        raise NmfdiagError(f"Labels must be whole numbers of shape (n,), got {labels.dtype} {tuple(labels.shape)}.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        raise NmfdiagError(f"Labels must lie in 0 .. {n_classes - 1}, got {low} .. {high}.")
    return labels.long()


def randomize_labels(labels: Tensor, label_noise: float, n_classes: int, *, seed: int = 0) -> NoisyLabels:
    """Replace each label, with probability p, by a uniformly random class (which may be the true one).

    For one seed the levels are nested: a label replaced at p = 0.2 is replaced at p = 0.4 by the same class.

    Args:
        labels: True labels (n,), in ``0 .. n_classes - 1``.
        label_noise: p in [0, 1].
        n_classes: Number of classes.
        seed: Chooses which labels are replaced, and by what.

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
    drawn = torch.from_numpy(rng.integers(0, n_classes, len(true)))
    return NoisyLabels(torch.where(replaced, drawn, true), true, float(label_noise))
