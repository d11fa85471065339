"""What classes say, in plain sentences with the figures that carry them."""

from collections.abc import Mapping

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.correlation import Correlation
from nmfdiag.text import signed
from nmfdiag.views.classes.tables import POOLED, ClassCurves, correlations, undefined

NO_TEST = "the network was added without --test"
ONE = 0.995  # what two decimals show as 1.00


def classes_answer(found: ClassCurves, p: float, layer: str) -> str:
    """Which class is lowest and where, how far the classes spread there, and whether AuC goes with test accuracy at a layer."""
    cells = [(value, at, c) for at in found.choice.layers for c, value in found.auc(p, at).items()]
    start = f"{METHODS[found.method].title}, p = {p:g}: "
    if not cells:
        return f"{start}no curve."
    value, at, c = min(cells)
    if value >= ONE:
        words = "every class has AuC 1.00 at every layer: one direction is enough for each"
    else:
        there = found.auc(p, at).values()
        spread = f", where classes reach up to {max(there):.2f}" if len(there) > 1 else ""
        words = f"class {found.names[c]} has the lowest AuC, {value:.2f} at {at}{spread}"
    words, of, here = f"{start}{words}", correlations(found, layer), list(found.auc(p, layer).values())
    if found.network(p).test_accuracy is None:
        words += f". Without test samples ({NO_TEST}) there is nothing to compare AuC with"
    elif p in of and (len(here) > 2 or len(found.classes) <= 2):  # while curves come, a reason would be of no interest
        words += f". {_verdict(of[p], layer, here)}"
    if POOLED in of and of[POOLED].r is not None:
        pooled = of[POOLED]
        words += f"; pooled within p, {correlation_words(pooled)}"
    return f"{words}."


def correlation_words(of: Correlation) -> str:
    """``r = 0.58 (−0.07 to 0.89), n = 10``, or why there is none."""
    if of.r is None:
        return f"no r, {undefined(of)}"
    ends = f" ({signed(of.low)} to {signed(of.high)})" if of.low is not None and of.high is not None else ""
    return f"r\u00a0=\u00a0{signed(of.r)}{ends}, n\u00a0=\u00a0{of.n}"


def denoising_words(curves: Mapping[float, CompressionCurve], name: str, layer: str, method: str) -> str:
    """Where a class's compressed accuracy beats the uncompressed one, and by how many samples.

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


def _verdict(of: Correlation, layer: str, auc: list[float]) -> str:
    if of.r is None:
        shown = (
            f": AuC is {auc[0]:.2f} for every class" if auc and max(auc) - min(auc) < 0.005 else f": {undefined(of)}"
        )
        return f"At {layer} no correlation with test accuracy is defined{shown}"
    ends = (
        f"95 % interval {signed(of.low)} to {signed(of.high)}, " if of.low is not None and of.high is not None else ""
    )
    figures = f"r\u00a0=\u00a0{signed(of.r)} ({ends}{of.n} classes)"
    if not of.clear:
        return f"At {layer} AuC does not clearly go with test accuracy: {figures}"
    return f"At {layer} classes of higher AuC are recognised {'better' if of.r > 0 else 'worse'} in the test: {figures}"
