"""Replace a layer's activations by rank-k approximations, run the rest of the network, and measure the accuracy."""

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict, TypeVar, Unpack

import torch
from torch import Tensor, nn

from nmfdiag.data.samples import as_samples
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import Factorization, RandomAblation, activation_matrix, default_ranks
from nmfdiag.factorize.nmf import TOLERANCES
from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import activations_for, method_of
from nmfdiag.measures.placement import inputs_on, model_on
from nmfdiag.measures.tail import TAIL_DTYPES, Tail, approximations
from nmfdiag.networks.evaluation import plainly
from nmfdiag.networks.matrix_fold import fold
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.provenance import provenance as made_with

OPERATIONS = ("compress", "ablate")
FACTORIZATION_SHARE = 0.8
"""Share of the progress that the factorisation takes; the rest of the network takes what remains."""
STARTS = 2
"""Starts of NMF: with six, the default of :func:`nmfdiag.nmf`, errors are .1 % lower, and AuCs the same but for noise."""

Ranks = Sequence[int] | Callable[[int], Sequence[int]]
F = TypeVar("F", bound=Callable[..., Any])


class CurveOptions(TypedDict, total=False):
    """The options of a curve, described at :func:`compression_curve`; :class:`_Settings` has their defaults."""

    method: str
    ranks: Ranks | None
    seed: int
    solver: str
    tol: float | None
    max_iter: int
    draws: int
    centered: bool
    tail_dtype: str
    activations: str | None
    logits: str | int | None
    channel_dim: int | Mapping[str, int] | None


@dataclass(frozen=True)
class _Settings:
    """The operation and the :class:`CurveOptions` of a curve, checked."""

    operation: str = "compress"
    method: str = "nmf"
    ranks: Ranks | None = None
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
        """Return the ranks for a matrix."""
        ranks = default_ranks if self.ranks is None else self.ranks
        return method_of(self.method).ranks(A, ranks) if callable(ranks) else list(ranks)


def _with_options(function: F) -> F:
    """Show the options with their defaults in the signature of a function that takes :class:`CurveOptions`."""
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters += [
        inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type)
        for option in fields(_Settings)
        if option.name != "operation"
    ]
    function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return function


@_with_options
def compression_curve(
    model: nn.Module | SplitNetwork,
    layer: str,
    inputs: Tensor,
    labels: Tensor | None = None,
    *,
    device: str | None = None,
    on_progress: Progress | None = None,
    **options: Unpack[CurveOptions],
) -> CompressionCurve:
    """Compute the k-vs-accuracy curve of one layer on one batch.

    Args:
        model: The network, or a prepared :class:`SplitNetwork`, which saves tracing it again.
        layer: A name from :func:`nmfdiag.relu_layers`.
        inputs: Training samples (n, ...) as model input; at least two. Any form that
            :func:`nmfdiag.data.samples.as_samples` accepts, such as an array or a DataLoader.
        labels: Their given labels (n,); None if ``inputs`` include them.
        device: Where to compute, such as ``"cuda"``; default is where the model is.
        on_progress: Called with the share done and a short text; may raise to cancel.
        **options: ``method``, ``ranks``, ``seed``, ``solver``, ``tol``, ``max_iter``, ``draws``, ``centered``,
            ``tail_dtype``, ``activations``, ``logits`` and ``channel_dim``, as follows.
        method: ``"nmf"`` (default), ``"pca"``, ``"random"`` (random ablation), or ``"signed"``
            (:func:`nmfdiag.factorize.signed_nmf`, for activations that can be negative; its full rank, and with it the axis of
            AuC, is up to twice that of the others).
        ranks: Ranks, or a function from the full rank to ranks; default is a grid with two ranks per doubling up to the full
            rank, where the curve meets the baseline (for signed NMF a grid up to the full rank of the others, and then its own).
        seed: Seed of the solver and of random ablation; default 0.
        solver: NMF's solver, ``"hals"`` (default) or ``"mu"``.
        tol: NMF's stopping tolerance; default is the solver's own.
        max_iter: NMF's iterations at most; default 200.
        draws: Random ablation's draws; default 10.
        centered: Whether PCA subtracts the mean row first; default False.
        tail_dtype: ``"float32"`` (default) runs the network as it is; ``"bfloat16"`` runs the convolutions and linear layers
            after the layer in bfloat16, faster where the processor supports it, and may change an answer that was a near tie.
        activations: Which layers a model has, ``"relu"`` or ``"all"`` (see :func:`nmfdiag.relu_layers`); default is ``"all"`` for
            ``"signed"``, else ``"relu"``. A :class:`SplitNetwork` has its own.
        logits: Key or index of the logits in the output of a network that returns several tensors; default is to find them by
            the labels.
        channel_dim: Axis of the layer's channels, counted with the batch axis, if it can't be found from the network.

    Returns:
        The curve. The model's mode and the inputs stay as they were.

    Raises:
        NmfdiagError: If the layer is unknown or dead on this batch, the batch has one sample, a label is not a class of the
            network, or an option is out of range.

    References:
        Collins et al. 2018, section 3.2 and figures 2, 3, 8.
    """
    return _one_curve(model, layer, inputs, labels, _Settings("compress", **options), device, on_progress)


