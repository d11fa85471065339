"""Whole curves: factorisation and accuracy at every rank, ours against the naive way.

The naive way is the first that comes to mind: multiplicative updates rank by rank, and for each rank a run of the whole network,
with the layer's output replaced by a forward hook.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from nmfdiag.bench.bench_network import Say
from nmfdiag.bench.cases import Options, grid, load_subject, rank_text
from nmfdiag.bench.peers import OURS, warm_up
from nmfdiag.bench.table import Row, Section
from nmfdiag.data.probe import single_class_batches
from nmfdiag.factorize import default_ranks, nmf
from nmfdiag.jobs.timer import Timing, interleaved
from nmfdiag.measures.auc import auc
from nmfdiag.measures.compression import compression_curve
from nmfdiag.networks.matrix_fold import fold, unfold
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.zoo.registry import lookup

PROFILED, PER_CLASS = "fashion_mnist-cnn-p0-s0", 50
QUICK_PROFILED_LAYERS, QUICK_PROFILED_CLASSES = 2, 1


@dataclass(frozen=True)
class Points:
    """A k-vs-accuracy curve: ranks, accuracy and convergence at each, and ``||A - W H|| / ||A||``."""

    ranks: Sequence[int]
    accuracy: Sequence[float]
    converged: Sequence[bool]
    relative_error: Sequence[float]


def naive_curve(model: nn.Module, layer: str, images: Tensor, labels: Tensor, ranks: Sequence[int] | None) -> Points:
    """Compute the curve of a layer, whose path in the model is its name, the naive way.

    Args:
        model: The network in evaluation mode.
        layer: Path of a module whose output is a ReLU's.
        images: (n, c, h, w).
        labels: (n,).
        ranks: The ranks; None for the default grid of the layer.
    """
    module = model.get_submodule(layer)
    activation: list[Tensor] = []
    accuracies, converged, errors = [], [], []
    with torch.inference_mode():
        _with_hook(module, activation.append, lambda: model(images))
        shape, dim = activation[0].shape, 1
        A = fold(activation[0], dim).contiguous()
        grid_ranks = default_ranks(min(A.shape)) if ranks is None else list(ranks)
        for k in grid_ranks:
            solution = nmf(A, [k], solver="mu")
            approximation = unfold(solution.reconstruct(k), shape, dim)
            logits = _with_hook(module, partial(_replace_output, approximation), lambda: model(images))
            accuracies.append(float((logits.argmax(1).cpu() == labels.cpu()).double().mean()))
            converged += solution.converged
            errors += solution.relative_error
    return Points(grid_ranks, accuracies, converged, errors)


def our_curve(network: SplitNetwork, layer: str, images: Tensor, labels: Tensor, ranks: Sequence[int] | None) -> Points:
    """Compute the same curve our way."""
    curve = compression_curve(network, layer, images, labels, ranks=ranks)
    return Points(curve.ranks, curve.accuracy, curve.converged, curve.relative_error)


def auc_difference(a: Points, b: Points) -> float:
    """Return AuC of a minus that of b over the ranks at which both converged; NaN for fewer than two such ranks."""
    common = [i for i in range(len(a.ranks)) if a.converged[i] and b.converged[i]]
    if len(common) < 2:
        return float("nan")
    ranks = [a.ranks[i] for i in common]
    return auc(ranks, [a.accuracy[i] for i in common]) - auc(ranks, [b.accuracy[i] for i in common])


def curves_section(options: Options, say: Say) -> Section:
    """Time a curve of every layer of the benchmark's network, then a full profile of one zoo network."""
    subject = load_subject(options, say)
    network = SplitNetwork(subject.model, subject.batches[0][0][:2])
    warm_up((OURS, "dff_mu"), options.device)
    parts = []
    for layer in subject.layers:
        images, labels = subject.batches[0]
        A = fold(network.cut(layer, images).activation, network.layer(layer).channel_dim)
        ranks = grid(min(A.shape), options.quick)
        say(f"curve of {layer}: {len(ranks)} ranks, {options.repeats} times")
        case = replace(_row(options, f"curve {layer}", ranks), rows=A.shape[0], channels=A.shape[1])
        parts.append(_compare_ways(case, network, subject.model, [(layer, images, labels)], ranks, options))
    parts.append(profile(options, say))
    return Section(
        [row for part in parts for row in part.rows], {k: v for part in parts for k, v in part.facts.items()}
    )


