"""Curves -> plotly figures. Colour means p, line style the method, left to right the depth."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.stats.summary import Spread, mean_curve, spread
from nmfdiag.plots.theme import (
    GREY,
    LOG_ZERO,
    MARKER,
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


def curve_figure(
    curves: Mapping[tuple[float, str], Sequence[CompressionCurve]],
    *,
    layer: str,
    axis: str,
    batch: str,
    zero: bool = True,
    line_name: LineName = noise_name,
) -> go.Figure:
    """Draw accuracy over rank (figures 2a, 2b and 3): mean over classes, a band of one standard error, and dashed baselines.

    Args:
        curves: For each (p, method), the curves of that layer, one per batch.
        layer: The layer, for the title.
        axis: ``"linear"`` or ``"log"`` ranks.
        batch: The batches as text, for the title.
        zero: Draw what is right at k = 0.
        line_name: Names a network's lines after its p.
    """
    figure = go.Figure()
    several = len({method for _, method in curves}) > 1
    for (p, method), batch_curves in curves.items():
        accuracy = mean_curve(batch_curves)
        name = f"{line_name(p)}, {METHODS[method].title}" if several else line_name(p)
        add_band(figure, list(accuracy), list(accuracy.values()), p, len(curves))
        figure.add_scatter(
            x=list(accuracy),
            y=[s.mean for s in accuracy.values()],
            name=name,
            legendgroup=line_name(p),
            mode="lines+markers",
            line={"color": colour_of(p), "dash": METHODS[method].dash, "width": 2},
            marker=convergence_markers(marker_of(p), (all_converged(batch_curves, k) for k in accuracy)),
            customdata=[[s.sem, s.n] for s in accuracy.values()],
            hovertemplate=f"{name}<br>k = %{{x}}<br>accuracy %{{y:.3f}} ± %{{customdata[0]:.3f}} "
            f"(%{{customdata[1]}} batches)<extra></extra>",
        )
    if several:
        add_line_keys(figure, curves, line_name)
    add_convergence_key(figure, any(not all(c.converged) for batch_curves in curves.values() for c in batch_curves))
    if zero:
        _add_rank_zero(figure, curves, axis, line_name)
    baselines = {round(spread([c.baseline_accuracy for c in batch_curves]).mean, 2) for batch_curves in curves.values()}
    for baseline in baselines:
        figure.add_hline(baseline, line={"color": GREY, "dash": "dash", "width": 1})
    set_rank_axis(figure, _last_rank(curves), axis, zero=zero)
    figure.update_yaxes(title="accuracy on given labels", range=[-0.03, 1.05])
    return set_layout(figure, f"Accuracy over rank at {layer}", batch)


def auc_figure(
    by_method: Mapping[str, Mapping[float, Mapping[str, Spread]]],
    layers: Sequence[str],
    *,
    phases: tuple[float, Phases] | None,
    batch: str,
    axis: str,
    line_name: LineName = noise_name,
) -> go.Figure:
    """Draw AuC by layer (figure 2c): one line per p and method, a band of one standard error over classes, phases shaded.

    Args:
        by_method: For each method, p and layer, the AuC.
        layers: All layers, from input to output.
        phases: Phases to shade, and before them the p of the network whose they are.
        batch: The batches as text, for the title.
        axis: The rank axis of the area.
        line_name: Names a network's lines after its p.
    """
    figure = go.Figure()
    for method, by_noise in by_method.items():
        for p, by_layer in by_noise.items():
            title = METHODS[method].title if len(by_method) > 1 else ""
            n_lines = len(by_method) * len(by_noise)
            add_layer_line(
                figure, by_layer, p, line_name(p), "AuC", dash=METHODS[method].dash, method=title, n_lines=n_lines
            )
    if len(by_method) > 1:
        add_line_keys(figure, [(p, m) for m, by_noise in by_method.items() for p in by_noise], line_name)
    if phases is not None and phases[1].clear:
        shaded_noise, shaded = phases
        batch = f"{batch} · shaded: phases of {line_name(shaded_noise)}"
        bands = (
            ("feature<br>extraction", shaded.feature_extraction, 0.04),
            ("memorisation", shaded.memorisation, 0.12),
            ("clustering", shaded.clustering, 0.04),
        )
        for title, part, opacity in bands:
            if part:
                x0, x1 = layers.index(part[0]) - 0.5, layers.index(part[-1]) + 0.5
                figure.add_vrect(x0=x0, x1=x1, fillcolor=f"rgba(128,128,128,{opacity})", line_width=0)
                figure.add_annotation(
                    x=(x0 + x1) / 2,
                    y=0.02,
                    yref="paper",
                    yanchor="bottom",
                    text=title,
                    showarrow=False,
                    font={"size": 11},
                )
    set_layer_axis(figure, layers)
    over = "log k" if axis == "log" else "k"
    figure.update_yaxes(title=f"AuC (area under accuracy over {over})", range=[0, 1.05])
    return set_layout(figure, "AuC by layer", batch)


def error_figure(
    by_noise: Mapping[float, Mapping[str, Spread]],
    layers: Sequence[str],
    *,
    relative: bool,
    k: int,
    batch: str,
    line_name: LineName = noise_name,
) -> go.Figure:
    """Draw reconstruction error by layer (figures 10a and 10b), raw or relative to the norm of the activations."""
    figure = go.Figure()
    for p, by_layer in by_noise.items():
        add_layer_line(figure, by_layer, p, line_name(p), "error")
    set_layer_axis(figure, layers)
    _set_error_axis(figure, relative)
    return set_layout(figure, f"Reconstruction error at rank {k}", batch)


def error_by_rank_figure(
    curves: Mapping[float, Sequence[CompressionCurve]],
    *,
    layer: str,
    relative: bool,
    axis: str,
    line_name: LineName = noise_name,
) -> go.Figure:
    """Draw reconstruction error of one layer over the rank, mean and one standard error over classes."""
    figure = go.Figure()
    for p, batch_curves in curves.items():
        name = line_name(p)
        errors = mean_curve(batch_curves, "relative_error" if relative else "absolute_error")
        add_band(figure, list(errors), list(errors.values()), p)
        figure.add_scatter(
            x=list(errors), y=[s.mean for s in errors.values()], name=name, legendgroup=name, mode="lines+markers",
            line={"color": colour_of(p), "width": 2}, marker={"symbol": marker_of(p), "size": MARKER},
            hovertemplate=f"{name}<br>k = %{{x}}<br>error %{{y:.3g}}<extra></extra>",
        )  # fmt: skip
    set_rank_axis(figure, _last_rank(curves), axis)
    _set_error_axis(figure, relative)
    return set_layout(figure, f"Reconstruction error by rank at {layer}")


def _last_rank(curves: Mapping[Any, Sequence[CompressionCurve]]) -> int:
    return max((k for batch_curves in curves.values() for c in batch_curves for k in c.ranks), default=1)


def _add_rank_zero(
    figure: go.Figure,
    curves: Mapping[tuple[float, str], Sequence[CompressionCurve]],
    axis: str,
    line_name: LineName,
) -> None:
    """Add the accuracy without any direction: all channels zero, and every row the mean row."""
    x = LOG_ZERO if axis == "log" else 0
    for field, name, symbol in (
        ("zero_accuracy", "k = 0: zeros", "circle-open"),
        ("mean_accuracy", "k = 0: mean row", "line-ew-open"),
    ):
        levels = {p: spread([getattr(c, field) for c in batch_curves]) for (p, _), batch_curves in curves.items()}
        figure.add_scatter(
            x=[x] * len(levels), y=[s.mean for s in levels.values()], name=name, mode="markers",
            marker={"symbol": symbol, "size": 10, "color": [colour_of(p) for p in levels], "line": {"width": 2}},
            text=[line_name(p) for p in levels], hovertemplate=f"%{{text}}<br>{name}<br>accuracy %{{y:.3f}}<extra></extra>",
        )  # fmt: skip


def _set_error_axis(figure: go.Figure, relative: bool) -> None:
    if relative:
        figure.update_yaxes(title="relative error ‖A − WH‖ / ‖A‖", range=[0, 1.03])
    else:
        figure.update_yaxes(title="raw error ‖A − WH‖, in units of the activations", rangemode="tozero")
