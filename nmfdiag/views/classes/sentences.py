"""Sentences of the page *Classes*, with the figures that carry them."""

from collections.abc import Mapping

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.correlation import Correlation
from nmfdiag.plots.theme import LineName, noise_name
from nmfdiag.text import label_text, signed
from nmfdiag.views.classes.tables import POOLED, ClassCurves, correlations, undefined

ONE = 0.995
"""Least value that two decimals show as 1.00."""


def classes_answer(class_curves: ClassCurves, p: float, layer: str, class_idx: int) -> str:
    """Return the AuC of the cell that is framed, and which class is lowest at its layer.

    Args:
        class_curves: The curves.
        p: Of the network on the map.
        layer: The layer of the cell.
        class_idx: The class of the cell.
    """
    auc, subject = class_curves.auc(p, layer), label_text(p)
    if class_idx not in auc:
        return f"No curve of class {class_curves.names[class_idx]} at {layer} with {subject}."
    if min(auc.values()) >= ONE:
        return f"At {layer} one direction is enough for every class with {subject}: earlier layers may tell more."
    lowest = min(auc, key=auc.__getitem__)
    name, lowest_name = class_curves.names[class_idx], class_curves.names[lowest]
    if auc[class_idx] == auc[lowest]:
        return f"Class {name} needs the most directions at {layer} with {subject}: AuC {auc[class_idx]:.2f}."
    return f"Class {name} has AuC {auc[class_idx]:.2f} at {layer} with {subject}; class {lowest_name} is lowest, {auc[lowest]:.2f}."


def correlations_text(class_curves: ClassCurves, p: float, layer: str) -> str:
    """Return whether AuC goes with test accuracy over the classes of one network, and over those of all; empty while curves come."""
    results, auc = correlations(class_curves, layer), list(class_curves.auc(p, layer).values())
    if class_curves.network(p).test_accuracy is None:
        return "This network has no test samples, so there is no test accuracy to compare AuC with."
    has_enough = len(auc) > 2 or len(class_curves.classes) <= 2  # while curves come, a reason would be of no interest
    if p not in results or not has_enough:
        return ""
    pooled = results.get(POOLED)
    suffix = f"; pooled within p, {correlation_text(pooled)}" if pooled and pooled.r is not None else ""
    return f"{_verdict(results[p], layer, auc)}{suffix}."


def correlation_text(correlation: Correlation) -> str:
    """Return ``r = 0.58 (−0.07 to 0.89), n = 10``, or why it is undefined."""
    if correlation.r is None:
        return f"no r, {undefined(correlation)}"
    interval = _interval(correlation)
    return f"r\u00a0=\u00a0{signed(correlation.r)}{interval and f' ({interval})'}, n\u00a0=\u00a0{correlation.n}"


def _interval(correlation: Correlation) -> str:
    if correlation.low is None or correlation.high is None:
        return ""
    return f"{signed(correlation.low)} to {signed(correlation.high)}"


def denoising_text(
    curves: Mapping[float, CompressionCurve], name: str, layer: str, method: str, line_name: LineName = noise_name
) -> str:
    """Return where a class's compressed accuracy beats the uncompressed one, and by how many samples; empty if nowhere.

    Args:
        curves: One class's curve for each p.
        name: The class.
        layer: The layer.
        method: The compression method.
        line_name: Names a network after its p.
    """
    start = f"Class {name} at {layer}: "
    if not curves:
        return f"{start}no curve."
    parts = []
    for p, curve in curves.items():
        best = max(range(len(curve.ranks)), key=curve.accuracy.__getitem__)  # the smallest rank of the best ones
        gain = curve.accuracy[best] - curve.baseline_accuracy
        if gain > 1e-9:
            samples = gain * curve.n_samples
            also = max(curve.zero_accuracy, curve.mean_accuracy) > curve.baseline_accuracy
            parts.append(
                f"{curve.accuracy[best]:.2f} at k = {curve.ranks[best]} against {curve.baseline_accuracy:.2f} "
                f"({line_name(p)}; {samples:.3g} of {curve.n_samples} samples{', but k = 0 beats it too' if also else ''})"
            )
    if parts:
        return f"{start}{METHODS[method].title} denoises, it beats the uncompressed accuracy: {'; '.join(parts)}."
    return ""


def _verdict(correlation: Correlation, layer: str, auc: list[float]) -> str:
    if correlation.r is None:
        is_constant = auc and max(auc) - min(auc) < 0.005
        reason = f"AuC is {auc[0]:.2f} for every class" if is_constant else undefined(correlation)
        return f"At {layer} no correlation with test accuracy is defined: {reason}"
    interval = _interval(correlation)
    figures = (
        f"r\u00a0=\u00a0{signed(correlation.r)} ({interval and f'95 % interval {interval}, '}{correlation.n} classes)"
    )
    if not correlation.clear:
        return f"At {layer} AuC does not clearly go with test accuracy: {figures}"
    return f"At {layer} classes of higher AuC are recognised {'better' if correlation.r > 0 else 'worse'} in the test: {figures}"
