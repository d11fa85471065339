"""Replace a layer's activations by rank-k approximations, run the rest of the network, watch the accuracy."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nmfdiag.data.samples import as_samples
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import (
    Factorization,
    RandomAblation,
    activation_matrix,
    default_ranks,
)
from nmfdiag.factorize.nmf import TOLERANCES
from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import activations_for, method_of
from nmfdiag.measures.tail import TAIL_DTYPES, Tail, approximations
from nmfdiag.networks.evaluation import plainly
from nmfdiag.networks.fold import fold
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.provenance import provenance as made_with

OPERATIONS = ("compress", "ablate")
FACTORIZATION_SHARE = 0.8
DEVICES = 'Accepted are "cpu", "cuda" where PyTorch has one, and None, which leaves the network where it is.'
STARTS = 2
"""Starts of NMF: with six, the default of :func:`nmfdiag.nmf`, errors are .1 % lower, and AuCs the same but for noise."""


def compression_curve(
    model: nn.Module | SplitNetwork,
    layer: str,
    inputs: Tensor,
    labels: Tensor | None = None,
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
    activations: str | None = None,
    logits: str | int | None = None,
    channel_dim: int | Mapping[str, int] | None = None,
) -> CompressionCurve:
    """Compute the k-vs-accuracy curve of one layer on one batch.

    Args:
        model: The network, or one already prepared as a :class:`SplitNetwork` (saves tracing it again).
        layer: A name from :func:`nmfdiag.relu_layers`.
        inputs: Training samples (n, ...), as the network takes them; at least two. Any form that
            :func:`nmfdiag.data.samples.as_samples` takes, such as an array or a DataLoader.
        labels: Their given labels (n,); None where ``inputs`` bring them.
        method: ``"nmf"``, ``"pca"``, ``"random"`` (random ablation), or ``"signed"`` (:func:`nmfdiag.factorize.signed_nmf`, for
            activations that can be negative; its full rank, and with it the axis of AuC, is up to twice that of the others).
        ranks: Ranks, or a function that takes the full rank and gives them; default is a grid with two ranks a doubling
            up to the full rank, where the curve meets the baseline (of signed NMF a grid up to the full rank of the others, and
            then its own).
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
        activations: Which layers a model has, ``"relu"`` or ``"all"`` (see :func:`nmfdiag.relu_layers`); default is ``"all"`` for
            ``"signed"``, else ``"relu"``. A :class:`SplitNetwork` has its own.
        logits: Key or index of the logits, of a network that returns several tensors; default is to choose them by the labels.
        channel_dim: Axis of the layer's channels, counted with the batch axis, where it can't be told from the network.

    Returns:
        The curve. The model's mode and the inputs are left as they were.

    Raises:
        NmfdiagError: If the layer is unknown or dead on this batch, the batch has one sample, a label is no class of the
            network, or an option is out of range.

    References:
        Collins et al. 2018, section 3.2 and figures 2, 3, 8.
    """
    question = _Question(
        "compress",
        method,
        ranks,
        seed,
        solver,
        tol,
        max_iter,
        draws,
        centered,
        tail_dtype,
        activations,
        logits,
        channel_dim,
    )
    return _one_curve(model, layer, inputs, labels, question, device, on_progress)


def compression_curves(
    model: nn.Module | SplitNetwork,
    layer: str,
    batches: Sequence[tuple[Tensor, Tensor | None]],
    *,
    device: str | None = None,
    on_progress: Progress | None = None,
    **options: Any,
) -> list[CompressionCurve | NmfdiagError]:
    """Compute the curves of several batches, such as the classes, at one layer; on a GPU they are factorised in one call.

    Args:
        model: As :func:`compression_curve` takes it.
        layer: As :func:`compression_curve` takes it.
        batches: Inputs (n, ...) and given labels (n,) of each.
        device: As :func:`compression_curve` takes it.
        on_progress: As :func:`compression_curve` takes it.
        **options: Its other options; and ``operation="ablate"`` for what :func:`ablation_curve` computes.

    Returns:
        Each batch's curve, or the error that its batch alone would have raised.

    Raises:
        NmfdiagError: If an option is out of range, or the layer is unknown.
    """
    return _curves(model, layer, batches, _Question(**options), device, on_progress)


def ablation_curve(
    model: nn.Module | SplitNetwork,
    layer: str,
    inputs: Tensor,
    labels: Tensor | None = None,
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
    activations: str | None = None,
    logits: str | int | None = None,
    channel_dim: int | Mapping[str, int] | None = None,
) -> CompressionCurve:
    """Compute the opposite curve: the k leading directions are projected out of A, ``A - A Q Q^T``.

    Q is an orthonormal basis of the rows of H; for random ablation k random channels are zeroed. Arguments, result and
    errors are those of :func:`compression_curve`. Centred PCA takes its directions from ``A`` minus the mean row.

    References:
        Collins et al. 2018, figure 7.
    """
    question = _Question(
        "ablate",
        method,
        ranks,
        seed,
        solver,
        tol,
        max_iter,
        draws,
        centered,
        tail_dtype,
        activations,
        logits,
        channel_dim,
    )
    return _one_curve(model, layer, inputs, labels, question, device, on_progress)


@dataclass(frozen=True)
class _Question:
    """What is asked of every batch; the fields are arguments of :func:`compression_curve`."""

    operation: str = "compress"
    method: str = "nmf"
    ranks: Sequence[int] | Callable[[int], Sequence[int]] | None = None
    seed: int = 0
    solver: str = "hals"
    tol: float | None = None
    max_iter: int = 200
    draws: int = 10
    centered: bool = False
    tail_dtype: str = "float32"
    activations: str | None = None
    logits: str | int | None = None
    channel_dim: int | Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise NmfdiagError(f"Unknown operation {self.operation!r}: accepted are {', '.join(OPERATIONS)}.")
        method_of(self.method)
        if self.tail_dtype not in TAIL_DTYPES:
            raise NmfdiagError(f"Unknown tail_dtype {self.tail_dtype!r}: accepted are {', '.join(TAIL_DTYPES)}.")

    @property
    def nmf_options(self) -> dict[str, Any]:
        tol = TOLERANCES.get(self.solver) if self.tol is None else self.tol
        return {"solver": self.solver, "tol": tol, "max_iter": self.max_iter, "n_starts": STARTS}

    def grid(self, A: Tensor) -> list[int]:
        """The ranks for a matrix."""
        chosen = default_ranks if self.ranks is None else self.ranks
        return method_of(self.method).ranks(A, chosen) if callable(chosen) else list(chosen)


@dataclass(frozen=True)
class _Batch:
    """One batch at the layer: its activation matrix and what the rest of the network makes of it."""

    matrix: Tensor
    tail: Tail
    n_samples: int
    baseline: float


def _one_curve(
    model: nn.Module | SplitNetwork,
    layer: str,
    inputs: Tensor,
    labels: Tensor | None,
    question: _Question,
    device: str | None,
    on_progress: Progress | None,
) -> CompressionCurve:
    [answer] = _curves(model, layer, [(inputs, labels)], question, device, on_progress)
    if isinstance(answer, NmfdiagError):
        raise answer
    return answer


def _curves(
    model: nn.Module | SplitNetwork,
    layer: str,
    batches: Sequence[tuple[Tensor, Tensor | None]],
    question: _Question,
    device: str | None,
    on_progress: Progress | None,
) -> list[CompressionCurve | NmfdiagError]:
    start = time.perf_counter()
    report = on_progress or (lambda done, words: None)
    answers: dict[int, CompressionCurve | NmfdiagError] = {}
    ready: dict[int, _Batch] = {}
    with plainly():
        for i, (inputs, labels) in enumerate(batches):
            try:
                network = model.model if isinstance(model, SplitNetwork) else model
                inputs, labels = as_samples(inputs, labels, network)
                inputs = _on(device, inputs)
                if not isinstance(model, SplitNetwork):
                    layers = question.activations or activations_for([question.method])
                    model = SplitNetwork(
                        _placed(model, device), inputs[:2], layers, logits=question.logits, samples=(inputs, labels),
                        channel_dim=_of_layer(question.channel_dim, layer),
                    )  # fmt: skip
                ready[i] = _batch(model, layer, inputs, labels, question)
            except NmfdiagError as error:
                answers[i] = error
        try:
            solved = _factorized([batch.matrix for batch in ready.values()], question, report)
        except NmfdiagError as error:
            return [answers.get(i, error) for i in range(len(batches))]
        for i, one in zip(list(ready), solved, strict=True):
            share = (1 - FACTORIZATION_SHARE) / len(ready)
            before = FACTORIZATION_SHARE + share * list(ready).index(i)

            def report_tail(done: float, words: str, before: float = before, share: float = share) -> None:
                report(before + share * done, words)

            try:
                answers[i] = _answer(layer, ready[i], one, question, report_tail)
            except NmfdiagError as error:
                answers[i] = error
    seconds = round((time.perf_counter() - start) / max(1, len(batches)), 4)
    for answer in answers.values():
        if isinstance(answer, CompressionCurve):
            answer.provenance["seconds"] = seconds
    return [answers[i] for i in range(len(batches))]


def _batch(network: SplitNetwork, layer: str, inputs: Tensor, labels: Tensor, question: _Question) -> _Batch:
    cut = network.cut(layer, inputs)
    try:
        matrix = activation_matrix(
            fold(cut.activation, network.layer(layer).channel_dim), non_negative=method_of(question.method).non_negative
        )
    except NmfdiagError as error:
        raise NmfdiagError(f"Layer {layer!r}: {error}") from None
    tail = Tail(network, cut, labels, TAIL_DTYPES[question.tail_dtype])
    return _Batch(matrix, tail, len(inputs), tail.baseline_accuracy())


def _factorized(
    matrices: list[Tensor], question: _Question, report: Progress
) -> Sequence[Factorization | RandomAblation]:
    """Approximate each matrix at the ranks asked for."""
    options = {
        "seed": question.seed,
        "draws": question.draws,
        "centered": question.centered,
        **question.nmf_options,
    }
    grids = [question.grid(A) for A in matrices]

    def report_share(done: float, words: str) -> None:
        report(FACTORIZATION_SHARE * done, words)

    return method_of(question.method).solve(matrices, grids, options, report_share)


def _answer(
    layer: str,
    batch: _Batch,
    solved: Factorization | RandomAblation,
    question: _Question,
    report: Progress,
) -> CompressionCurve:
    matrix, tail = batch.matrix, batch.tail
    accuracies = []
    for i, k in enumerate(solved.ranks):
        if question.operation == "compress" and k == solved.full_rank:
            accuracies.append(batch.baseline)  # there the approximation is A itself
        else:
            scores = [tail.accuracy(*factors) for factors in approximations(matrix, solved, k, question.operation)]
            accuracies.append(sum(scores) / len(scores))
        report((i + 1) / len(solved.ranks), f"accuracy at rank {k}")
    return CompressionCurve(
        layer=layer,
        method=question.method,
        ranks=solved.ranks,
        accuracy=accuracies,
        relative_error=solved.relative_error,
        absolute_error=solved.absolute_error,
        converged=solved.converged,
        baseline_accuracy=batch.baseline,
        zero_accuracy=tail.accuracy_of_row(torch.zeros_like(matrix[0])),
        mean_accuracy=tail.accuracy_of_row(matrix.mean(dim=0)),
        full_rank=solved.full_rank,
        shape=(matrix.shape[0], matrix.shape[1]),
        n_samples=batch.n_samples,
        operation=question.operation,
        provenance={
            **made_with("torch", "threads", "processor", device=str(matrix.device)),
            "n_iter": solved.n_iter,
            "seed": question.seed,
            **(question.nmf_options if method_of(question.method).iterative else {}),
            **({"tail_dtype": question.tail_dtype} if question.tail_dtype != "float32" else {}),
        },
    )


def _of_layer(channel_dim: int | Mapping[str, int] | None, layer: str) -> Mapping[str, int] | None:
    """The axis of the channels of one layer, and no other's."""
    return {layer: channel_dim} if isinstance(channel_dim, int) else channel_dim


def _on(device: str | None, inputs: Tensor) -> Tensor:
    """Inputs on the device asked for."""
    try:
        placed = inputs.to(device)
    except Exception as error:  # by device and build of PyTorch, of any type
        raise NmfdiagError(f"device={device!r} can't be used here: {_first_line(error)} {DEVICES}") from error
    if placed.is_meta:
        raise NmfdiagError(f"device={device!r} keeps no values to compute with. {DEVICES}")
    return placed


def _placed(model: nn.Module, device: str | None) -> nn.Module:
    """The model on the device asked for: itself if it is there, else a copy (the caller's stays where it is)."""
    parameter = next(model.parameters(), None)
    if device is None or parameter is None or parameter.device.type == torch.device(device).type:
        return model
    try:
        return copy.deepcopy(model).to(device)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # what a network holds that can't be copied is not in our hands
        raise NmfdiagError(
            f"{type(model).__name__} can't be copied to device={device!r}: {_first_line(error)} Give it on that device already."
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{lines[0].rstrip('.')}."
