"""Curves -> tables, for the screen and for CSV."""

from collections.abc import Mapping

import pandas as pd

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.runs.request import MULTI_CLASS, CurveRequest
from nmfdiag.zoo.registry import ZooEntry


def curve_table(results: Mapping[CurveRequest, CompressionCurve], zoo: Mapping[str, ZooEntry]) -> pd.DataFrame:
    """One row a rank of every curve: all that the plots are drawn from."""
    return pd.DataFrame(
        [
            {
                **_names(request, zoo),
                "k": k,
                "accuracy": accuracy,
                "relative_error": relative,
                "absolute_error": absolute,
                "converged": converged,
                "baseline_accuracy": curve.baseline_accuracy,
                "zero_accuracy": curve.zero_accuracy,
                "mean_accuracy": curve.mean_accuracy,
                "n_samples": curve.n_samples,
            }
            for request, curve in results.items()
            for k, accuracy, relative, absolute, converged in zip(
                curve.ranks, curve.accuracy, curve.relative_error, curve.absolute_error, curve.converged, strict=True
            )
        ]
    )


def auc_table(results: Mapping[CurveRequest, CompressionCurve], zoo: Mapping[str, ZooEntry]) -> pd.DataFrame:
    """AuC by p, layer and method: mean and standard deviation over classes, on a linear and on a logarithmic rank axis."""
    rows = [
        {**_names(request, zoo), "auc": curve.auc, "auc_log": curve.auc_over("log"), "at k = 0": curve.zero_accuracy}
        for request, curve in results.items()
    ]
    columns = ["p", "layer", "method"]
    grouped = pd.DataFrame(rows).groupby(columns, sort=False)
    table = grouped.agg(
        auc=("auc", "mean"), sd=("auc", "std"), auc_log=("auc_log", "mean"), at_rank_0=("at k = 0", "mean"),
        batches=("auc", "size"),
    )  # fmt: skip
    return table.reset_index()


def _names(request: CurveRequest, zoo: Mapping[str, ZooEntry]) -> dict[str, object]:
    recipe = zoo[request.entry].recipe
    return {
        "network": request.entry,
        "p": recipe.label_noise,
        "seed": recipe.seed,
        "layer": request.layer,
        "class": "multi-class" if request.class_idx == MULTI_CLASS else request.class_idx,
        "method": request.method,
    }
