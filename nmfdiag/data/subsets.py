"""Stratified subsets of a set of labelled samples."""

import numpy as np
import torch
from torch import Tensor

from nmfdiag.data.labels import check_labels
from nmfdiag.data.seeds import generator
from nmfdiag.errors import NmfdiagError


def stratified_subset(labels: Tensor, size: int, seed: int) -> Tensor:
    """Choose ``size`` samples, as evenly over the classes as they allow.

    Shipped networks were trained on these very choices: the order in which the generator is asked is fixed.

    Args:
        labels: Labels (n,), 0 or more.
        size: How many; the count of a class is that of the others, up to one, as long as it has so many.
        seed: Chooses which.

    Returns:
        Sorted rows (size,) int64.

    Raises:
        NmfdiagError: If there are fewer samples than ``size``, or none are asked for.

    Example:
        >>> stratified_subset(torch.tensor([0, 0, 0, 0, 1, 1]), 4, seed=0)
        tensor([2, 3, 4, 5])
    """
    values = check_labels(labels).cpu().numpy()
    if not 0 < size <= len(values):
        raise NmfdiagError(f"A subset must hold 1 .. {len(values)} samples, got {size}.")
    order = generator(seed).permutation(len(values))
    shuffled = values[order]
    turn = np.empty(len(values), dtype=np.int64)  # how many of its class come before each sample
    for c in np.unique(shuffled):
        members = np.flatnonzero(shuffled == c)
        turn[members] = np.arange(len(members))
    chosen = order[np.argsort(turn, kind="stable")[:size]]
    return torch.from_numpy(np.sort(chosen))
