"""Sentences on AuC by layer and on curves; they state no more than the figures show."""

from collections.abc import Mapping, Sequence

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.stats.summary import Spread, rank_needed, separating_layers, spread
from nmfdiag.text import join, label_text, span

FEW_CLASSES = 3
"""Classes below which error bars over classes rest on too few."""


def few_classes_text(n_classes: int) -> str:
    """Return what fewer than :data:`FEW_CLASSES` classes mean for error bars over them."""
    if n_classes == 1:
        return "With one class there are no error bars over classes."
    return f"With {n_classes} classes, error bars over classes are rough."


def reading(auc_by_layer: Mapping[str, Spread], phases: Phases) -> str:
    """Return a sentence on one network: its lowest AuC, and where AuC dips, which in a network that generalises it may do, too."""
    text = least_linear(auc_by_layer)
    if phases.clear:
        return f"{text} AuC dips from {span(phases.memorisation)}; from {phases.clustering[0]} on, classes cluster."
    return f"{text} No clear phases: {phases.reason}."


def least_linear(auc_by_layer: Mapping[str, Spread]) -> str:
    """Return a sentence on one network: its lowest AuC."""
    lowest = min(auc_by_layer, key=lambda layer: auc_by_layer[layer].mean)
    return f"{lowest} is the least linear layer: AuC {auc_by_layer[lowest].mean:.2f}."


def comparison(by_noise: Mapping[float, Mapping[str, Spread]]) -> str:
    """Return a sentence on several networks that differ in p: the layers that separate the least from the most noisy one."""
    low, high = min(by_noise), max(by_noise)
    layers = separating_layers(by_noise)
    if not layers:
        return f"No layer tells {label_text(low)} from {label_text(high)}."
    gap = max(layers, key=lambda layer: by_noise[low][layer].mean - by_noise[high][layer].mean)
    return (
        f"{listed(layers, list(by_noise[low]))} tell{'s' if len(layers) == 1 else ''} {label_text(low)} from {label_text(high)}; "
        f"the widest gap is at {gap}, where AuC is {by_noise[low][gap].mean - by_noise[high][gap].mean:.2f} lower."
    )


def robustness(layer: str, by_noise: Mapping[float, Sequence[CompressionCurve]], axis: str = "linear") -> str:
    """Return a sentence on one layer's curves, for one p or several: the rank that keeps 90 % of the accuracy, else AuC."""
    low, high = min(by_noise), max(by_noise)
    ranks = {p: rank_needed(by_noise[p]) for p in (low, high)}
    full = max(curve.full_rank for curve in by_noise[low])
    if low == high:
        if ranks[low]:
            return f"At {layer}, {ranks[low]} of {full} directions keep 90 % of the accuracy."
        return f"At {layer}, no number of directions keeps 90 % of the accuracy."
    if ranks[low] and ranks[high]:
        return (
            f"At {layer}, {ranks[low]} of {full} directions keep 90 % of the accuracy with {label_text(low)}, {ranks[high]} with "
            f"{label_text(high)}."
        )
    auc = {p: spread([curve.auc_over(axis) for curve in by_noise[p]]).mean for p in (low, high)}
    return f"At {layer}, AuC is {auc[low]:.2f} with {label_text(low)}, {auc[high]:.2f} with {label_text(high)}."


def listed(layers: Sequence[str], order: Sequence[str]) -> str:
    """Return layers as runs of neighbours: ``conv1_1 to conv2_1 and conv3_1``."""
    runs: list[list[str]] = []
    for layer in layers:
        if runs and order.index(runs[-1][-1]) + 1 == order.index(layer):
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return join(span(run) for run in runs)
