"""What the unsaturated layers make of each sample and of its moved copies, averaged: a memorised answer does not survive the move, a class does."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.suspects.features import BATCH, KEPT_BYTES, BatchFeatures, LayerFeatures
from nmfdiag.measures.suspects.moved_copies import Move, margins_against


@dataclass(frozen=True)
class ViewBatch:
    """Averaged features of some neighbouring samples.

    Attributes:
        rows: Where they stand among all samples.
        features: Features of all layers side by side, averaged over the sample and its copies (m, d).
        margins: By how much the best other class lies above the given one, mean over copies (m,); 0 without copies.
        answered_as_given: Share of the copies for which the network predicts the given label (m,); 0 without copies.
    """

    rows: slice
    features: Tensor
    margins: Tensor
    answered_as_given: Tensor


class ViewFeatures:
    """Averaged features of every sample, batch by batch, kept where that is little.

    Args:
        features: Features of the samples themselves.
        layers: Names of the layers.
        labels: Given labels (n,).
        moves: Makes the copies, by name.
    """

    def __init__(self, features: LayerFeatures, layers: list[str], labels: Tensor, moves: Mapping[str, Move]):
        self.features, self.layers, self.labels, self.moves = features, layers, labels, moves
        self._kept: list[ViewBatch] | None = []

    def __iter__(self) -> Iterator[ViewBatch]:
        n = len(self.labels)
        if self._kept and self._kept[-1].rows.stop == n:
            yield from self._kept
            return
        self._kept = [] if self.can_be_kept else None
        for batch in self.features:
            view = self._view(batch)
            if self._kept is not None:
                self._kept.append(view)
            yield view

    @property
    def can_be_kept(self) -> bool:
        """Whether the features of all samples are little."""
        return 4 * len(self.columns(self.layers)) * len(self.labels) <= KEPT_BYTES

    def compute(self, report: Progress) -> None:
        """Compute the features of all samples where they are little, so that :meth:`sampled` need not compute any of them twice."""
        if self.can_be_kept:
            for view in self:
                report(view.rows.stop / len(self.labels), "features of moved copies")

    def columns(self, layers: Collection[str]) -> Tensor:
        """Return the columns (d') that hold the features of some of the layers."""
        widths = {name: z.shape[1] for name, z in next(iter(self.features)).by_layer.items()}
        return torch.cat([torch.full((widths[name],), name in layers) for name in self.layers]).nonzero()[:, 0]

    def sampled(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return some columns (m, d') of the averaged features of samples (m,), whose numbers ascend."""
        sampled = torch.empty(len(rows), len(columns))
        if self._kept and self._kept[-1].rows.stop == len(self.labels):
            ends = torch.tensor([view.rows.stop for view in self._kept])
            n_rows = torch.bincount(torch.bucketize(rows, ends, right=True), minlength=len(self._kept))
            for view, chunk, part in zip(
                self._kept, rows.split(n_rows.tolist()), sampled.split(n_rows.tolist()), strict=True
            ):
                part.copy_(view.features[chunk - view.rows.start][:, columns])
            return sampled
        for chunk, part in zip(rows.split(BATCH), sampled.split(BATCH), strict=True):
            inputs = self.features.inputs[chunk]
            batch = BatchFeatures(slice(0, len(chunk)), *self.features.run(inputs, self.layers))
            part.copy_(self._averaged(batch, inputs, self.labels[chunk]).features[:, columns])
        return sampled

    def _view(self, batch: BatchFeatures) -> ViewBatch:
        return self._averaged(batch, self.features.inputs[batch.rows], self.labels[batch.rows])

    def _averaged(self, batch: BatchFeatures, inputs: Tensor, labels: Tensor) -> ViewBatch:
        total = torch.cat([batch.by_layer[name] for name in self.layers], 1)
        against, answered_as_given = torch.zeros(2, len(labels))
        for move in self.moves.values():
            logits, by_layer = self.features.run(move(inputs), self.layers)
            total += torch.cat([self._reached(batch.by_layer[name], by_layer.get(name)) for name in self.layers], 1)
            margins = margins_against(logits.cpu(), labels)
            against += margins
            answered_as_given += margins < 0
        n_copies = max(1, len(self.moves))
        features = (total / (1 + len(self.moves))).cpu()
        return ViewBatch(batch.rows, features, against / n_copies, answered_as_given / n_copies)

    @staticmethod
    def _reached(own: Tensor, moved: Tensor | None) -> Tensor:
        """Return a copy's features, or the sample's own where the copy takes another way through the network."""
        return moved if moved is not None and moved.shape == own.shape else own
