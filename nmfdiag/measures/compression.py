"""Replace a layer's activations by rank-k approximations, run the rest of the network, watch the accuracy."""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nmfdiag.data import check_labels
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import Factorization, RandomAblation, activation_matrix, default_ranks, nmf, pca, random_ablation
from nmfdiag.factorize.nmf import TOLERANCES
from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.networks.folding import fold
from nmfdiag.networks.split import Cut, SplitNetwork

METHODS = ("nmf", "pca", "random")
TAIL_DTYPES = {"float32": None, "bfloat16": torch.bfloat16}
FACTORIZATION_SHARE = 0.8


def compression_curve(
    model: nn.Module | SplitNetwork,
    layer: str,
    inputs: Tensor,
    labels: Tensor,
    *,
    method: str = "nmf",
    ranks: Sequence[int] | Callable[[int], Sequence[int]] | None = None,
    seed: int = 0,
    device: str | None = None,
    on_progress: Progress | None = None,
    solver: str = "hals",
    tol: float | None = None,
    max_iter: int = 200,
    draws: int = 10,
    centered: bool = False,
    tail_dtype: str = "float32",
) -> CompressionCurve:
    """Compute the k-vs-accuracy curve of one layer on one batch.

    Args:
        model: The network, or one already prepared as a :class:`SplitNetwork` (saves tracing it again).
        layer: A name from :func:`nmfdiag.relu_layers`.
        inputs: Training samples (n, ...), as the network takes them; at least two.
        labels: Their given labels (n,).
        method: ``"nmf"``, ``"pca"`` or ``"random"`` (random ablation).
        ranks: Ranks, or a function that takes the full rank and gives them; default is a grid with two ranks a doubling
            up to the full rank, where the curve meets the baseline.
        seed: Seeds the solver and random ablation.
        device: Where to compute, such as ``"cuda"``; default is where the model is.
        on_progress: Called with the share done and a few words; may raise to cancel.
        solver: NMF's, ``"hals"`` or ``"mu"``.
        tol: NMF's stopping tolerance; default is the solver's own.
        max_iter: NMF's iterations at most.
        draws: Random ablation's draws.
        centered: Whether PCA takes out the mean row first.
        tail_dtype: ``"float32"`` runs the network as it is; ``"bfloat16"`` runs the convolutions and linear layers after
            the layer in bfloat16, faster where the processor has it, and may turn an answer that was a near tie.

    Returns:
        The curve. The model's mode and the inputs are left as they were.

    Raises:
        NmfdiagError: If the layer is unknown or dead on this batch, the batch has one sample, a label is no class of the
            network, or an option is out of range.

    References:
        Collins et al. 2018, section 3.2 and figures 2, 3, 8.
    """
    return _curve(
        model, layer, inputs, labels, method, ranks, seed, device, on_progress, "compress",
        _nmf_options(solver, tol, max_iter), draws, centered, tail_dtype,
    )  # fmt: skip


def ablation_curve(
    model: nn.Module | SplitNetwork,
    layer: str,
    inputs: Tensor,
    labels: Tensor,
    *,
    method: str = "nmf",
    ranks: Sequence[int] | Callable[[int], Sequence[int]] | None = None,
    seed: int = 0,
    device: str | None = None,
    on_progress: Progress | None = None,
    solver: str = "hals",
    tol: float | None = None,
    max_iter: int = 200,
    draws: int = 10,
    centered: bool = False,
    tail_dtype: str = "float32",
) -> CompressionCurve:
    """Compute the opposite curve: the k leading directions are projected out of A, ``A - A Q Q^T``.

    Q is an orthonormal basis of the rows of H; for random ablation k random channels are zeroed. Arguments, result and
    errors are those of :func:`compression_curve`. Centred PCA takes its directions from ``A`` minus the mean row.

    References:
        Collins et al. 2018, figure 7.
    """
    return _curve(
        model, layer, inputs, labels, method, ranks, seed, device, on_progress, "ablate",
        _nmf_options(solver, tol, max_iter), draws, centered, tail_dtype,
    )  # fmt: skip


