"""The network's margin on slightly moved copies of its training samples: a memorised answer does not survive the move."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from nmfdiag.measures.suspects.features import BATCH
from nmfdiag.measures.suspects.probe import margins, with_classes
from nmfdiag.networks.split import SplitNetwork

Move = Callable[[Tensor], Tensor]
SMALL_SIDE, SMALLEST_SIDE = 16, 8
"""Pixels of the shorter side below which images are moved by one pixel instead of two, and not at all."""
SHORTEST_SERIES, STEPS_PER_SERIES = 16, 50
"""Steps of the shortest series that is moved, and steps of a series per step that it is moved by."""
TRIED = 512
"""Samples on which it is tried whether mirrored copies say the same."""
AGREEING = 0.4
"""Least rank correlation with the probe at which mirrored copies are used: of digits, which a mirror changes, it is .1 to .2, of photographs
that a network was trained on without mirroring .3 to .55 (zoo, November 2026)."""


def shifted(inputs: Tensor, steps: tuple[int, ...]) -> Tensor:
    """Return samples moved along their last axes, edges repeated.

    Args:
        inputs: Samples (n, channels, ...).
        steps: By how much along each of the last axes; positive moves the content to lower indices.
    """
    padding = [abs(step) for step in reversed(steps) for _ in (0, 1)]
    padded = pad(inputs, padding, mode="replicate")
    for axis, step in zip(range(-len(steps), 0), steps, strict=True):
        padded = padded.narrow(axis, abs(step) + step, inputs.shape[axis])
    return padded


def mirrored(inputs: Tensor) -> Tensor:
    """Return images mirrored from left to right."""
    return inputs.flip(-1)


def moves_of(inputs: Tensor) -> dict[str, Move]:
    """Return the moves that fit the samples, by name: images two ways along both axes, series (n, channels, steps) in time; none for others."""
    if not inputs.is_floating_point():
        return {}
    if inputs.ndim == 4 and min(inputs.shape[-2:]) >= SMALLEST_SIDE:
        k = 2 if min(inputs.shape[-2:]) >= SMALL_SIDE else 1
        steps: dict[str, tuple[int, ...]] = {"up": (k, 0), "down": (-k, 0), "left": (0, k), "right": (0, -k)}
    elif inputs.ndim == 3 and inputs.shape[-1] >= SHORTEST_SERIES:
        k = max(1, inputs.shape[-1] // STEPS_PER_SERIES)
        steps = {"earlier": (k,), "later": (-k,)}
    else:
        return {}
    return {name: _shift_by(step) for name, step in steps.items()}


def _shift_by(steps: tuple[int, ...]) -> Move:
    return lambda inputs: shifted(inputs, steps)


def moved_margins(
    network: SplitNetwork, inputs: Tensor, labels: Tensor, moves: Mapping[str, Move]
) -> Iterator[tuple[str, Tensor]]:
    """Yield, for each move, by how much the best other class lies above the given one in the logits (n,) of the moved copies.

    Raises:
        NmfdiagError: If the network can't take a copy.
    """
    for name, move in moves.items():
        parts = []
        for start in range(0, len(inputs), BATCH):
            given_labels = labels[start : start + BATCH].to(inputs.device)
            logits = network.logits(network.prepared.copy_in_layout(move(inputs[start : start + BATCH])))
            parts.append(margins(with_classes(logits.float(), given_labels), given_labels))
        yield name, torch.cat(parts)


def mirror_fits(network: SplitNetwork, inputs: Tensor, labels: Tensor, probe_scores: np.ndarray) -> bool:
    """Return whether mirrored copies tell the classes: on some samples, their margins are ranked like the probe's.

    No truth is needed: the probe has not seen a sample's label, so that both agree only where a mirrored copy keeps its class.
    """
    from scipy.stats import spearmanr

    step = -(-len(inputs) // TRIED)
    _, moved = next(moved_margins(network, inputs[::step], labels[::step], {"mirrored": mirrored}))
    correlation = spearmanr(moved.cpu().numpy(), probe_scores[::step]).statistic
    return bool(correlation >= AGREEING)
