"""Single-class curves of the page *Classes* by p, layer and class, their correlations with test accuracy, and tables."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pandas as pd

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.stats.correlation import Correlation, correlation
from nmfdiag.views.curve_groups import Curves
from nmfdiag.views.option_names import Reserved
from nmfdiag.views.selection import EACH_CLASS, MULTI, Choice
from nmfdiag.zoo.registry import ZooEntry, known_noise

LOWEST = Reserved("lowest AuC")
POOLED = "pooled within p"
BOOTSTRAP_DRAWS = 1000


@dataclass(frozen=True)
class ClassCurves:
    """One method's single-class curves of the chosen networks.

    Attributes:
        choice: The sidebar's choice, over each class.
        method: The compression method.
        curves: By p, layer and class.
    """

    choice: Choice
    method: str
    curves: Mapping[float, Mapping[str, Mapping[int, CompressionCurve]]]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all classes of the network."""
        return self.choice.networks[0].class_names

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes that have samples."""
        return self.choice.networks[0].classes

    def network(self, p: float) -> ZooEntry:
        """Return the network of this p."""
        return next(n for n in self.choice.networks if n.label_noise == p)

    def auc(self, p: float, layer: str) -> dict[int, float]:
        """Return AuC by class on the chosen rank axis, for classes with a curve."""
        by_class = self.curves.get(p, {}).get(layer, {})
        return {c: by_class[c].auc_over(self.choice.axis) for c in sorted(by_class)}

    def test_accuracy(self, p: float) -> tuple[float | None, ...]:
        """Return the accuracy on test samples of each true class."""
        return self.network(p).test_accuracy_by_class

    def points(self, layer: str) -> list[tuple[float, int, float, float]]:
        """Return (p, class, AuC, test accuracy) of each curve of a layer, where the test accuracy by class is known."""
        return [
            (p, c, value, test)
            for p in self.curves
            for c, value in self.auc(p, layer).items()
            if c < len(self.test_accuracy(p)) and (test := self.test_accuracy(p)[c]) is not None
        ]


def over_classes(choice: Choice) -> Choice:
    """Return the same choice over each class: a map of classes needs all of them."""
    return replace(choice, batch=EACH_CLASS)


def note(choice: Choice) -> str:
    """Return what replaces a multi-class batch, which this page can't use; empty for other batches."""
    if choice.batch != MULTI:
        return ""
    return "Classes are compared on batches of one class each, shown here instead of the multi-class batch; its curve is on *k vs accuracy*."


def single_class_curves(choice: Choice, results: Curves) -> ClassCurves:
    """Group the curves of the choice's method, or of another one as long as it has no curve."""
    methods = {request.method for request in results}
    method = choice.method if choice.method in methods else min(methods)
    groups: dict[float, dict[str, dict[int, CompressionCurve]]] = {}
    for request, curve in results.items():
        if request.method == method and request.class_idx != MULTI_CLASS:
            by_class = groups.setdefault(choice.label_noise(request), {}).setdefault(request.layer, {})
            by_class[request.class_idx] = curve
    return ClassCurves(choice, method, {p: groups[p] for p in sorted(groups)})


def class_of(name: str, class_curves: ClassCurves, p: float) -> int:
    """Return the class of this name, or for :data:`LOWEST` that of the lowest AuC at the chosen layer for this p.

    Raises:
        NmfdiagError: If there is no such class.
    """
    if name != LOWEST:
        if name not in class_curves.choice.names:
            raise NmfdiagError(f"Unknown class {name!r} (available: {', '.join(class_curves.choice.names)}).")
        return class_curves.names.index(name)
    auc = class_curves.auc(p, class_curves.choice.layer)
    return min(auc, key=auc.__getitem__, default=class_curves.classes[0])