def _curve(
    model: nn.Module | SplitNetwork,
    layer: str,
    inputs: Tensor,
    labels: Tensor,
    method: str,
    ranks: Sequence[int] | Callable[[int], Sequence[int]] | None,
    seed: int,
    device: str | None,
    on_progress: Progress | None,
    operation: str,
    nmf_options: dict[str, Any],
    draws: int,
    centered: bool,
    tail_dtype: str,
) -> CompressionCurve:
    start = time.perf_counter()
    if method not in METHODS:
        raise NmfdiagError(f"Unknown method {method!r}: accepted are {', '.join(METHODS)}.")
    if tail_dtype not in TAIL_DTYPES:
        raise NmfdiagError(f"Unknown tail_dtype {tail_dtype!r}: accepted are {', '.join(TAIL_DTYPES)}.")
    inputs, labels = _checked_batch(inputs, labels, device)
    network = model if isinstance(model, SplitNetwork) else SplitNetwork(_placed(model, device), inputs[:2])
    report = on_progress or (lambda done, words: None)

    with torch.no_grad():
        cut = network.cut(layer, inputs)
        channel_dim = network.layer(layer).channel_dim
        A = fold(cut.activation, channel_dim)
        try:
            matrix = activation_matrix(A)
        except NmfdiagError as error:
            raise NmfdiagError(f"Layer {layer!r}: {error}") from None
        tail = _Tail(network, cut, labels, TAIL_DTYPES[tail_dtype])
        baseline = tail.baseline_accuracy()

        full_rank = matrix.shape[1] if method == "random" else min(matrix.shape)
        chosen = default_ranks if ranks is None else ranks
        grid = list(chosen(full_rank) if callable(chosen) else chosen)
        solved: Factorization | RandomAblation
        if method == "nmf":
            solved = nmf(
                matrix, grid, seed=seed, **nmf_options,
                on_progress=lambda done, words: report(FACTORIZATION_SHARE * done, words),
            )  # fmt: skip
        elif method == "pca":
            solved = pca(matrix, grid, centered=centered)
        else:
            solved = random_ablation(matrix, grid, draws=draws, seed=seed)

        accuracies = []
        for i, k in enumerate(solved.ranks):
            if operation == "compress" and k == solved.full_rank:
                accuracies.append(baseline)  # there the approximation is A itself
            else:
                scores = [tail.accuracy(*factors) for factors in _factors(matrix, solved, k, operation)]
                accuracies.append(sum(scores) / len(scores))
            report(
                FACTORIZATION_SHARE + (1 - FACTORIZATION_SHARE) * (i + 1) / len(solved.ranks), f"accuracy at rank {k}"
            )
        return CompressionCurve(
            layer=layer,
            method=method,
            ranks=solved.ranks,
            accuracy=accuracies,
            relative_error=solved.relative_error,
            absolute_error=solved.absolute_error,
            converged=solved.converged,
            baseline_accuracy=baseline,
            zero_accuracy=tail.accuracy_of_row(torch.zeros_like(matrix[0])),
            mean_accuracy=tail.accuracy_of_row(matrix.mean(dim=0)),
            full_rank=full_rank,
            shape=(matrix.shape[0], matrix.shape[1]),
            n_samples=len(inputs),
            operation=operation,
            provenance={
                "torch": torch.__version__,
                "device": str(matrix.device),
                "threads": torch.get_num_threads(),
                "processor": platform.processor() or platform.machine(),
                "seconds": round(time.perf_counter() - start, 4),
                "n_iter": solved.n_iter,
                "seed": seed,
                **(nmf_options if method == "nmf" else {}),
                **({"tail_dtype": tail_dtype} if tail_dtype != "float32" else {}),
            },
        )


