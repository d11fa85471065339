"""Curves of the opposite operation -> figure and table: what is left with k directions removed (figure 7)."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from nmfdiag.measures.ablation import ByClass, ablation_auc
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.summary import Spread, mean_curve, spread
from nmfdiag.plots.theme import (
    GREY,
    LOG_ZERO,
    add_band,
    add_open_marker,
    colour_of,
    convergence_marker,
    laid_out,
    marker_of,
    set_rank_axis,
)
from nmfdiag.views.curve_figures import auc_figure
from nmfdiag.views.selection import Choice, Curves
from nmfdiag.zoo.registry import known

COMPACT = 340


def ablation_figure(curves: Mapping[tuple[float, str], ByClass], *, layer: str, axis: str, batch: str) -> go.Figure:
    """Accuracy over the number of directions removed: mean over classes, a band of one standard error.

    Args:
        curves: For each (p, method), the layer's curves by class.
        layer: The layer, for the title.
        axis: ``"linear"`` or ``"log"`` numbers of directions.
        batch: What the batches are, for the title.
    """
    figure = go.Figure()
    methods = {method for _, method in curves}
    open_ranks = False
    for (p, method), by_class in curves.items():
        some = list(by_class.values())
        at = removed(by_class)
        x = [LOG_ZERO if k == 0 and axis == "log" else k for k in at]
        name = f"p = {p:g}, {METHODS[method].removed}" if len(methods) > 1 else f"p = {p:g}"
        symbols = [convergence_marker(some, k, p) for k in at]
        open_ranks |= any(symbol.endswith("-open") for symbol in symbols)
        add_band(figure, x, list(at.values()), p)
        figure.add_scatter(
            x=x, y=[s.mean for s in at.values()], name=name, mode="lines+markers",
            line={"color": colour_of(p), "dash": METHODS[method].dash, "width": 2},
            marker={"symbol": symbols, "size": 7},
            customdata=[[k, s.sem, s.n] for k, s in at.items()],
            hovertemplate=f"{name}<br>%{{customdata[0]}} removed<br>accuracy %{{y:.3f}} ± %{{customdata[1]:.3f}} "
            "(%{customdata[2]} batches)<extra></extra>",
        )  # fmt: skip
    _set_legend(figure, curves)
    add_open_marker(figure, open_ranks)
    set_rank_axis(figure, max(c.shape[1] for some in curves.values() for c in some.values()), axis, zero=True)
    figure.update_xaxes(title="directions removed, k (0: the network as it is)")
    figure.update_yaxes(title="accuracy on given labels", range=[-0.03, 1.05])
    return laid_out(figure, f"Accuracy without k directions at {layer}", batch).update_layout(legend_y=-0.25)


def removed(by_class: ByClass) -> dict[int, Spread]:
    """Mean accuracy by the number of directions removed, from none (the baseline) to as many as there are channels."""
    some = list(by_class.values())
    channels = max(curve.shape[1] for curve in some)
    nothing_left = {channels: spread([curve.zero_accuracy for curve in some])}
    measured = {k: at for k, at in mean_curve(some).items() if k <= channels}  # signed NMF has twice as many ranks
    return {
        0: spread([curve.baseline_accuracy for curve in some]),
        **dict(sorted((nothing_left | measured).items())),
    }


def ablation_auc_figure(
    by_method: Mapping[str, Mapping[float, Mapping[str, Spread]]], layers: Sequence[str], *, axis: str, batch: str
) -> go.Figure:
    """The area under those curves by layer: low where the removed directions are needed."""
    figure = auc_figure(by_method, layers, found=None, batch=batch, axis=axis)
    _set_legend(figure, [(p, method) for method, by_noise in by_method.items() for p in by_noise])
    figure.update_yaxes(title=f"AuC over {'log k' if axis == 'log' else 'k'} removed")
    return figure.update_layout(title_text="AuC with directions removed, by layer", height=COMPACT, legend_y=-0.45)


def _set_legend(figure: go.Figure, lines: Iterable[tuple[float, str]]) -> None:
    """Name colours and line styles once each, not every line: nine names would leave a narrow screen little plot."""
    lines = list(lines)
    figure.update_traces(showlegend=False)
    for p in sorted({p for p, _ in lines}):
        figure.add_scatter(
            x=[None], y=[None], name=f"p = {p:g}", mode="lines+markers", hoverinfo="skip",
            line={"color": colour_of(p)}, marker={"symbol": marker_of(p), "size": 8},
        )  # fmt: skip
    for method in [m for m in METHODS if any(m == method for _, method in lines)]:
        figure.add_scatter(
            x=[None], y=[None], name=METHODS[method].removed, mode="lines", hoverinfo="skip",
            line={"color": GREY, "dash": METHODS[method].dash},
        )  # fmt: skip


def ablation_table(choice: Choice, results: Curves) -> pd.DataFrame:
    """AuC without directions by layer, method and p: mean and standard error over batches, over linear and log k."""
    rows = []
    for layer in choice.layers:
        for (p, method), by_class in choice.by_class(results, layer).items():
            curves = list(by_class.values())
            auc = spread([ablation_auc(c) for c in curves])
            rows.append(
                {
                    "p": known(p),
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
