"""Accuracy with k directions of a layer removed (figure 7): figures, table and sentences, which follow the curves on the screen."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from nmfdiag.measures.ablation import ByClass, ablation_auc, ablation_spread, cost
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.summary import Spread, clearly_above, mean_curve, spread
from nmfdiag.plots.theme import (
    LOG_ZERO,
    LineName,
    add_band,
    add_convergence_key,
    add_layer_line,
    add_line_keys,
    all_converged,
    colour_of,
    convergence_markers,
    marker_of,
    noise_name,
    set_layer_axis,
    set_layout,
    set_rank_axis,
)
from nmfdiag.text import label_text
from nmfdiag.views.curve_groups import Curves, curves_by_class
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import known_noise

COMPACT = 340
BEYOND = " beyond what random channels do"

LayerCurves = Mapping[tuple[float, str], ByClass]
"""A layer's curves by class, for each (p, method)."""


def ablation_figure(
    curves: LayerCurves, *, layer: str, axis: str, batch: str, line_name: LineName = noise_name
) -> go.Figure:
    """Draw accuracy over the number of directions removed: the mean over classes with a band of one standard error.

    Args:
        curves: The layer's curves.
        layer: The layer, for the title.
        axis: ``"linear"`` or ``"log"`` numbers of directions.
        batch: The batches as text, for the title.
        line_name: Names a network's lines after its p.
    """
    figure = go.Figure()
    methods = {method for _, method in curves}
    has_small = False
    for (p, method), by_class in curves.items():
        accuracy = accuracy_without(by_class)
        x = [LOG_ZERO if k == 0 and axis == "log" else k for k in accuracy]
        name = f"{line_name(p)}, {METHODS[method].removed}" if len(methods) > 1 else line_name(p)
        converged = [all_converged(list(by_class.values()), k) for k in accuracy]
        has_small |= not all(converged)
        add_band(figure, x, list(accuracy.values()), p, len(curves))
        figure.add_scatter(
            x=x, y=[s.mean for s in accuracy.values()], name=name, legendgroup=line_name(p), mode="lines+markers",
            line={"color": colour_of(p), "dash": METHODS[method].dash, "width": 2},
            marker=convergence_markers(marker_of(p), converged),
            customdata=[[k, s.sem, s.n] for k, s in accuracy.items()],
            hovertemplate=f"{name}<br>%{{customdata[0]}} removed<br>accuracy %{{y:.3f}} ± %{{customdata[1]:.3f}} "
            "(%{customdata[2]} batches)<extra></extra>",
        )  # fmt: skip
    add_line_keys(figure, curves, line_name, is_removed=True)
    add_convergence_key(figure, has_small)
    widest = max(curve.shape[1] for by_class in curves.values() for curve in by_class.values())
    set_rank_axis(figure, widest, axis, zero=True)
    figure.update_xaxes(title="directions removed, k (0: the network as it is)")
    figure.update_yaxes(title="accuracy on given labels", range=[-0.03, 1.05])
    return set_layout(figure, f"Accuracy without k directions at {layer}", batch)


def accuracy_without(by_class: ByClass) -> dict[int, Spread]:
    """Return mean accuracy by the number of directions removed, from none (the baseline) to all channels."""
    curves = list(by_class.values())
    channels = max(curve.shape[1] for curve in curves)
    measured_ranks = {k: accuracy for k, accuracy in mean_curve(curves).items() if k <= channels}  # signed NMF has more
    full = {channels: spread([curve.zero_accuracy for curve in curves])}
    baseline = {0: spread([curve.baseline_accuracy for curve in curves])}
    return baseline | dict(sorted((full | measured_ranks).items()))


def ablation_auc_figure(
    by_method: Mapping[str, Mapping[float, Mapping[str, Spread]]],
    layers: Sequence[str],
    *,
    axis: str,
    batch: str,
    line_name: LineName = noise_name,
) -> go.Figure:
    """Draw the area under those curves by layer: low where the removed directions are needed."""
    figure = go.Figure()
    for method, by_noise in by_method.items():
        for p, by_layer in by_noise.items():
            removed, n_lines = METHODS[method].removed, len(by_method) * len(by_noise)
            add_layer_line(
                figure, by_layer, p, line_name(p), "AuC", dash=METHODS[method].dash, method=removed, n_lines=n_lines
            )
    lines = [(p, method) for method, by_noise in by_method.items() for p in by_noise]
    add_line_keys(figure, lines, line_name, is_removed=True)
    set_layer_axis(figure, layers)
    figure.update_yaxes(title=f"AuC over {'log k' if axis == 'log' else 'k'} removed", range=[0, 1.05])
    return set_layout(figure, "AuC with directions removed, by layer", batch).update_layout(height=COMPACT)


def ablation_table(choice: Choice, results: Curves) -> pd.DataFrame:
    """Return AuC without directions by layer, method and p: mean and standard error over batches, over linear and log k."""
    rows = []
    for layer in choice.layers:
        for (p, method), by_class in curves_by_class(choice, results, layer).items():
            curves = list(by_class.values())
            auc = ablation_spread(by_class)
            rows.append(
                {
                    "p": known_noise(p),
                    "layer": layer,
                    "removed": METHODS[method].removed,
                    "AuC": auc.mean,
                    "± (standard error)": auc.sem,
                    "AuC over log k": spread([ablation_auc(c, "log") for c in curves]).mean,
                    "none removed": spread([c.baseline_accuracy for c in curves]).mean,
                    "all removed": spread([c.zero_accuracy for c in curves]).mean,
                    "batches": len(curves),
                }
            )
    return pd.DataFrame(rows)


