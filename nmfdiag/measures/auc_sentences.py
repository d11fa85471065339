"""Sentences on AuC by layer and on curves; they state no more than the figures show."""

from collections.abc import Mapping, Sequence

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.stats.summary import SMALLEST_DIFFERENCE, Spread, rank_needed, separating_layers, spread
from nmfdiag.text import join, span


def reading(auc_by_layer: Mapping[str, Spread], phases: Phases) -> str:
    """Return a sentence on one network: its lowest AuC, and where AuC dips, which in a network that generalises it may do, too."""
    text = least_linear(auc_by_layer)
    if phases.clear:
        return f"{text} AuC dips from {span(phases.memorisation)}; from {phases.clustering[0]} on, classes cluster."
    return f"{text} No clear phases: {phases.reason}."


def least_linear(auc_by_layer: Mapping[str, Spread]) -> str:
    """Return a sentence on one network: its lowest AuC."""
    lowest = min(auc_by_layer, key=lambda layer: auc_by_layer[layer].mean)
    return f"{lowest} is the least linear layer: AuC {auc_by_layer[lowest]}."


def comparison(by_noise: Mapping[float, Mapping[str, Spread]]) -> str:
    """Return a sentence on several networks that differ in p: the layers that separate the least from the most noisy one."""
    low, high = min(by_noise), max(by_noise)
    layers = separating_layers(by_noise)
    if not layers:
        return (
            f"No layer separates p = {low:g} from p = {high:g}: none lies lower by two standard errors and by "
            f"{SMALLEST_DIFFERENCE:g}."
        )
    gap = max(layers, key=lambda layer: by_noise[low][layer].mean - by_noise[high][layer].mean)
    return (
        f"{listed(layers, list(by_noise[low]))} separate{'s' if len(layers) == 1 else ''} p = {low:g} from p = {high:g}; "
        f"the widest gap is at {gap}: AuC {by_noise[low][gap]} against {by_noise[high][gap]}."
    )


def robustness(layer: str, by_noise: Mapping[float, Sequence[CompressionCurve]], axis: str = "linear") -> str:
    """Return a sentence on one layer's curves, for one p or several: AuC, and the rank that keeps 90 % of the accuracy."""
    low, high = min(by_noise), max(by_noise)
    auc = {p: spread([curve.auc_over(axis) for curve in by_noise[p]]) for p in (low, high)}
    ranks = {p: rank_needed(by_noise[p]) for p in (low, high)}
    full = max(curve.full_rank for curve in by_noise[low])
    if low == high:
        keeps = f"k = {ranks[low]} of {full} keeps 90 % of the accuracy" if ranks[low] else "no rank keeps 90 %"
        return f"{layer} has AuC {auc[low]}; {keeps}."
    text = f"{layer}: AuC {auc[low]} at p = {low:g}, {auc[high]} at p = {high:g}"
    if ranks[low] and ranks[high]:
        text += f"; to keep 90 % of the accuracy takes k = {ranks[low]} against k = {ranks[high]} of {full}"
    return f"{text}."


def listed(layers: Sequence[str], order: Sequence[str]) -> str:
    """Return layers as runs of neighbours: ``conv1_1 to conv2_1 and conv3_1``."""
    runs: list[list[str]] = []
    for layer in layers:
        if runs and order.index(runs[-1][-1]) + 1 == order.index(layer):
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return join(span(run) for run in runs)
