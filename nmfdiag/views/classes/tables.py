"""What the Classes page draws: one curve a p, layer and class; correlations with test accuracy; their tables."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.stats.correlation import Correlation, correlation
from nmfdiag.views.curve_groups import Curves
from nmfdiag.views.option_names import Reserved
from nmfdiag.views.selection import EACH_CLASS, MULTI, Choice
from nmfdiag.zoo.registry import ZooEntry, known

LOWEST = Reserved("lowest AuC")
POOLED = "pooled within p"
BOOTSTRAP_DRAWS = 1000


@dataclass(frozen=True)
class ClassCurves:
    """One method's single-class curves of the chosen networks.

    Attributes:
        choice: The sidebar's, over each class.
        method: The compression method.
        curves: By p, layer and class.
    """

    choice: Choice
    method: str
    curves: Mapping[float, Mapping[str, Mapping[int, CompressionCurve]]]

    @property
    def names(self) -> tuple[str, ...]:
        """Of every class of the network."""
        return self.choice.networks[0].class_names

    @property
    def classes(self) -> tuple[int, ...]:
        """Those that there are samples of."""
        return self.choice.networks[0].classes

    def network(self, p: float) -> ZooEntry:
        """The network of this p."""
        return next(n for n in self.choice.networks if n.label_noise == p)

    def auc(self, p: float, layer: str) -> dict[int, float]:
        """AuC by class on the chosen rank axis; classes without a curve are missing."""
        at = self.curves.get(p, {}).get(layer, {})
        return {c: at[c].auc_over(self.choice.axis) for c in sorted(at)}

    def test_accuracy(self, p: float) -> tuple[float | None, ...]:
        """Accuracy on the test samples of each true class."""
        return self.network(p).test_accuracy_by_class

    def points(self, layer: str) -> list[tuple[float, int, float, float]]:
        """One (p, class, AuC, test accuracy) for each curve of a layer whose network's test accuracy by class is known."""
        return [
            (p, c, value, test)
            for p in self.curves
            for c, value in self.auc(p, layer).items()
            if c < len(self.test_accuracy(p)) and (test := self.test_accuracy(p)[c]) is not None
        ]


def over_classes(choice: Choice) -> Choice:
    """The same for each class: a map of classes needs them all, whichever the sidebar names."""
    return replace(choice, batch=EACH_CLASS)


def note(choice: Choice) -> str:
    """What is shown in the place of a batch that this page can't use; else empty."""
    if choice.batch != MULTI:
        return ""
    return (
        "This page compares classes, so it needs batches of one class each: it shows these in the place of the multi-class "
        "batch. *k vs accuracy* has the curve of the multi-class batch."
    )


def class_curves(choice: Choice, results: Curves) -> ClassCurves:
    """Group the curves of the method that answers are about, or of another one as long as it has none."""
    methods = {request.method for request in results}
    method = choice.method if choice.method in methods else min(methods)
    found: dict[float, dict[str, dict[int, CompressionCurve]]] = {}
    for request, curve in results.items():
        if request.method == method and request.class_idx != MULTI_CLASS:
            at = found.setdefault(choice.label_noise(request), {}).setdefault(request.layer, {})
            at[request.class_idx] = curve
    return ClassCurves(choice, method, {p: found[p] for p in sorted(found)})


def class_of(wanted: str, found: ClassCurves, p: float) -> int:
    """The class of this name, or that of the lowest AuC at the chosen layer for this p.

    Raises:
        NmfdiagError: If there is no such class.
    """
    if wanted != LOWEST:
        if wanted not in found.choice.names:
            raise NmfdiagError(f"Unknown class {wanted!r}: there are {', '.join(found.choice.names)}.")
        return found.names.index(wanted)
    auc = found.auc(p, found.choice.layer)
    return min(auc, key=auc.__getitem__, default=found.classes[0])


def correlations(found: ClassCurves, layer: str, method: str = "pearson") -> dict[float | str, Correlation]:
    """AuC against test accuracy over the classes of each p (Fisher's interval), and of all p :data:`POOLED`.

    Pooled, every p's own mean is taken off first. The same classes come again with every p, so the interval is that of a
    bootstrap over classes.
    """
    points = found.points(layer)
    of: dict[float | str, Correlation] = {}
    for p in found.curves:
        mine = [point for point in points if point[0] == p]
        of[p] = correlation([auc for *_, auc, _ in mine], [test for *_, test in mine], method=method)
    if len(of) > 1:
        ps, classes, auc, test = zip(*points, strict=True) if points else ((), (), (), ())
        of[POOLED] = correlation(
            auc, test, method=method, groups=ps, interval="bootstrap", clusters=classes, draws=BOOTSTRAP_DRAWS
        )
    return of


def _place(found: ClassCurves, p: float, layer: str, c: int) -> dict[str, Any]:
    return {
        "network": found.network(p).name,
        "p": known(p),
        "layer": layer,
        "class": found.names[c],
        "method": found.method,
    }


def map_table(found: ClassCurves, p: float) -> pd.DataFrame:
    """One row a class and layer of one network: what the map is drawn from."""
    return pd.DataFrame(
        [
            {
                **_place(found, p, layer, c),
                "AuC": curve.auc,
                "AuC over log k": curve.auc_over("log"),
                "baseline accuracy": curve.baseline_accuracy,
                "samples": curve.n_samples,
            }
            for layer in found.choice.layers
            for c, curve in sorted(found.curves.get(p, {}).get(layer, {}).items())
        ]
    )


def point_table(found: ClassCurves, layer: str) -> pd.DataFrame:
    """One row a point of the scatter plot."""
    return pd.DataFrame(
        [
            {
                **_place(found, p, layer, c),
                "rank axis": found.choice.axis,
                "AuC": auc,
                "test accuracy": test,
            }
            for p, c, auc, test in found.points(layer)
        ],
        columns=["network", "p", "layer", "class", "method", "rank axis", "AuC", "test accuracy"],
    )


def correlation_table(found: ClassCurves) -> pd.DataFrame:
    """Every layer: the range of AuC over classes, and both correlations with test accuracy, for each p and pooled."""
    rows = []
    for layer in found.choice.layers:
        pearson, spearman = (correlations(found, layer, method) for method in ("pearson", "spearman"))
        for p, of in pearson.items():
            auc = [value for q, _, value, _ in found.points(layer) if p in (q, POOLED)]
            if auc:
                rows.append(
                    {
                        "layer": layer,
                        "p": p if isinstance(p, str) else f"{p:g}",
                        "least AuC": min(auc),
                        "largest AuC": max(auc),
                        "points": of.n if of.r is not None else len(auc),
                        "Pearson r": of.r,
                        "r from": of.low,
                        "r to": of.high,
                        "Spearman ρ": spearman[p].r,
                        "ρ from": spearman[p].low,
                        "ρ to": spearman[p].high,
                        "undefined because": undefined(of),
                    }
                )
    numbers = ["Pearson r", "r from", "r to", "Spearman ρ", "ρ from", "ρ to"]
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(numbers, float)) if rows else table


def undefined(of: Correlation) -> str:
    """Why there is no correlation, in the words of this page; empty where there is one."""
    return (
        of.reason.replace("x is", "AuC is")
        .replace("y is", "test accuracy is")
        .replace("x and y", "AuC and test accuracy")
    )


def curves_of(choice: Choice, results: Curves, class_idx: int) -> dict[CurveRequest, CompressionCurve]:
    """The curves of one class at the chosen layer, of every p and method."""
    return {r: c for r, c in results.items() if (r.layer, r.class_idx) == (choice.layer, class_idx)}
