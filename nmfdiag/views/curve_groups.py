"""Results of curve requests, grouped by p, layer, class and kind of batch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.stats.summary import Spread, spread
from nmfdiag.views.selection import Choice

Curves = Mapping[CurveRequest, CompressionCurve]
ByNoise = Mapping[float, Mapping[str, Spread]]
"""The spread over batches of a quantity, for each p and layer."""


@dataclass(frozen=True)
class SideSpreads:
    """A quantity by layer of the networks on one side of a comparison.

    Attributes:
        by_method: Its spread, for each method that has curves.
        method: That of the answer.
    """

    by_method: Mapping[str, ByNoise]
    method: str

    @property
    def by_noise(self) -> ByNoise:
        """The spread for the method of the answer."""
        return self.by_method.get(self.method, {})


def curves_at_layer(choice: Choice, results: Curves) -> dict[tuple[float, str], list[CompressionCurve]]:
    """Return the curves of the choice's layer, one per batch, for each (p, method)."""
    groups: dict[tuple[float, str], list[CompressionCurve]] = {}
    for request, curve in own_curves(choice, results).items():
        if request.layer == choice.layer:
            groups.setdefault((choice.label_noise(request), request.method), []).append(curve)
    return dict(sorted(groups.items()))


def main_curves(
    choice: Choice, groups: Mapping[tuple[float, str], list[CompressionCurve]]
) -> dict[float, list[CompressionCurve]]:
    """Return the curves of the answer's method by p."""
    method = main_method(choice, [method for _, method in groups])
    return {p: batch_curves for (p, m), batch_curves in groups.items() if m == method}


def main_method(choice: Choice, methods: Iterable[str]) -> str:
    """Return the method of the answer: the choice's, or the first one that has curves while that has none."""
    available = list(methods)
    return available[0] if available and choice.method not in available else choice.method


def curves_by_class(
    choice: Choice, results: Curves, layer: str
) -> dict[tuple[float, str], dict[int, CompressionCurve]]:
    """Return a layer's curves by class, for each (p, method)."""
    groups: dict[tuple[float, str], dict[int, CompressionCurve]] = {}
    for request, curve in results.items():
        if request.layer == layer:
            groups.setdefault((choice.label_noise(request), request.method), {})[request.class_idx] = curve
    return dict(sorted(groups.items()))


def own_curves(choice: Choice, results: Mapping[Any, Any]) -> dict[CurveRequest, CompressionCurve]:
    """Return the curves of the choice's networks among results of several families and kinds."""
    names = {n.name for n in choice.networks}
    return {r: c for r, c in results.items() if isinstance(r, CurveRequest) and r.entry in names}


def curves_of_family(choice: Choice, results: Curves, *, multi: bool) -> dict[CurveRequest, CompressionCurve]:
    """Return the curves of the choice's networks on multi-class or on single-class batches, from those of several families."""
    return {r: c for r, c in own_curves(choice, results).items() if (r.class_idx == MULTI_CLASS) == multi}


def spreads_by_layer(
    choice: Choice, results: Curves, value: Callable[[CompressionCurve], float], method: str
) -> dict[float, dict[str, Spread]]:
    """Return the spread over batches of a value of one method's curves, for each p and layer."""
    values: dict[float, dict[str, list[float]]] = {}
    for request, curve in own_curves(choice, results).items():
        if request.method == method:
            by_layer = values.setdefault(choice.label_noise(request), {})
            by_layer.setdefault(request.layer, []).append(value(curve))
    return {
        p: {layer: spread(values[p][layer]) for layer in choice.layers if layer in values[p]} for p in sorted(values)
    }


def auc_spreads(
    choice: Choice, results: Curves, area: Callable[[CompressionCurve, str], float] = CompressionCurve.auc_over
) -> dict[str, dict[float, dict[str, Spread]]]:
    """Return the spread over batches of the area under the curve on the chosen axis, for each method, p and layer."""
    by_method = {
        method: spreads_by_layer(choice, results, lambda curve: area(curve, choice.axis), method)
        for method in choice.methods
    }
    return {method: by_noise for method, by_noise in by_method.items() if by_noise}


def spreads_by_side(
    choice: Choice, results: Curves, value: Callable[[CompressionCurve, str], float] = CompressionCurve.auc_over
) -> list[SideSpreads]:
    """Return the spreads of a quantity, that of AuC by default, of each side: the choice's networks, and the one compared with them.

    Args:
        choice: The networks, and their methods.
        results: Curves of both sides.
        value: Returns the quantity from a curve and the rank axis.
    """
    by_side = [auc_spreads(side, results, value) for side in choice.sides]
    return [
        SideSpreads(by_method, main_method(side, by_method))
        for side, by_method in zip(choice.sides, by_side, strict=True)
    ]
