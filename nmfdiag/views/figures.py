"""Curves -> plotly figures. Colour means p, line style the method, left to right the depth."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import plotly.graph_objects as go

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.summary import Spread, spread

# Dark to bright between p = 0 and p = 1, readable on white and on black, and ordered for colour-blind readers too.
P_COLOURS = (
    (0.0, (44, 123, 182)),
    (0.35, (78, 160, 160)),
    (0.6, (222, 165, 60)),
    (0.8, (217, 95, 50)),
    (1.0, (165, 20, 60)),
)
P_MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "star")
METHOD_DASHES = {"nmf": "solid", "pca": "dash", "random": "dot"}
METHOD_TITLES = {"nmf": "NMF", "pca": "PCA", "random": "Random ablation"}
HEIGHT = 460


def colour_of(label_noise: float, opacity: float = 1.0) -> str:
    """The colour of a p in [0, 1], the same on every page."""
    for (low, a), (high, b) in pairwise(P_COLOURS):
        if label_noise <= high:
            t = (label_noise - low) / (high - low)
            r, g, blue = (round(x + t * (y - x)) for x, y in zip(a, b, strict=True))
            return f"rgba({r},{g},{blue},{opacity:g})"
    return colour_of(1.0, opacity)


def marker_of(label_noise: float) -> str:
    """The marker of a p: the second channel beside its colour."""
    return P_MARKERS[round(label_noise * (len(P_MARKERS) - 1))]


def curve_figure(
    curves: Mapping[tuple[float, str], Sequence[CompressionCurve]], *, layer: str, log: bool, batch: str
) -> go.Figure:
    """k-vs-accuracy (figures 2a,b and 3): mean over classes, a band of one standard error, baselines dashed.

    Args:
        curves: For each (p, method), the curves of that layer, one a class.
        layer: The layer, for the title.
        log: Whether ranks are on a logarithmic axis.
        batch: What the batches are, for the title.
    """
    figure = go.Figure()
    for (p, method), some in curves.items():
        ranks = sorted(set.intersection(*(set(c.ranks) for c in some)))
        at = [spread([c.accuracy[c.ranks.index(k)] for c in some]) for k in ranks]
        name = f"p = {p:g}, {METHOD_TITLES[method]}"
        _add_band(figure, ranks, at, p)
        figure.add_scatter(
            x=ranks,
            y=[s.mean for s in at],
            name=name,
            mode="lines+markers",
            line={"color": colour_of(p), "dash": METHOD_DASHES[method], "width": 2},
            marker={"symbol": [_convergence_marker(some, k, p) for k in ranks], "size": 7},
            customdata=[[s.sem, s.n] for s in at],
            hovertemplate=f"{name}<br>k = %{{x}}<br>accuracy %{{y:.3f}} ± %{{customdata[0]:.3f}} "
            f"(%{{customdata[1]}} batches)<extra></extra>",
        )
        if method == "nmf":
            baseline = spread([c.baseline_accuracy for c in some]).mean
            figure.add_hline(baseline, line={"color": "rgba(128,128,128,0.8)", "dash": "dash", "width": 1})
    figure.update_xaxes(title="rank k", type="log" if log else "linear")
    figure.update_yaxes(title="accuracy on given labels", range=[0, 1.03])
    return _laid_out(figure, f"k vs accuracy at {layer}, {batch}")


def auc_figure(
    by_noise: Mapping[float, Mapping[str, Spread]], layers: Sequence[str], *, found: Phases | None, batch: str
) -> go.Figure:
    """AuC by layer (figure 2c): one line a p, a band of one standard error over classes, phases shaded."""
    figure = go.Figure()
    for p, by_layer in by_noise.items():
        here = [layer for layer in layers if layer in by_layer]
        _add_layer_line(figure, here, [by_layer[layer] for layer in here], p, "AuC")
    if found is not None and found.clear:
        named = (
            ("feature extraction", found.feature_extraction, 0.04),
            ("memorisation", found.memorisation, 0.12),
            ("clustering", found.clustering, 0.04),
        )
        for words, part, opacity in named:
            if part:
                x0, x1 = layers.index(part[0]) - 0.5, layers.index(part[-1]) + 0.5
                figure.add_vrect(x0=x0, x1=x1, fillcolor=f"rgba(128,128,128,{opacity})", line_width=0)
                figure.add_annotation(x=(x0 + x1) / 2, y=1.06, yref="paper", text=words, showarrow=False)
    figure.update_xaxes(title="layer, input to output", categoryorder="array", categoryarray=list(layers))
    figure.update_yaxes(title="AuC (area under k vs accuracy)", range=[0, 1.03])
    return _laid_out(figure, f"AuC by layer, {batch}")


def error_figure(
    by_noise: Mapping[float, Mapping[str, Spread]], layers: Sequence[str], *, relative: bool, k: int
) -> go.Figure:
    """Reconstruction error by layer (figures 10a, b), raw or relative to the norm of the activations."""
    figure = go.Figure()
    words = "relative error ||A - WH|| / ||A||" if relative else "raw error ||A - WH||"
    for p, by_layer in by_noise.items():
        here = [layer for layer in layers if layer in by_layer]
        _add_layer_line(figure, here, [by_layer[layer] for layer in here], p, "error")
    figure.update_xaxes(title="layer, input to output", categoryorder="array", categoryarray=list(layers))
    figure.update_yaxes(title=words, rangemode="tozero")
    return _laid_out(figure, f"NMF reconstruction error at rank {k}")


def error_by_rank_figure(
    curves: Mapping[float, Sequence[CompressionCurve]], *, layer: str, relative: bool, log: bool
) -> go.Figure:
    """Reconstruction error of one layer over the rank, mean and one standard error over classes."""
    figure = go.Figure()
    for p, some in curves.items():
        ranks = sorted(set.intersection(*(set(c.ranks) for c in some)))
        errors = [(c, c.relative_error if relative else c.absolute_error) for c in some]
        at = [spread([e[c.ranks.index(k)] for c, e in errors]) for k in ranks]
        _add_band(figure, ranks, at, p)
        figure.add_scatter(
            x=ranks, y=[s.mean for s in at], name=f"p = {p:g}", mode="lines+markers", line={"color": colour_of(p)},
            marker={"symbol": marker_of(p)}, hovertemplate=f"p = {p:g}<br>k = %{{x}}<br>error %{{y:.3g}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="rank k", type="log" if log else "linear")
    figure.update_yaxes(title="relative error" if relative else "raw error", rangemode="tozero")
    return _laid_out(figure, f"Reconstruction error by rank at {layer}")


def to_html(figure: go.Figure) -> str:
    """The figure as one file that needs no network, with colours of its own (not the dashboard's theme)."""
    copy = go.Figure(figure)
    copy.update_layout(template="plotly_white")
    return copy.to_html(include_plotlyjs=True, full_html=True)


def _add_layer_line(figure: go.Figure, layers: Sequence[str], at: Sequence[Spread], p: float, what: str) -> None:
    _add_band(figure, list(layers), at, p)
    figure.add_scatter(
        x=list(layers),
        y=[s.mean for s in at],
        name=f"p = {p:g}",
        mode="lines+markers",
        line={"color": colour_of(p), "width": 2},
        marker={"symbol": marker_of(p), "size": 9},
        customdata=[[layer, s.sem, s.n] for layer, s in zip(layers, at, strict=True)],
        hovertemplate=f"p = {p:g}<br>%{{x}}<br>{what} %{{y:.3g}} ± %{{customdata[1]:.2g}} "
        "(%{customdata[2]} batches)<extra></extra>",
    )


def _add_band(figure: go.Figure, x: Sequence, at: Sequence[Spread], p: float) -> None:
    if at and at[0].n > 1:
        upper, lower = [s.mean + s.sem for s in at], [s.mean - s.sem for s in at]
        figure.add_scatter(
            x=[*x, *reversed(x)], y=[*upper, *reversed(lower)], fill="toself", fillcolor=colour_of(p, 0.15),
            line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False,
        )  # fmt: skip


def _convergence_marker(curves: Sequence[CompressionCurve], k: int, p: float) -> str:
    """Open where the solver did not converge for some batch."""
    done = all(c.converged[c.ranks.index(k)] for c in curves)
    return marker_of(p) + ("" if done else "-open")


def _laid_out(figure: go.Figure, title: str) -> go.Figure:
    figure.update_layout(
        title={"text": title, "font": {"size": 15}, "y": 0.98},
        height=HEIGHT,
        hovermode="closest",
        margin={"l": 60, "r": 20, "t": 70, "b": 50},
        legend={"orientation": "h", "y": -0.18},
    )
    return figure
