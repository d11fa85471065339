"""Moved copies of training samples: a memorised answer does not survive the move."""

import warnings
from collections.abc import Callable, Iterable

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
FEW_IMAGES = 2000
"""Images up to which all nine copies are made. Three cost a third of the time (AUROC on 10,000 CIFAR-10 images with look-alike errors: .840 with three, .845
with nine)."""
TRIED = 512
"""Samples on which it is tried whether mirrored copies say the same."""
AGREEING = 0.85
"""Least rank correlation of mirrored copies with the probe, in parts of that of moved ones, at which they are used. Of photographs it is 1.0 to 1.2, also
where the network was trained with mirroring; of digits, clothes and spectrograms .3 to .7 (13 networks, November 2026)."""


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


def moves_of(inputs: Tensor, channel_dim: int = 1) -> dict[str, Move]:
    """Return the moves that fit the samples, by name: images two ways along both axes, series (n, channels, steps) in time; none for others.

    Args:
        inputs: Samples (n, ...).
        channel_dim: Axis of the channels in the first layer, by which steps are told from features.
    """
    if not inputs.is_floating_point() or channel_dim != 1:
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


def with_mirror(moves: dict[str, Move], n: int) -> dict[str, Move]:
    """Return the moves of n images that may be mirrored: of few all combinations, of many the three that say most together."""
    mirrored_moves = {f"{name} and mirrored": _mirrored_and(move) for name, move in moves.items()}
    if n <= FEW_IMAGES:
        return moves | {"mirrored": mirrored} | mirrored_moves
    return {"left": moves["left"]} | {name: mirrored_moves[name] for name in ("up and mirrored", "down and mirrored")}


def _shift_by(steps: tuple[int, ...]) -> Move:
    return lambda inputs: shifted(inputs, steps)


def _mirrored_and(move: Move) -> Move:
    return lambda inputs: move(mirrored(inputs))


def margins_against(logits: Tensor, labels: Tensor) -> Tensor:
    """Return by how much the best other class lies above the given one in the logits (n,)."""
    return margins(with_classes(logits.float(), labels), labels)


def mirror_fits(
    network: SplitNetwork, inputs: Tensor, labels: Tensor, probe_scores: np.ndarray, moves: Iterable[Move]
) -> bool:
    """Return whether mirrored copies tell the classes as moved ones do: their margins on some samples agree as well with the probe's.

    No truth is needed: the probe has not seen a sample's label, so that both agree only where a copy keeps its class.
    """
    step = -(-len(inputs) // TRIED)
    inputs, labels, probe_scores = inputs[::step], labels[::step], probe_scores[::step]

    def agreement(move: Move) -> float:
        from scipy.stats import spearmanr

        parts = [
            network.logits(network.prepared.copy_in_layout(move(inputs[start : start + BATCH]))).cpu()
            for start in range(0, len(inputs), BATCH)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # all margins are the same: no correlation
            return float(spearmanr(margins_against(torch.cat(parts), labels).numpy(), probe_scores).statistic)

    return agreement(mirrored) >= AGREEING * max(0.0, float(np.mean([agreement(move) for move in moves])))
