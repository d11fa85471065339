"""Curves -> tables, for the screen and for CSV."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import pandas as pd

from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest, RuntimeRequest, RuntimeResult
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.stats.summary import Spread, mean_curve
from nmfdiag.zoo.registry import ZooEntry, known_noise


def data_table(results: Mapping[Any, Any], zoo: Mapping[str, ZooEntry]) -> pd.DataFrame:
    """Return the values behind a plot, for any kind of results."""
    return (curve_table if next(iter(results)).unit == "curves" else runtime_table)(results, zoo)


def runtime_table(
    results: Mapping[RuntimeRequest, RuntimeResult], zoo: Mapping[str, ZooEntry], *, traces: bool = True
) -> pd.DataFrame:
    """Return one row per timed call; with ``traces``, one per measurement of the error where it was followed."""
    rows = []
    for request, timed in results.items():
        if not timed.wall_seconds:
            continue
        row = {
            "network": request.entry,
            "p": known_noise(zoo[request.entry].label_noise),
            "layer": request.layer,
            "class": "multi-class" if request.class_idx == MULTI_CLASS else request.class_idx,
            "device": timed.provenance.get("device"),
            "threads": request.threads,
            "solver": request.solver,
            "rows": timed.rows,
            "channels": timed.channels,
            "k": "all in one call" if request.rank == 0 else str(request.rank),
            "seconds": timed.seconds,
            "least": min(timed.wall_seconds),
            "most": max(timed.wall_seconds),
            "CPU seconds": median(timed.cpu_seconds),
            "repeats": len(timed.wall_seconds),
            "relative error": sum(timed.relative_error) / len(timed.relative_error),
            "iterations": sum(timed.n_iter),
            "converged": all(timed.converged),
        }
        if timed.trace and traces:
            rows += [
                row | {"seconds": t, "least": low, "most": high, "relative error": error} | {"iterations": None}
                for t, low, high, error in timed.trace
            ]
        else:
            rows.append(row)
    return pd.DataFrame(rows)


def curve_table(results: Mapping[CurveRequest, CompressionCurve], zoo: Mapping[str, ZooEntry]) -> pd.DataFrame:
    """Return the values behind the plots, one row per curve and rank."""
    return pd.DataFrame(
        [
            {
                **_names(request, zoo),
                "operation": curve.operation,
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


def profile_table(results: Mapping[CurveRequest, CompressionCurve], zoo: Mapping[str, ZooEntry]) -> pd.DataFrame:
    """Return one row per curve: its areas, its accuracies without directions, and the network's accuracies."""
    return pd.DataFrame(
        [
            {
                **_names(request, zoo),
                "samples": curve.n_samples,
                "auc": curve.auc,
                "auc_log": curve.auc_over("log"),
                "relative_error_at_8": curve.error_near(8),
                "baseline_accuracy": curve.baseline_accuracy,
                "zero_accuracy": curve.zero_accuracy,
                "mean_accuracy": curve.mean_accuracy,
                "converged": all(curve.converged),
                "train_accuracy": zoo[request.entry].train_accuracy,
                "test_accuracy": zoo[request.entry].test_accuracy,
            }
            for request, curve in results.items()
        ]
    )


def auc_table(results: Mapping[CurveRequest, CompressionCurve], zoo: Mapping[str, ZooEntry]) -> pd.DataFrame:
    """Return AuC by p, layer and method: mean and standard error over batches, over linear and over logarithmic k.

    Networks of several recipes or users have a column that names them, since they are not repetitions of each other.
    """
    rows = [
        {
            **_names(request, zoo),
            "network": _family(zoo[request.entry]),
            "auc": curve.auc,
            "auc_log": curve.auc_over("log"),
            "zero": curve.zero_accuracy,
            "baseline": curve.baseline_accuracy,
        }
        for request, curve in results.items()
    ]
    if not rows:
        return pd.DataFrame()
    several = len({row["network"] for row in rows}) > 1
    names = [*(["network"] if several else []), "p", "layer", "method"]
    grouped = pd.DataFrame(rows).groupby(names, sort=False, dropna=False)  # p is None where it is unknown
    table = grouped.agg(
        **{
            "AuC": ("auc", "mean"),
            "± (standard error)": ("auc", "sem"),
            "AuC over log k": ("auc_log", "mean"),
            "accuracy at k = 0": ("zero", "mean"),
            "baseline accuracy": ("baseline", "mean"),
            "batches": ("auc", "size"),
        }
    )
    return table.reset_index()


def accuracy_table(groups: Mapping[tuple[float, str], Sequence[CompressionCurve]]) -> pd.DataFrame:
    """Return accuracy and errors by p, method and rank: means over batches, as they are drawn, with their standard errors."""
    quantities = {"accuracy": "accuracy", "relative error": "relative_error", "raw error": "absolute_error"}
    rows = []
    for (p, method), curves in groups.items():
        means = {title: mean_curve(curves, field) for title, field in quantities.items()}
        for k, first in means["accuracy"].items():
            row: dict[str, object] = {"p": known_noise(p), "method": method, "k": k}
            for title, by_rank in means.items():
                row |= {title: by_rank[k].mean, f"{title}, standard error": by_rank[k].sem}
            rows.append(row | {"batches": first.n})
    return pd.DataFrame(rows)


def _family(entry: ZooEntry) -> str:
    """Return what networks share that differ in p and seed alone; a user's network is a family of one."""
    return entry.called or f"{entry.recipe.dataset}-{entry.recipe.arch}"


def _names(request: CurveRequest, zoo: Mapping[str, ZooEntry]) -> dict[str, object]:
    recipe = zoo[request.entry].recipe
    return {
        "network": request.entry,
        "p": known_noise(zoo[request.entry].label_noise),
        "seed": recipe.seed,
        "layer": request.layer,
        "class": "multi-class" if request.class_idx == MULTI_CLASS else request.class_idx,
        "method": request.method,
    }


def network_table(networks: Sequence[ZooEntry]) -> pd.DataFrame:
    """Return accuracies in [0, 1], size and epochs of each network."""
    return pd.DataFrame(
        [
            {
                "p": known_noise(n.label_noise),
                "train accuracy (given labels)": n.train_accuracy,
                "test accuracy": n.test_accuracy,
                "generalisation gap": n.generalization_error,
                "parameters": n.n_parameters,
                "training samples": n.recipe.n_train or None,
                "epochs": len(n.log),
                "name": n.name,
            }
            for n in networks
        ]
    )


def error_table(by_noise: Mapping[float, Mapping[str, Spread]]) -> pd.DataFrame:
    """Return the error by p and layer, with its standard error over batches."""
    return pd.DataFrame(
        [
            {"p": known_noise(p), "layer": layer, "error": s.mean, "± (standard error)": s.sem, "batches": s.n}
            for p, by_layer in by_noise.items()
            for layer, s in by_layer.items()
        ]
    )
