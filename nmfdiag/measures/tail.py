"""The rest of a network after a cut: from factors of the layer's activation to the accuracy."""

from collections.abc import Iterator

import torch
from torch import Tensor

from nmfdiag.data.labels import check_labels
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import Factorization, RandomAblation
from nmfdiag.networks.split import Cut, SplitNetwork

DEPENDENT = 1e-9
"""Share of the largest row of H below which what a row adds to the span of those before counts as nothing."""
NO_ANSWER = -1
"""Answer to a sample with NaN among its logits: no class."""
TAIL_DTYPES = {"float32": None, "bfloat16": torch.bfloat16}


class Tail:
    """The rest of a network after a cut: computes accuracy from factors of the layer's activation."""

    def __init__(self, network: SplitNetwork, cut: Cut, labels: Tensor, dtype: torch.dtype | None):
        self.network, self.pieces, self.dtype = network, network.pieces(cut), dtype
        if network.ambiguous:
            raise NmfdiagError(
                "The network returns several tensors that may be its logits: name them (logits=, their key or index)."
            )
        if network.mixes and len(labels.unique()) == 1:
            raise NmfdiagError(
                f"{network.mixes}: a batch of one class can't be measured. Accepted are batches of several classes."
            )
        self.logits, self.labels = cut.logits, labels
        self.width = network.layer(cut.layer).width
        # Without a skip connection, the same row everywhere gives every sample the same answer: two samples stand for all.
        carried = any(isinstance(value, Tensor) for value in cut.carried)
        self.two = None if carried or cut.replayed or network.mixes else network.first_two(cut)

    def baseline_accuracy(self) -> float:
        """Return the accuracy on the activation itself; checks the labels against the classes.

        Raises:
            NmfdiagError: If a label is not a class of the network, or its logits hold NaN or are not one row per sample.
        """
        logits = self.logits
        if self.dtype is not None:
            with self._autocast():
                logits = torch.cat([self.network.resume(piece, piece.activation) for piece in self.pieces])
        if len(logits) != len(self.labels):
            raise NmfdiagError(
                f"The network must return a row of logits for each sample, got {len(logits)} for {len(self.labels)} samples."
            )
        if bool(logits.isnan().any()):
            raise NmfdiagError(
                "The network's logits hold NaN: its weights do, or its activations are too large for it."
            )
        self.labels = check_labels(self.labels, logits.shape[1]).to(logits.device)
        return self._share(logits.argmax(1))

    def accuracy(self, W: Tensor, H: Tensor, offset: Tensor | None = None) -> float:
        """Return the accuracy on ``W H + offset``."""
        return self._share(self._answers(self.pieces, W, H, offset))

    def accuracy_of_row(self, row: Tensor) -> float:
        """Return the accuracy with every row replaced by this one (channels,)."""
        pieces = self.pieces if self.two is None else [self.two]
        rows = sum(piece.activation.numel() // self.width for piece in pieces)
        answers = self._answers(pieces, row.new_ones(rows, 1), row[None], None)
        return self._share(answers if self.two is None else answers[0])

    def _answers(self, pieces: list[Cut], W: Tensor, H: Tensor, offset: Tensor | None) -> Tensor:
        parts = W.split([piece.activation.numel() // self.width for piece in pieces])
        with self._autocast():
            logits = [self.network.resume_factored(piece, w, H, offset) for piece, w in zip(pieces, parts, strict=True)]
        all_logits = torch.cat(logits)
        return all_logits.argmax(1).masked_fill_(all_logits.isnan().any(1), NO_ANSWER)

    def _share(self, answers: Tensor) -> float:
        return int((answers == self.labels).sum()) / len(self.labels)

    def _autocast(self) -> torch.autocast:
        device = self.pieces[0].activation.device.type
        return torch.autocast(device, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None)


def approximations(
    A: Tensor, solution: Factorization | RandomAblation, k: int, operation: str
) -> Iterator[tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor | None]]:
    """Yield W, H and offset of the replacement of A at rank k; random ablation has one per draw."""
    if isinstance(solution, RandomAblation):
        identity = torch.eye(A.shape[1], dtype=A.dtype, device=A.device)
        for mask in solution.masks(k):
            channels = ~mask if operation == "ablate" else mask
            yield A[:, channels], identity[channels]
    elif operation == "ablate":
        yield A, _complement(solution.factors(k)[1]).to(A.dtype)
    else:
        yield *solution.factors(k), solution.offset


def _complement(H: Tensor) -> Tensor:
    """Return the projection (channels, channels) onto the complement of the rows of H (k, channels), in float64."""
    Q, triangle = torch.linalg.qr(H.T.double())
    size = triangle.diagonal().abs()
    if not bool((size > DEPENDENT * triangle.abs().max()).all()):  # the columns of Q then need not span the rows of H
        U, S, _ = torch.linalg.svd(H.T.double(), full_matrices=False)
        Q = U[:, S / S.max() > DEPENDENT]
    return torch.eye(len(Q), dtype=Q.dtype, device=Q.device) - Q @ Q.T