def without_table(curves: LayerCurves) -> pd.DataFrame:
    """Return accuracy by p, method and number of directions removed: mean and standard error over classes, as drawn."""
    return pd.DataFrame(
        [
            {"p": known_noise(p), "removed": METHODS[method].removed, "k": k, "accuracy": s.mean, "standard error": s.sem, "batches": s.n}
            for (p, method), by_class in curves.items()
            for k, s in accuracy_without(by_class).items()
        ]
    )  # fmt: skip


def ablation_answer(layer: str, curves: LayerCurves, axis: str = "linear") -> str:
    """Return which of the least and the most noisy network removing directions hurts more, or that there is no difference.

    Of several methods it is the leading directions that count, beyond what random channels do.

    Args:
        layer: The layer's name.
        curves: Its curves.
        axis: The axis of the areas.
    """
    method = next((m for m in ("nmf", "signed", "pca", "random") if _curves_of_method(m, curves)), None)
    if method is None:
        return f"No curve of {layer} to answer with."
    by_noise, verdict = _curves_of_method(method, curves), _verdict(method, curves, axis)
    low, high = _extreme_levels(curves, method)
    removed = METHODS[method].removed
    if not verdict:
        return f"Without {removed} of {layer}, AuC is {ablation_spread(by_noise[low], axis).mean:.2f} with {label_text(low)}."
    beyond = BEYOND if _costs(method, curves, axis) else ""
    if _is_borrowed(method, curves, verdict, axis):
        return f"No difference: without {removed} of {layer} both networks do alike; only removing random channels tells them apart."
    if verdict == "alike":
        networks = f"the networks with {label_text(low)} and {label_text(high)}"
        return f"No difference: removing {removed} of {layer} hurts {networks} about equally{beyond}."
    hurt = low if verdict == "low" else high
    return f"Removing {removed} of {layer} hurts the network with {label_text(hurt)} more{beyond}."


def ablation_by_layer(by_layer: Mapping[str, LayerCurves], axis: str = "linear") -> str:
    """Count the layers at which the least or the most noisy network is clearly hurt more; empty for a single p."""
    parts, low, high = [], 0.0, 1.0
    for method, record in METHODS.items():
        verdicts = {layer: v for layer, curves in by_layer.items() if (v := _verdict(method, curves, axis))}
        if not verdicts:
            continue
        low, high = _extreme_levels({key for curves in by_layer.values() for key in curves}, method)
        real = {
            layer: "alike" if _is_borrowed(method, by_layer[layer], verdict, axis) else verdict
            for layer, verdict in verdicts.items()
        }
        counts = {verdict: list(real.values()).count(verdict) for verdict in ("low", "high")}
        beyond = BEYOND if any(_costs(method, by_layer[layer], axis) for layer in verdicts) else ""
        parts.append(
            f"- Removing **{record.removed}** hurts the network with {label_text(low)} more at {counts['low'] or 'none'} of {len(verdicts)} layers, "
            f"the one with {label_text(high)} at {counts['high'] or 'none'}{beyond}."
        )
    return "\n".join(parts)


def _costs(method: str, curves: LayerCurves, axis: str) -> tuple[Spread, Spread] | None:
    """Return what a method costs the least and the most noisy network beyond random ablation; None where that is not measured."""
    by_noise, random = _curves_of_method(method, curves), _curves_of_method("random", curves)
    low, high = _extreme_levels(curves, method)
    if method == "random" or not {low, high} <= set(random):
        return None
    costs = cost(random[low], by_noise[low], axis), cost(random[high], by_noise[high], axis)
    return None if costs[0] is None or costs[1] is None else (costs[0], costs[1])


def _verdict(method: str, curves: LayerCurves, axis: str) -> str:
    """Return which of the least and the most noisy network loses more, beyond random ablation where that is measured.

    ``"low"``, ``"high"``, ``"alike"``, or an empty string for fewer than two networks.
    """
    by_noise = _curves_of_method(method, curves)
    if len(by_noise) < 2:
        return ""
    if costs := _costs(method, curves, axis):
        return _larger(*costs)
    low, high = _extreme_levels(curves, method)
    # A higher area is a smaller loss.
    return _larger(ablation_spread(by_noise[high], axis), ablation_spread(by_noise[low], axis))


def _larger(low: Spread, high: Spread) -> str:
    return "low" if clearly_above(low, high) else "high" if clearly_above(high, low) else "alike"


def _curves_of_method(method: str, curves: LayerCurves) -> dict[float, ByClass]:
    return {p: by_class for (p, m), by_class in curves.items() if m == method}


def _extreme_levels(keys: Iterable[tuple[float, str]], method: str) -> tuple[float, float]:
    levels = [p for p, m in keys if m == method]
    return min(levels), max(levels)


def _is_borrowed(method: str, curves: LayerCurves, verdict: str, axis: str) -> bool:
    """Return whether a verdict comes from random ablation alone: that differs, and the area without leading directions does not."""
    if method == "random" or verdict == "alike" or _verdict("random", curves, axis) in ("", "alike", verdict):
        return False
    low, high = (ablation_spread(curves[p, method], axis) for p in _extreme_levels(curves, method))
    return _larger(low, high) == "alike"