def compression_curves(
    model: nn.Module | SplitNetwork,
    layer: str,
    batches: Sequence[tuple[Tensor, Tensor | None]],
    *,
    operation: str = "compress",
    device: str | None = None,
    on_progress: Progress | None = None,
    **options: Unpack[CurveOptions],
) -> list[CompressionCurve | NmfdiagError]:
    """Compute the curves of several batches, such as the classes, at one layer; on a GPU they are factorised in one call.

    Args:
        model: As for :func:`compression_curve`.
        layer: As for :func:`compression_curve`.
        batches: Inputs (n, ...) and given labels (n,) of each.
        operation: ``"compress"``, or ``"ablate"`` for the curves of :func:`ablation_curve`.
        device: As for :func:`compression_curve`.
        on_progress: As for :func:`compression_curve`.
        **options: The other options of :func:`compression_curve`.

    Returns:
        Each batch's curve, or the error that its batch alone would raise.

    Raises:
        NmfdiagError: If an option is out of range, or the layer is unknown.
    """
    return _curves(model, layer, batches, _Settings(operation, **options), device, on_progress)


@_with_options
def ablation_curve(
    model: nn.Module | SplitNetwork,
    layer: str,
    inputs: Tensor,
    labels: Tensor | None = None,
    *,
    device: str | None = None,
    on_progress: Progress | None = None,
    **options: Unpack[CurveOptions],
) -> CompressionCurve:
    """Compute the opposite curve: the k leading directions are projected out of A, ``A - A Q Q^T``.

    Q is an orthonormal basis of the rows of H; for random ablation k random channels are zeroed. Arguments, result and
    errors are those of :func:`compression_curve`. Centred PCA takes its directions from ``A`` minus the mean row.

    References:
        Collins et al. 2018, figure 7.
    """
    return _one_curve(model, layer, inputs, labels, _Settings("ablate", **options), device, on_progress)


@dataclass(frozen=True)
class _Batch:
    """One batch at the layer: its activation matrix, the rest of the network, and the uncompressed accuracy."""

    matrix: Tensor
    tail: Tail
    n_samples: int
    baseline: float


def _one_curve(
    model: nn.Module | SplitNetwork,
    layer: str,
    inputs: Tensor,
    labels: Tensor | None,
    settings: _Settings,
    device: str | None,
    on_progress: Progress | None,
) -> CompressionCurve:
    [answer] = _curves(model, layer, [(inputs, labels)], settings, device, on_progress)
    if isinstance(answer, NmfdiagError):
        raise answer
    return answer