def profile(options: Options, say: Say) -> Section:
    """Time all layers and classes of a zoo network on the layers' default grids, both ways."""
    entry = lookup(PROFILED)
    model, pool = entry.load_model().to(options.device), entry.load_pool()
    network = SplitNetwork(model, pool.inputs[:2].to(options.device))
    batches = single_class_batches(pool.inputs, pool.given_labels, size=PER_CLASS)
    layers = [layer.name for layer in network.layers]
    if options.quick:
        batches, layers = batches[:QUICK_PROFILED_CLASSES], layers[-QUICK_PROFILED_LAYERS:]
    say(f"profile of {entry.name}: {len(layers)} layers, {len(batches)} classes, {options.repeats} times")
    tasks = [(layer, b.inputs.to(options.device), b.given_labels) for b in batches for layer in layers]
    row = _row(options, f"profile {entry.name}", ())
    row = replace(row, note=f"{len(layers)} layers, {len(batches)} classes of {PER_CLASS}, default ranks")
    return _compare_ways(row, network, model, tasks, None, options)


def _row(options: Options, case: str, ranks: Sequence[int]) -> Row:
    return Row("curves", options.device, case, n_ranks=len(ranks), ranks=rank_text(ranks))


def _compare_ways(
    row: Row,
    network: SplitNetwork,
    model: nn.Module,
    tasks: Sequence[tuple[str, Tensor, Tensor]],
    ranks: Sequence[int] | None,
    options: Options,
) -> Section:
    """Time a list of curves both ways, curve by curve in turn, and compare their AuC."""
    points_by_way: dict[str, list[Points]] = {"ours": [], "naive": []}
    total: dict[str, Timing] = {}
    for layer, images, labels in tasks:
        ways = {
            "ours": partial(our_curve, network, layer, images, labels, ranks),
            "naive": partial(naive_curve, model, layer, images, labels, ranks),
        }
        timings = interleaved(
            ways, options.repeats, device=options.device, inspect=lambda way, points: points_by_way[way].append(points)
        )
        total = {way: total[way] + timing if total else timing for way, timing in timings.items()}
    differences = [auc_difference(a, b) for a, b in zip(points_by_way["ours"], points_by_way["naive"], strict=True)]
    agreement, facts = _agreement(row.case, [task[0] for task in tasks], differences)
    rows = [
        replace(
            row,
            solver=way,
            mean_relative_error=mean(e for points in points_by_way[way] for e in points.relative_error),
            note="; ".join(filter(None, (row.note, agreement))),
            **total[way].columns(),
        )
        for way in points_by_way
    ]
    return Section(rows, facts)


def _agreement(case: str, layers: Sequence[str], differences: Sequence[float]) -> tuple[str, dict[str, float]]:
    """Return the largest differences of AuC between the two ways, for a layer's mean over classes and for one curve, as text and facts."""
    defined = [(layer, d) for layer, d in zip(layers, differences, strict=True) if d == d]
    if not defined:
        return "no curve has two ranks at which both converged", {}
    by_layer = [abs(mean(d for name, d in defined if name == layer)) for layer in dict.fromkeys(n for n, _ in defined)]
    largest = max(abs(d) for _, d in defined)
    text = (
        f"AuC differs by {max(by_layer):.4f} at most for a layer's mean, {largest:.4f} for one of {len(defined)} curves"
    )
    return text, {f"AuC difference of layers: {case}": max(by_layer), f"AuC difference of curves: {case}": largest}


def _replace_output(X: Tensor, _output: Tensor) -> Tensor:
    return X


def _with_hook(module: nn.Module, see: Callable[[Tensor], Any], run: Callable[[], Any]) -> Any:
    handle = module.register_forward_hook(lambda _module, _inputs, out: see(out))
    try:
        return run()
    finally:
        handle.remove()
