"""Seeded label randomisation (Zhang et al. 2017, section 2.1; the paper's p)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nmfdiag.data.seeds import generator
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


def check_labels(labels: Tensor, n_classes: int | None = None) -> Tensor:
    """Return the labels as (n,) int64; without ``n_classes`` they need only be 0 or more.

    Raises:
        NmfdiagError: If there are none, if they are not one whole number a sample, or lie outside the classes.
    """
    try:
        labels = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        raise NmfdiagError(f"Labels must be whole numbers, one a sample, got {type(labels).__name__}.") from None
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise NmfdiagError(f"Labels must be whole numbers (int64), got {labels.dtype}.")
    if labels.ndim != 1:
        raise NmfdiagError(f"Labels must have the shape (n,), one a sample, got {tuple(labels.shape)}.")
    if not len(labels):
        raise NmfdiagError("There are no labels: at least one sample is needed.")
    labels = labels.long()
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (n_classes is not None and high >= n_classes):
        accepted = "be 0 or more" if n_classes is None else f"lie in 0 .. {n_classes - 1}"
        raise NmfdiagError(f"Labels must {accepted}, got {low} .. {high}.")
    return labels


def randomize_labels(labels: Tensor, label_noise: float, n_classes: int, *, seed: int = 0) -> NoisyLabels:
    """Replace each label, with probability p, by a uniformly random class (which may be the true one).

    A share p (1 - 1 / n_classes) of the labels ends up wrong. For one seed the levels are nested: a label replaced
    at p = 0.2 is replaced at p = 0.4 by the same class. Shipped networks were trained on these very draws: the order
    in which the generator is asked is fixed.

    Args:
        labels: True labels (n,), in ``0 .. n_classes - 1``.
        label_noise: p in [0, 1].
        n_classes: Number of classes.
        seed: Chooses which labels are replaced, and by what.

    Raises:
        NmfdiagError: If p, a label or the seed is out of range.

    Example:
        >>> labels = torch.zeros(1000, dtype=torch.int64)
        >>> noisy = randomize_labels(labels, 0.5, n_classes=10)
        >>> 0.4 < noisy.wrong.float().mean() < 0.5  # 0.45 is expected
        tensor(True)

    References:
        C. Zhang et al., Understanding deep learning requires rethinking generalization, ICLR 2017, section 2.1.
    """
    if not 0 <= label_noise <= 1:
        raise NmfdiagError(f"Label noise p must lie in [0, 1], got {label_noise}.")
    true = check_labels(labels, n_classes)
    rng = generator(seed)
    replaced = torch.from_numpy(rng.random(len(true)) < label_noise).to(true.device)
    drawn = torch.from_numpy(rng.integers(0, n_classes, len(true))).to(true.device)
    return NoisyLabels(torch.where(replaced, drawn, true), true, float(label_noise))