class _Tail:
    """The network after one cut: from factors of the layer's activation to the share of samples put right."""

    def __init__(self, network: SplitNetwork, cut: Cut, labels: Tensor, dtype: torch.dtype | None):
        self.network, self.pieces, self.dtype = network, network.pieces(cut), dtype
        self.rows = cut.activation[0].numel() // network.layer(cut.layer).width
        # Without a skip connection, one row everywhere gives every sample the same answer: two stand for all.
        self.alike = self.pieces if cut.carried else [Cut(cut.layer, cut.activation[:2], ())]
        self.labels = labels

    def baseline_accuracy(self) -> float:
        """Accuracy on the activation itself; checks the labels against the classes."""
        with self._autocast():
            logits = torch.cat([self.network.resume(piece, piece.activation) for piece in self.pieces])
        self.labels = check_labels(self.labels, logits.shape[1]).to(logits.device)
        return self._share(logits.argmax(1))

    def accuracy(self, W: Tensor, H: Tensor, offset: Tensor | None = None) -> float:
        """Accuracy on ``W H + offset``."""
        return self._share(self._answers(self.pieces, W, H, offset))

    def accuracy_of_row(self, row: Tensor) -> float:
        """Accuracy where every row is the one given (channels,)."""
        n = sum(len(piece.activation) for piece in self.alike)
        answers = self._answers(self.alike, row.new_ones(n * self.rows, 1), row[None], None)
        return self._share(answers if len(answers) == len(self.labels) else answers[0])

    def _answers(self, pieces: list[Cut], W: Tensor, H: Tensor, offset: Tensor | None) -> Tensor:
        parts = W.split([len(piece.activation) * self.rows for piece in pieces])
        with self._autocast():
            logits = [self.network.resume_factored(piece, w, H, offset) for piece, w in zip(pieces, parts, strict=True)]
        return torch.cat(logits).argmax(1)

    def _share(self, answers: Tensor) -> float:
        return int((answers == self.labels).sum()) / len(self.labels)

    def _autocast(self) -> torch.autocast:
        device = self.pieces[0].activation.device.type
        return torch.autocast(device, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None)


def _factors(
    A: Tensor, solved: Factorization | RandomAblation, k: int, operation: str
) -> Iterator[tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor | None]]:
    """W, H and offset of what is put in the place of A at rank k (random ablation has one a draw)."""
    if isinstance(solved, RandomAblation):
        identity = torch.eye(A.shape[1], dtype=A.dtype, device=A.device)
        for mask in solved.masks(k):
            kept = ~mask if operation == "ablate" else mask
            yield A[:, kept], identity[kept]
    elif operation == "ablate":
        yield A, _complement(solved.factors(k)[1]).to(A.dtype)
    else:
        yield *solved.factors(k), solved.offset


def _complement(H: Tensor) -> Tensor:
    """The projection (channels, channels) onto what is orthogonal to the rows of H (k, channels), in float64."""
    basis, triangle = torch.linalg.qr(H.T.double())
    Q = basis[:, triangle.diagonal().abs() > 1e-9 * triangle.abs().max()]
    return torch.eye(len(Q), dtype=Q.dtype, device=Q.device) - Q @ Q.T


def _checked_batch(inputs: Tensor, labels: Tensor, device: str | None) -> tuple[Tensor, Tensor]:
    inputs, labels = torch.as_tensor(inputs), torch.as_tensor(labels)
    if len(inputs) != len(labels):
        raise NmfdiagError(f"There are {len(inputs)} inputs but {len(labels)} labels.")
    if len(inputs) < 2:
        raise NmfdiagError(f"A batch needs at least 2 samples, got {len(inputs)}.")
    if inputs.is_floating_point() and not bool(torch.isfinite(inputs).all()):
        raise NmfdiagError("The inputs hold NaN or infinite values: only finite ones are accepted.")
    return inputs.to(device), labels


def _placed(model: nn.Module, device: str | None) -> nn.Module:
    """The model on the device asked for: itself if it is there, else a copy (the caller's stays where it is)."""
    parameter = next(model.parameters(), None)
    if device is None or parameter is None or parameter.device.type == torch.device(device).type:
        return model
    import copy

    return copy.deepcopy(model).to(device)


def _nmf_options(solver: str, tol: float | None, max_iter: int) -> dict[str, Any]:
    return {"solver": solver, "tol": TOLERANCES.get(solver) if tol is None else tol, "max_iter": max_iter}
