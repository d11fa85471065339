"""Accuracy with k directions of a layer removed (figure 7): figures, table and sentences, which follow the curves on the screen."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from nmfdiag.measures.ablation import ByClass, ablation_auc, ablation_spread, cost
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.summary import Spread, clearly_above, mean_curve, spread
from nmfdiag.plots.theme import (
    LOG_ZERO,
    add_band,
    add_layer_line,
    add_line_keys,
    add_open_marker,
    colour_of,
    convergence_marker,
    set_layer_axis,
    set_layout,
    set_rank_axis,
)
from nmfdiag.views.curve_groups import Curves, curves_by_class
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import known_noise

COMPACT = 340
REMOVED_TITLES = {name: method.removed for name, method in METHODS.items()}

LayerCurves = Mapping[tuple[float, str], ByClass]
"""A layer's curves by class, for each (p, method)."""


def ablation_figure(curves: LayerCurves, *, layer: str, axis: str, batch: str) -> go.Figure:
    """Draw accuracy over the number of directions removed: the mean over classes with a band of one standard error.

    Args:
        curves: The layer's curves.
        layer: The layer, for the title.
        axis: ``"linear"`` or ``"log"`` numbers of directions.
        batch: The batches as text, for the title.
    """
    figure = go.Figure()
    methods = {method for _, method in curves}
    open_ranks = False
    for (p, method), by_class in curves.items():
        accuracy = accuracy_without(by_class)
        x = [LOG_ZERO if k == 0 and axis == "log" else k for k in accuracy]
        name = f"p = {p:g}, {METHODS[method].removed}" if len(methods) > 1 else f"p = {p:g}"
        symbols = [convergence_marker(list(by_class.values()), k, p) for k in accuracy]
        open_ranks |= any(symbol.endswith("-open") for symbol in symbols)
        add_band(figure, x, list(accuracy.values()), p, len(curves))
        figure.add_scatter(
            x=x, y=[s.mean for s in accuracy.values()], name=name, legendgroup=f"p = {p:g}", mode="lines+markers",
            line={"color": colour_of(p), "dash": METHODS[method].dash, "width": 2},
            marker={"symbol": symbols, "size": 7},
            customdata=[[k, s.sem, s.n] for k, s in accuracy.items()],
            hovertemplate=f"{name}<br>%{{customdata[0]}} removed<br>accuracy %{{y:.3f}} ± %{{customdata[1]:.3f}} "
            "(%{customdata[2]} batches)<extra></extra>",
        )  # fmt: skip
    add_line_keys(figure, curves, REMOVED_TITLES)
    add_open_marker(figure, open_ranks)
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
    by_method: Mapping[str, Mapping[float, Mapping[str, Spread]]], layers: Sequence[str], *, axis: str, batch: str
) -> go.Figure:
    """Draw the area under those curves by layer: low where the removed directions are needed."""
    figure = go.Figure()
    for method, by_noise in by_method.items():
        for p, by_layer in by_noise.items():
            name, n_lines = f"p = {p:g}, {REMOVED_TITLES[method]}", len(by_method) * len(by_noise)
            add_layer_line(figure, by_layer, p, name, "AuC", METHODS[method].dash, n_lines)
    add_line_keys(figure, [(p, method) for method, by_noise in by_method.items() for p in by_noise], REMOVED_TITLES)
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
    """Return the p that suffers most without random channels, and the p that leading directions hurt more than that.

    Args:
        layer: The layer's name.
        curves: Its curves.
        axis: The axis of the areas.
    """
    sentences = []
    if by_noise := _curves_of_method("random", curves):
        sentences.append(_random_sentence(layer, by_noise, axis))
    leading = next((m for m in ("nmf", "signed", "pca") if _curves_of_method(m, curves)), None)
    if leading is not None:
        sentences.append(_leading_sentence(layer, leading, curves, axis))
    return " ".join(sentences) or f"No curve of {layer} is there to answer with."