def _curves(
    model: nn.Module | SplitNetwork,
    layer: str,
    batches: Sequence[tuple[Tensor, Tensor | None]],
    settings: _Settings,
    device: str | None,
    on_progress: Progress | None,
) -> list[CompressionCurve | NmfdiagError]:
    start = time.perf_counter()
    report = on_progress or (lambda share, text: None)
    answers: dict[int, CompressionCurve | NmfdiagError] = {}
    prepared_batches: dict[int, _Batch] = {}
    with plainly():
        for i, (inputs, labels) in enumerate(batches):
            try:
                network = model.model if isinstance(model, SplitNetwork) else model
                inputs, labels = as_samples(inputs, labels, network)
                inputs = inputs_on(device, inputs)
                if not isinstance(model, SplitNetwork):
                    layers = settings.activations or activations_for([settings.method])
                    model = SplitNetwork(
                        model_on(device, model), inputs[:2], layers, logits=settings.logits, samples=(inputs, labels),
                        channel_dim=_of_layer(settings.channel_dim, layer),
                    )  # fmt: skip
                prepared_batches[i] = _batch(model, layer, inputs, labels, settings)
            except NmfdiagError as error:
                answers[i] = error
        try:
            solutions = _factorize([batch.matrix for batch in prepared_batches.values()], settings, report)
        except NmfdiagError as error:
            return [answers.get(i, error) for i in range(len(batches))]
        for i, solution in zip(list(prepared_batches), solutions, strict=True):
            batch_share = (1 - FACTORIZATION_SHARE) / len(prepared_batches)
            start_share = FACTORIZATION_SHARE + batch_share * list(prepared_batches).index(i)

            def report_tail(share: float, text: str, first: float = start_share, width: float = batch_share) -> None:
                report(first + width * share, text)

            try:
                answers[i] = _curve_of(layer, prepared_batches[i], solution, settings, report_tail)
            except NmfdiagError as error:
                answers[i] = error
    seconds = round((time.perf_counter() - start) / max(1, len(batches)), 4)
    for answer in answers.values():
        if isinstance(answer, CompressionCurve):
            answer.provenance["seconds"] = seconds
    return [answers[i] for i in range(len(batches))]


def _batch(network: SplitNetwork, layer: str, inputs: Tensor, labels: Tensor, settings: _Settings) -> _Batch:
    cut = network.cut(layer, inputs)
    try:
        matrix = activation_matrix(
            fold(cut.activation, network.layer(layer).channel_dim), non_negative=method_of(settings.method).non_negative
        )
    except NmfdiagError as error:
        raise NmfdiagError(f"Layer {layer!r}: {error}") from None
    tail = Tail(network, cut, labels, TAIL_DTYPES[settings.tail_dtype])
    return _Batch(matrix, tail, len(inputs), tail.baseline_accuracy())


def _factorize(
    matrices: list[Tensor], settings: _Settings, report: Progress
) -> Sequence[Factorization | RandomAblation]:
    """Approximate each matrix at its requested ranks."""
    options = {
        "seed": settings.seed,
        "draws": settings.draws,
        "centered": settings.centered,
        **settings.nmf_options,
    }
    grids = [settings.grid(A) for A in matrices]

    def report_share(share: float, text: str) -> None:
        report(FACTORIZATION_SHARE * share, text)

    return method_of(settings.method).solve(matrices, grids, options, report_share)


def _curve_of(
    layer: str,
    batch: _Batch,
    solution: Factorization | RandomAblation,
    settings: _Settings,
    report: Progress,
) -> CompressionCurve:
    matrix, tail = batch.matrix, batch.tail
    accuracies = []
    for i, k in enumerate(solution.ranks):
        if settings.operation == "compress" and k == solution.full_rank:
            accuracies.append(batch.baseline)  # the approximation is A itself
        else:
            scores = [tail.accuracy(*factors) for factors in approximations(matrix, solution, k, settings.operation)]
            accuracies.append(sum(scores) / len(scores))
        report((i + 1) / len(solution.ranks), f"accuracy at rank {k}")
    return CompressionCurve(
        layer=layer,
        method=settings.method,
        ranks=solution.ranks,
        accuracy=accuracies,
        relative_error=solution.relative_error,
        absolute_error=solution.absolute_error,
        converged=solution.converged,
        baseline_accuracy=batch.baseline,
        zero_accuracy=tail.accuracy_of_row(torch.zeros_like(matrix[0])),
        mean_accuracy=tail.accuracy_of_row(matrix.mean(dim=0)),
        full_rank=solution.full_rank,
        shape=(matrix.shape[0], matrix.shape[1]),
        n_samples=batch.n_samples,
        operation=settings.operation,
        provenance={
            **made_with("torch", "threads", "processor", device=str(matrix.device)),
            "n_iter": solution.n_iter,
            "seed": settings.seed,
            **(settings.nmf_options if method_of(settings.method).iterative else {}),
            **({"tail_dtype": settings.tail_dtype} if settings.tail_dtype != "float32" else {}),
        },
    )


def _of_layer(channel_dim: int | Mapping[str, int] | None, layer: str) -> Mapping[str, int] | None:
    """Return the axis of the channels of this layer only."""
    return {layer: channel_dim} if isinstance(channel_dim, int) else channel_dim
