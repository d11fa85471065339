"""What each layer makes of each sample, in a few numbers per channel: one pass over the samples, kept in memory only where that is little."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nmfdiag.networks.split import SplitNetwork

BATCH = 64
"""Samples that the network runs on at once."""
KEPT_BYTES = 256 * 2**20
"""Largest size of the features of all samples that is kept; above it they are computed again for each pass."""
FEW_SAMPLES = 8
"""Samples per channel up to which a layer's features are the means only."""


@dataclass(frozen=True)
class BatchFeatures:
    """Features of some neighbouring samples.

    Attributes:
        rows: Where they stand among all samples.
        logits: The network's logits (m, classes).
        by_layer: Features (m, d) of each layer, in execution order.
    """

    rows: slice
    logits: Tensor
    by_layer: dict[str, Tensor]


class LayerFeatures:
    """Features of every layer and sample, batch by batch.

    A layer's features are the mean and the standard deviation of each channel over its places (``2 C`` numbers), or the means alone where there
    are at most :data:`FEW_SAMPLES` samples per channel; of a layer without places they are its activations.

    Args:
        network: The network.
        inputs: Samples (n, ...), as the network takes them.
        layers: Names of the layers; default all that can be measured.
    """

    def __init__(self, network: SplitNetwork, inputs: Tensor, layers: list[str] | None = None):
        self.network, self.inputs = network, inputs
        self.layers = [layer.name for layer in network.checked_layers()] if layers is None else layers
        for name in self.layers:
            network.layer(name)
        self._kept: list[BatchFeatures] | None = []

    def __iter__(self) -> Iterator[BatchFeatures]:
        if self._kept and self._kept[-1].rows.stop == len(self.inputs):
            yield from self._kept
            return
        if self._kept is not None:
            self._kept = []
        n_bytes = 0
        for start in range(0, len(self.inputs), BATCH):
            batch = self._features(slice(start, min(start + BATCH, len(self.inputs))))
            n_bytes += sum(z.nbytes for z in batch.by_layer.values())
            if n_bytes > KEPT_BYTES:
                self._kept = None
            if self._kept is not None:
                self._kept.append(batch)
            yield batch

    def _features(self, rows: slice) -> BatchFeatures:
        with_deviations = {
            name: len(self.inputs) > FEW_SAMPLES * self.network.layer(name).width for name in self.layers
        }

        def reduce(name: str, activation: Tensor, channel_dim: int) -> Tensor:
            if activation.ndim == 2:
                return activation.float().clone()
            places = activation.movedim(channel_dim, 1).flatten(2).float()
            means = places.mean(2)
            return torch.cat([means, places.std(2, correction=0)], 1) if with_deviations[name] else means

        logits, by_layer = self.network.prepared.reduce_layers(
            self.network.prepared.copy_in_layout(self.inputs[rows]), self.layers, reduce
        )
        return BatchFeatures(rows, logits.float(), by_layer)
