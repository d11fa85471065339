"""Sentences of the page *Classes*, with the figures that carry them."""

from collections.abc import Mapping

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.correlation import Correlation
from nmfdiag.text import signed
from nmfdiag.views.classes.tables import POOLED, ClassCurves, correlations, undefined

NO_TEST = "the network was added without --test"
ONE = 0.995
"""Least value that two decimals show as 1.00."""


def classes_answer(class_curves: ClassCurves, p: float, layer: str) -> str:
    """Return the class and layer of the lowest AuC, the spread of classes there, and the correlation with test accuracy at a layer."""
    choice, method = class_curves.choice, METHODS[class_curves.method].title
    cells = [(value, name, c) for name in choice.layers for c, value in class_curves.auc(p, name).items()]
    if not cells:
        return f"{method}, p = {p:g}: no curve."
    value, lowest_layer, c = min(cells)
    sentence = f"{method}, p = {p:g}: "
    if value >= ONE:
        sentence += "every class has AuC 1.00 at every layer: one direction is enough for each"
    else:
        values = class_curves.auc(p, lowest_layer).values()
        reach = f", where classes reach up to {max(values):.2f}" if len(values) > 1 else ""
        sentence += f"class {class_curves.names[c]} has the lowest AuC, {value:.2f} at {lowest_layer}{reach}"
    results, auc = correlations(class_curves, layer), list(class_curves.auc(p, layer).values())
    has_enough = len(auc) > 2 or len(class_curves.classes) <= 2  # while curves come, a reason would be of no interest
    if class_curves.network(p).test_accuracy is None:
        sentence += f". Without test samples ({NO_TEST}) there is nothing to compare AuC with"
    elif p in results and has_enough:
        sentence += f". {_verdict(results[p], layer, auc)}"
    pooled = results.get(POOLED)
    if pooled and pooled.r is not None:
        sentence += f"; pooled within p, {correlation_text(pooled)}"
    return f"{sentence}."


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


def denoising_text(curves: Mapping[float, CompressionCurve], name: str, layer: str, method: str) -> str:
    """Return where a class's compressed accuracy beats the uncompressed one, and by how many samples.

    Args:
        curves: One class's curve for each p.
        name: The class.
        layer: The layer.
        method: The compression method.
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
                f"{curve.accuracy[best]:.2f} at k = {curve.ranks[best]} against {curve.baseline_accuracy:.2f} at p = {p:g} "
                f"({samples:.3g} of {curve.n_samples} samples{', but k = 0 beats it too' if also else ''})"
            )
    if parts:
        return f"{start}{METHODS[method].title} denoises, it beats the uncompressed accuracy: {'; '.join(parts)}."
    baselines = [curve.baseline_accuracy for curve in curves.values()]
    if min(baselines) >= ONE:
        return f"{start}the uncompressed accuracy is 1.00, which no compression can beat."
    listed = ", ".join(f"{curve.baseline_accuracy:.2f} at p = {p:g}" for p, curve in curves.items())
    return f"{start}no rank beats the uncompressed accuracy ({listed})."


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
