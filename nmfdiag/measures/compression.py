"""Replace a layer's activations by rank-k approximations, run the rest of the network, watch the accuracy."""

import platform
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from nmfdiag.data import check_labels
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import Factorization, RandomAblation, activation_matrix, default_ranks, nmf, pca, random_ablation
from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.networks.split import Cut, SplitNetwork, fold, unfold

METHODS = ("nmf", "pca", "random")
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
    tol: float = 1e-4,
    max_iter: int = 200,
    draws: int = 10,
    centered: bool = False,
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
        tol: NMF's stopping tolerance.
        max_iter: NMF's iterations at most.
        draws: Random ablation's draws.
        centered: Whether PCA takes out the mean row first.

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
        {"solver": solver, "tol": tol, "max_iter": max_iter}, draws, centered,
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
    tol: float = 1e-4,
    max_iter: int = 200,
    draws: int = 10,
    centered: bool = False,
) -> CompressionCurve:
    """Compute the opposite curve: the k leading directions are projected out of A, ``A - A Q Q^T``.

    Q is an orthonormal basis of the rows of H; for random ablation k random channels are zeroed. Arguments, result and
    errors are those of :func:`compression_curve`. Centred PCA takes its directions from ``A`` minus the mean row.

    References:
        Collins et al. 2018, figure 7.
    """
    return _curve(
        model, layer, inputs, labels, method, ranks, seed, device, on_progress, "ablate",
        {"solver": solver, "tol": tol, "max_iter": max_iter}, draws, centered,
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
    nmf_options: dict,
    draws: int,
    centered: bool,
) -> CompressionCurve:
    start = time.perf_counter()
    if method not in METHODS:
        raise NmfdiagError(f"Unknown method {method!r}: accepted are {', '.join(METHODS)}.")
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
        logits = network.resume(cut, cut.activation)
        labels = check_labels(labels, logits.shape[1]).to(logits.device)

        def accuracy(X: Tensor) -> float:
            return _tail_accuracy(network, cut, X.to(A.dtype), channel_dim, labels)

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
            approximations = _projected_out(matrix, solved, k) if operation == "ablate" else solved.reconstructions(k)
            scores = [accuracy(X) for X in approximations]
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
            baseline_accuracy=float((logits.argmax(1) == labels).double().mean()),
            zero_accuracy=accuracy(torch.zeros_like(matrix)),
            mean_accuracy=accuracy(matrix.mean(dim=0).expand_as(matrix)),
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
            },
        )


def _projected_out(A: Tensor, solved: Factorization | RandomAblation, k: int) -> Iterator[Tensor]:
    if isinstance(solved, RandomAblation):
        for kept in solved.reconstructions(k):
            yield A - kept
        return
    basis, triangle = torch.linalg.qr(solved.factors(k)[1].T.double())
    spans = triangle.diagonal().abs() > 1e-9 * triangle.abs().max()
    Q = basis[:, spans].to(A.dtype)
    yield A - (A @ Q) @ Q.T


def _tail_accuracy(network: SplitNetwork, cut: Cut, X: Tensor, channel_dim: int, labels: Tensor) -> float:
    logits = network.resume(cut, unfold(X, cut.activation.shape, channel_dim))
    return float((logits.argmax(1) == labels).double().mean())


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