def ablation_by_layer(by_layer: Mapping[str, LayerCurves], axis: str = "linear") -> str:
    """Count the layers at which the least or the most noisy network is clearly hurt more; empty for a single p."""
    parts, low, high = [], 0.0, 1.0
    for method, record in METHODS.items():
        verdicts = {layer: v for layer, curves in by_layer.items() if (v := _verdict(method, curves, axis))}
        if not verdicts:
            continue
        low, high = _extreme_levels({key for curves in by_layer.values() for key in curves}, method)
        borrowed = sum(_is_borrowed(method, by_layer[layer], verdict, axis) for layer, verdict in verdicts.items())
        has_random = _curves_of_method("random", next(iter(by_layer.values())))
        beyond = ", beyond random ablation" if method != "random" and has_random else ""
        counts = {verdict: list(verdicts.values()).count(verdict) for verdict in ("low", "high")}
        only = f" ({borrowed} only because random ablation differs)" if borrowed else ""
        parts.append(
            f"- removing **{record.removed}**{beyond}: p = {low:g} at {counts['low']} and p = {high:g} at {counts['high']} of {len(verdicts)} layers{only}"
        )
    if not parts:
        return ""
    return "\n".join([f"Layers at which p = {low:g} or p = {high:g} is clearly hurt more than the other:", "", *parts])


def _random_sentence(layer: str, by_noise: Mapping[float, ByClass], axis: str) -> str:
    auc = {p: ablation_spread(by_class, axis) for p, by_class in by_noise.items()}
    worst, best = min(auc, key=lambda p: auc[p].mean), max(auc, key=lambda p: auc[p].mean)
    if len(auc) == 1:
        return f"Without random channels of {layer}, AuC is {auc[worst]}."
    if clearly_above(auc[best], auc[worst]):
        return f"Removing random channels of {layer} hurts p = {worst:g} most: AuC {auc[worst]} against {auc[best]} at p = {best:g}."
    return (
        f"Removing random channels of {layer} hurts no p clearly most: AuC lies between {auc[worst]} (p = {worst:g}) and "
        f"{auc[best]} (p = {best:g})."
    )


def _leading_sentence(layer: str, method: str, curves: LayerCurves, axis: str) -> str:
    by_noise, random = _curves_of_method(method, curves), _curves_of_method("random", curves)
    low, high = _extreme_levels(curves, method)
    levels = [low] if low == high else [low, high]
    auc = " and ".join(f"{ablation_spread(by_noise[p], axis)} at p = {p:g}" for p in levels)
    sentence = f"Without {METHODS[method].removed} " + (f"it is {auc}" if random else f"of {layer} AuC is {auc}")
    costs = [c for p in levels if p in random and (c := cost(random[p], by_noise[p], axis)) is not None]
    if costs and len(costs) == len(levels):
        sentence += f", {' and '.join(map(_difference_text, costs))} than without random channels"
    verdict = _verdict(method, curves, axis)
    if verdict:
        beyond = " beyond random ablation" if costs else ""
        sentence += {
            "low": f": p = {low:g} is hurt more{beyond}",
            "high": f": p = {high:g} is hurt more{beyond}",
            "alike": f": neither is clearly hurt more{beyond}",
        }[verdict]
        if _is_borrowed(method, curves, verdict, axis):
            sentence += f", but only because random ablation differs: without {METHODS[method].removed} both do alike"
    return f"{sentence}."


def _verdict(method: str, curves: LayerCurves, axis: str) -> str:
    """Return which of the least and the most noisy network loses more, beyond random ablation where that is measured.

    ``"low"``, ``"high"``, ``"alike"``, or an empty string for fewer than two networks.
    """
    by_noise, random = _curves_of_method(method, curves), _curves_of_method("random", curves)
    if len(by_noise) < 2:
        return ""
    low, high = _extreme_levels(curves, method)
    if method != "random" and low in random and high in random:
        costs = cost(random[low], by_noise[low], axis), cost(random[high], by_noise[high], axis)
        if costs[0] is not None and costs[1] is not None:
            return _larger(costs[0], costs[1])
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


def _difference_text(difference: Spread) -> str:
    size = Spread(abs(difference.mean), difference.sd, difference.sem, difference.n)
    return f"{size} {'lower' if difference.mean >= 0 else 'higher'}"
