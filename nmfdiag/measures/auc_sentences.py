"""Sentences on AuC by layer and on curves; they state no more than the figures show."""

from collections.abc import Callable, Mapping, Sequence

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.stats.summary import Spread, clearly_above, rank_needed, separating_layers, spread
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


def compared_robustness(curves_by_name: Mapping[str, tuple[str, Sequence[CompressionCurve]]]) -> str:
    """Return a sentence on one layer of each of several networks: the rank that keeps 90 % of their accuracy.

    Args:
        curves_by_name: For each network the layer and its curves.
    """
    layers = {layer for layer, _ in curves_by_name.values()}
    parts = []
    for name, (layer, curves) in curves_by_name.items():
        rank, full = rank_needed(curves), max(curve.full_rank for curve in curves)
        place = f" at {layer}" if len(layers) > 1 else ""
        parts.append(
            f"{name} needs {rank} of {full} directions{place}"
            if rank
            else f"no number of directions is enough for {name}{place}"
        )
    place = "" if len(layers) > 1 else f" at {layers.pop()}"
    return f"To keep 90 % of its accuracy{place}, {join(parts)}."


def compared_auc(auc_by_name: Mapping[str, Mapping[str, Spread]]) -> str:
    """Return a sentence on AuC by layer of several networks: of two with the same layers those at which it clearly differs, else the lowest."""
    (first, by_layer), *_, (second, second_by_layer) = auc_by_name.items()
    if len(auc_by_name) > 2 or list(by_layer) != list(second_by_layer):
        return f"AuC is lowest {_extremes(auc_by_name, min, '.2f')}."
    gaps = {layer: second_by_layer[layer].mean - by_layer[layer].mean for layer in by_layer}
    lower = [layer for layer in by_layer if clearly_above(by_layer[layer], second_by_layer[layer])]
    higher = [layer for layer in by_layer if clearly_above(second_by_layer[layer], by_layer[layer])]
    if not lower and not higher:
        return f"AuC of {second} does not clearly differ from that of {first} at any layer."
    widest = max((*lower, *higher), key=lambda layer: abs(gaps[layer]))
    parts = [
        f"clearly {word} at {listed(layers, list(by_layer))}"
        for word, layers in (("lower", lower), ("higher", higher))
        if layers
    ]
    return f"AuC of {second} is {join(parts)} than that of {first}; the widest gap is {abs(gaps[widest]):.2f}, at {widest}."


def largest_error(method_title: str, k: int, kind: str, by_noise: Mapping[float, Mapping[str, Spread]]) -> str:
    """Return a sentence on the layer with the largest error of rank k at the highest p: its error there, and at the lowest p.

    Args:
        method_title: Title of the method.
        k: The rank.
        kind: ``"relative"`` or ``"raw"``.
        by_noise: The error by layer, for each p.
    """
    low, high = min(by_noise), max(by_noise)
    layer = max(by_noise[high], key=lambda name: by_noise[high][name].mean)
    if not by_noise[high][layer].mean:
        return f"{method_title} with k = {k} rebuilds every layer exactly: none has a higher full rank."
    text = f"{method_title} with k = {k} misses most at {layer}: {kind} error {by_noise[high][layer].mean:.2g}"
    if low == high:
        return f"{text}."
    lower = f", {by_noise[low][layer].mean:.2g} with {label_text(low)}" if layer in by_noise[low] else ""
    return f"{text} with {label_text(high)}{lower}."


def compared_errors(
    k: int, kind: str, has_equal_ranks: bool, errors_by_name: Mapping[str, Mapping[str, Spread]]
) -> str:
    """Return a sentence on the error of rank k by layer of several networks: the layers at which it is largest.

    Args:
        k: The rank.
        kind: ``"relative"`` or ``"raw"``.
        has_equal_ranks: Whether the full ranks of the networks' layers are the same.
        errors_by_name: For each network the error by layer.
    """
    inexact = {name: errors for name, errors in errors_by_name.items() if any(e.mean for e in errors.values())}
    exact = [name for name in errors_by_name if name not in inexact]
    parts = [f"is largest {_extremes(inexact, max, '.2g')}"] if inexact else []
    parts += [f"is 0 in {join(exact)}, where k reaches every layer's full rank"] if exact else []
    sentences = [f"The {kind} error at k = {k} {' and '.join(parts)}."]
    if not has_equal_ranks:
        sentences.append("Full ranks differ, and a narrower layer needs a smaller k.")
    if kind == "raw":
        sentences.append("Raw errors follow the scale of the activations: only relative ones compare networks.")
    return " ".join(sentences)


def _extremes(values_by_name: Mapping[str, Mapping[str, Spread]], extreme: Callable[..., str], digits: str) -> str:
    """Return the layer of each network at which a value is lowest or highest, and the value."""
    layers = {name: extreme(values, key=lambda layer: values[layer].mean) for name, values in values_by_name.items()}
    return join(f"at {layer} in {name} ({values_by_name[name][layer].mean:{digits}})" for name, layer in layers.items())


def listed(layers: Sequence[str], order: Sequence[str]) -> str:
    """Return layers as runs of neighbours: ``conv1_1 to conv2_1 and conv3_1``."""
    runs: list[list[str]] = []
    for layer in layers:
        if runs and order.index(runs[-1][-1]) + 1 == order.index(layer):
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return join(span(run) for run in runs)
