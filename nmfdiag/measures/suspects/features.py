"""What each layer makes of each sample, in a few numbers per channel: one pass over the samples, kept in memory only where that is little."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nmfdiag.networks.split import SplitNetwork

BATCH = 64
"""Samples that the network runs on at once."""
KEPT_BYTES = 256 * 2**20
"""Largest size of the features of all samples that is kept; above it they are computed again for each pass."""
FEW_SAMPLES = 8
"""Samples per channel up to which a layer's own probe reads the channels' means only."""
CONSTANT = 1e-6
"""Variance, in parts of the mean square, below which a channel counts as constant over its places: it is rounding."""
HALVES = (None, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
"""Means over each half of the places, by number of their axes."""


@dataclass(frozen=True)
class BatchFeatures:
    """Features of some neighbouring samples.

    Attributes:
        rows: Where they stand among all samples.
        logits: The network's logits (m, classes).
        by_layer: Features (m, d) of each layer, in execution order, as :func:`pooled` makes them.
    """

    rows: slice
    logits: Tensor
    by_layer: dict[str, Tensor]


def pooled(activation: Tensor, channel_dim: int) -> Tensor:
    """Return a layer's features (m, d): of an activation without places itself, else each channel's mean and standard deviation over its places, then
    its means over the halves of the places along each axis (quarters of an image), ``d = 6 C`` for images.

    Args:
        activation: Activation (m, ...).
        channel_dim: Axis of its channels.
    """
    if activation.ndim == 2:
        return activation.float().clone()
    places = activation.movedim(channel_dim, 1).float()
    halve = HALVES[places.ndim - 2] if places.ndim - 2 < len(HALVES) else None
    axes = tuple(range(2, places.ndim))
    means, squares = places.mean(axes), places.square().mean(axes)
    variances = squares - means.square()
    parts = [means, torch.where(variances > CONSTANT * squares, variances, 0.0).sqrt()]
    if halve is not None:
        parts.append(halve(places, 2).flatten(1))
    return torch.cat(parts, 1)


class LayerFeatures:
    """Features of every layer and sample, batch by batch.

    Args:
        network: The network.
        inputs: Samples (n, ...), as the network takes them.
        layers: Names of the layers, in any order; default all that can be measured.

    Attributes:
        layers: Their names in execution order.
        first: Name of the network's first layer that can be measured.
    """

    def __init__(self, network: SplitNetwork, inputs: Tensor, layers: list[str] | None = None):
        self.network, self.inputs = network, inputs
        names = [layer.name for layer in network.checked_layers()]
        self.first = names[0] if names else ""
        asked_layers = {network.layer(name).name for name in layers or ()}
        self.layers = (
            names if layers is None else [layer.name for layer in network.layers if layer.name in asked_layers]
        )
        self._kept: list[BatchFeatures] = []

    def __iter__(self) -> Iterator[BatchFeatures]:
        if self._kept:
            yield from self._kept
            return
        n = len(self.inputs)
        batches: list[BatchFeatures] | None = []
        for start in range(0, n, BATCH):
            rows = slice(start, min(start + BATCH, n))
            batch = BatchFeatures(rows, *self.run(self.inputs[rows], self.layers))
            if sum(z.nbytes for z in batch.by_layer.values()) * n > KEPT_BYTES * len(batch.logits):
                batches = None
            if batches is not None:
                batches.append(batch)
            yield batch
        self._kept = batches or []

    def run(self, inputs: Tensor, layers: list[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits (m, classes) of samples (m, ...) and the features (m, d) of those layers that they reach."""
        logits, by_layer = self.network.prepared.reduce_layers(
            self.network.prepared.copy_in_layout(inputs), layers, lambda _, activation, axis: pooled(activation, axis)
        )
        return logits.float(), by_layer

    def for_linear_probe(self, name: str, z: Tensor) -> Tensor:
        """Return the features (m, d) that a layer's own linear probe reads: means and standard deviations, or means alone of few samples."""
        width = self.network.layer(name).width
        if z.shape[1] <= width:
            return z
        return z[:, : 2 * width if len(self.inputs) > FEW_SAMPLES * width else width]


def strided(step: int, rows: slice) -> slice:
    """Return the part of a batch that holds each ``step``-th of all samples."""
    return slice((-rows.start) % step, None, step)