def correlations(class_curves: ClassCurves, layer: str, method: str = "pearson") -> dict[float | str, Correlation]:
    """Correlate AuC with test accuracy over the classes of each p (Fisher's interval), and of all p :data:`POOLED`.

    Pooled values are less the mean of their p. Every p has the same classes, so the pooled interval is from a bootstrap over
    classes.
    """
    points = class_curves.points(layer)
    results: dict[float | str, Correlation] = {}
    for p in class_curves.curves:
        level = [point for point in points if point[0] == p]
        results[p] = _correlation(tuple(auc for *_, auc, _ in level), tuple(test for *_, test in level), method)
    if len(results) > 1:
        ps, classes, auc, test = zip(*points, strict=True) if points else ((), (), (), ())
        results[POOLED] = _correlation(
            auc, test, method, groups=ps, interval="bootstrap", clusters=classes, draws=BOOTSTRAP_DRAWS
        )
    return results


@lru_cache(maxsize=4096)
def _correlation(auc: tuple[float, ...], test: tuple[float, ...], method: str, **options: Any) -> Correlation:
    """Return a correlation; remembered, because each run of a page needs those of every layer."""
    return correlation(auc, test, method=method, **options)


def _row_start(class_curves: ClassCurves, p: float, layer: str, c: int) -> dict[str, Any]:
    return {
        "network": class_curves.network(p).name,
        "p": known_noise(p),
        "layer": layer,
        "class": class_curves.names[c],
        "method": class_curves.method,
    }


def map_table(class_curves: ClassCurves, p: float) -> pd.DataFrame:
    """Return the values behind the map of one network, one row per class and layer."""
    return pd.DataFrame(
        [
            {
                **_row_start(class_curves, p, layer, c),
                "AuC": curve.auc,
                "AuC over log k": curve.auc_over("log"),
                "baseline accuracy": curve.baseline_accuracy,
                "samples": curve.n_samples,
            }
            for layer in class_curves.choice.layers
            for c, curve in sorted(class_curves.curves.get(p, {}).get(layer, {}).items())
        ]
    )


def point_table(class_curves: ClassCurves, layer: str) -> pd.DataFrame:
    """Return the points of the scatter plot."""
    return pd.DataFrame(
        [
            {
                **_row_start(class_curves, p, layer, c),
                "rank axis": class_curves.choice.axis,
                "AuC": auc,
                "test accuracy": test,
            }
            for p, c, auc, test in class_curves.points(layer)
        ],
        columns=["network", "p", "layer", "class", "method", "rank axis", "AuC", "test accuracy"],
    )


def correlation_table(class_curves: ClassCurves) -> pd.DataFrame:
    """Return, for every layer, each p and pooled: the range of AuC over classes, and both correlations with test accuracy."""
    rows = []
    for layer in class_curves.choice.layers:
        pearson, spearman = (correlations(class_curves, layer, method) for method in ("pearson", "spearman"))
        for p, result in pearson.items():
            auc = [value for q, _, value, _ in class_curves.points(layer) if p in (q, POOLED)]
            if auc:
                rows.append(
                    {
                        "layer": layer,
                        "p": p if isinstance(p, str) else f"{p:g}",
                        "least AuC": min(auc),
                        "largest AuC": max(auc),
                        "points": result.n if result.r is not None else len(auc),
                        "Pearson r": result.r,
                        "r from": result.low,
                        "r to": result.high,
                        "Spearman ρ": spearman[p].r,
                        "ρ from": spearman[p].low,
                        "ρ to": spearman[p].high,
                        "undefined because": undefined(result),
                    }
                )
    numbers = ["Pearson r", "r from", "r to", "Spearman ρ", "ρ from", "ρ to"]
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(numbers, float)) if rows else table


def undefined(correlation: Correlation) -> str:
    """Return why there is no correlation, in the terms of this page; empty where there is one."""
    return (
        correlation.reason.replace("x is", "AuC is")
        .replace("y is", "test accuracy is")
        .replace("x and y", "AuC and test accuracy")
    )


def curves_of(choice: Choice, results: Curves, class_idx: int) -> dict[CurveRequest, CompressionCurve]:
    """Return the curves of one class at the chosen layer, of every p and method."""
    return {r: c for r, c in results.items() if (r.layer, r.class_idx) == (choice.layer, class_idx)}
