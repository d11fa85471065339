"""Curves -> plotly figures. Colour means p, line style the method, left to right the depth."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import plotly.graph_objects as go

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.summary import Spread, mean_curve, spread
from nmfdiag.zoo.registry import UnknownNoise

# Dark to bright between p = 0 and p = 1, readable on white and on black, and ordered for colour-blind readers too.
P_COLOURS = (
    (0.0, (44, 123, 182)),
    (0.35, (78, 160, 160)),
    (0.6, (222, 165, 60)),
    (0.8, (217, 95, 50)),
    (1.0, (165, 20, 60)),
)
P_MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "star")
METHOD_DASHES = {"nmf": "solid", "signed": "longdashdot", "pca": "dash", "random": "dot"}
METHOD_TITLES = {"nmf": "NMF", "signed": "Signed-split NMF (extension)", "pca": "PCA", "random": "Random ablation"}
"""The paper's three, and ours for networks whose activations can be negative."""
SEQUENTIAL = ((0, "#e9f4f3"), (0.25, "#b2d9d7"), (0.5, "#6bb4b3"), (0.75, "#28868a"), (1, "#083a3e"))
"""Of the light theme (.streamlit/config.toml), for exports: on the screen a map without a scale of its own takes the theme's."""
OWN_COLOUR = "rgba(34,144,140,{:g})"
"""A network of which p is not known: none of the colours of p, and seen on white and on black."""
HEIGHT = 460
GREY = "rgba(128,128,128,0.8)"
LOG_ZERO = 0.5  # where k = 0 stands on a logarithmic axis


def colour_of(label_noise: float, opacity: float = 1.0) -> str:
    """The colour of a p in [0, 1], the same on every page; that of none where p is unknown."""
    if isinstance(label_noise, UnknownNoise):
        return OWN_COLOUR.format(opacity)
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
    curves: Mapping[tuple[float, str], Sequence[CompressionCurve]], *, layer: str, axis: str, batch: str
) -> go.Figure:
    """k-vs-accuracy (figures 2a,b and 3): mean over classes, a band of one standard error, baselines dashed, k = 0 beside.

    Args:
        curves: For each (p, method), the curves of that layer, one a class.
        layer: The layer, for the title.
        axis: ``"linear"`` or ``"log"`` ranks.
        batch: What the batches are, for the title.
    """
    figure = go.Figure()
    several = len({method for _, method in curves}) > 1
    for (p, method), some in curves.items():
        at = mean_curve(some)
        name = f"p = {p:g}, {METHOD_TITLES[method]}" if several else f"p = {p:g}"
        add_band(figure, list(at), list(at.values()), p)
        figure.add_scatter(
            x=list(at),
            y=[s.mean for s in at.values()],
            name=name,
            mode="lines+markers",
            line={"color": colour_of(p), "dash": METHOD_DASHES[method], "width": 2},
            marker={"symbol": [convergence_marker(some, k, p) for k in at], "size": 7},
            customdata=[[s.sem, s.n] for s in at.values()],
            hovertemplate=f"{name}<br>k = %{{x}}<br>accuracy %{{y:.3f}} ± %{{customdata[0]:.3f}} "
            f"(%{{customdata[1]}} batches)<extra></extra>",
        )
    add_open_marker(figure, any(not all(c.converged) for some in curves.values() for c in some))
    _add_rank_zero(figure, curves, axis)
    baselines = {round(spread([c.baseline_accuracy for c in some]).mean, 2) for some in curves.values()}
    for baseline in baselines:
        figure.add_hline(baseline, line={"color": GREY, "dash": "dash", "width": 1})
    set_rank_axis(figure, max(k for some in curves.values() for c in some for k in c.ranks), axis, zero=True)
    figure.update_yaxes(title="accuracy on given labels", range=[-0.03, 1.05])
    return laid_out(figure, f"Accuracy over rank at {layer}", batch)


def auc_figure(
    by_method: Mapping[str, Mapping[float, Mapping[str, Spread]]],
    layers: Sequence[str],
    *,
    found: Phases | None,
    batch: str,
    axis: str,
) -> go.Figure:
    """AuC by layer (figure 2c): one line a p and method, a band of one standard error over classes, phases shaded.

    Args:
        by_method: For each method, p and layer, the AuC.
        layers: All layers, from input to output.
        found: Phases to shade.
        batch: What the batches are, for the title.
        axis: The rank axis that the area is taken over.
    """
    figure = go.Figure()
    for method, by_noise in by_method.items():
        for p, by_layer in by_noise.items():
            name = f"p = {p:g}, {METHOD_TITLES[method]}" if len(by_method) > 1 else f"p = {p:g}"
            add_layer_line(figure, by_layer, p, name, "AuC", METHOD_DASHES[method])
    if found is not None and found.clear:
        named = (
            ("feature<br>extraction", found.feature_extraction, 0.04),
            ("memorisation", found.memorisation, 0.12),
            ("clustering", found.clustering, 0.04),
        )
        for words, part, opacity in named:
            if part:
                x0, x1 = layers.index(part[0]) - 0.5, layers.index(part[-1]) + 0.5
                figure.add_vrect(x0=x0, x1=x1, fillcolor=f"rgba(128,128,128,{opacity})", line_width=0)
                figure.add_annotation(
                    x=(x0 + x1) / 2,
                    y=0.02,
                    yref="paper",
                    yanchor="bottom",
                    text=words,
                    showarrow=False,
                    font={"size": 11},
                )
    set_layer_axis(figure, layers)
    over = "log k" if axis == "log" else "k"
    figure.update_yaxes(title=f"AuC (area under accuracy over {over})", range=[0, 1.05])
    return laid_out(figure, "AuC by layer", batch)


def error_figure(
    by_noise: Mapping[float, Mapping[str, Spread]], layers: Sequence[str], *, relative: bool, k: int, batch: str
) -> go.Figure:
    """Reconstruction error by layer (figures 10a, b), raw or relative to the norm of the activations."""
    figure = go.Figure()
    for p, by_layer in by_noise.items():
        add_layer_line(figure, by_layer, p, f"p = {p:g}", "error", "solid")
    set_layer_axis(figure, layers)
    _set_error_axis(figure, relative)
    return laid_out(figure, f"Reconstruction error at rank {k}", batch)


def error_by_rank_figure(
    curves: Mapping[float, Sequence[CompressionCurve]], *, layer: str, relative: bool, axis: str
) -> go.Figure:
    """Reconstruction error of one layer over the rank, mean and one standard error over classes."""
    figure = go.Figure()
    for p, some in curves.items():
        at = mean_curve(some, "relative_error" if relative else "absolute_error")
        add_band(figure, list(at), list(at.values()), p)
        figure.add_scatter(
            x=list(at), y=[s.mean for s in at.values()], name=f"p = {p:g}", mode="lines+markers",
            line={"color": colour_of(p), "width": 2}, marker={"symbol": marker_of(p), "size": 7},
            hovertemplate=f"p = {p:g}<br>k = %{{x}}<br>error %{{y:.3g}}<extra></extra>",
        )  # fmt: skip
    set_rank_axis(figure, max(k for some in curves.values() for c in some for k in c.ranks), axis)
    _set_error_axis(figure, relative)
    return laid_out(figure, f"Reconstruction error by rank at {layer}")


def waiting_figure(words: str) -> go.Figure:
    """Holds the place of a plot until its first curve is there, and brings the plotting code to the browser meanwhile."""
    figure = go.Figure()
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(
        x=0.5, y=0.5, xref="paper", yref="paper", text=words, showarrow=False, font={"size": 15}
    )  # fmt: skip
    return figure.update_layout(height=HEIGHT)


def to_html(figure: go.Figure) -> str:
    """The figure as one file that needs no network, with colours of its own (not the dashboard's theme)."""
    copy = go.Figure(figure)
    copy.update_layout(template="plotly_white")
    copy.update_traces(colorscale=SEQUENTIAL, selector=lambda t: t.type == "heatmap" and t.colorscale is None)
    return copy.to_html(include_plotlyjs=True, full_html=True)


def add_layer_line(
    figure: go.Figure, by_layer: Mapping[str, Spread], p: float, name: str, what: str, dash: str
) -> None:
    """A value by layer: its mean, and a band of one standard error."""
    add_band(figure, list(by_layer), list(by_layer.values()), p)
    figure.add_scatter(
        x=list(by_layer),
        y=[s.mean for s in by_layer.values()],
        name=name,
        mode="lines+markers",
        line={"color": colour_of(p), "dash": dash, "width": 2},
        marker={"symbol": marker_of(p), "size": 9},
        customdata=[[layer, s.sem, s.n] for layer, s in by_layer.items()],
        hovertemplate=f"{name}<br>%{{x}}<br>{what} %{{y:.3g}} ± %{{customdata[1]:.2g}} "
        "(%{customdata[2]} batches)<extra></extra>",
    )


def _add_rank_zero(
    figure: go.Figure, curves: Mapping[tuple[float, str], Sequence[CompressionCurve]], axis: str
) -> None:
    """What is left without any direction: all channels zero, and every row the mean row."""
    at = LOG_ZERO if axis == "log" else 0
    for field, words, symbol in (
        ("zero_accuracy", "k = 0: all channels zero", "circle-open"),
        ("mean_accuracy", "k = 0: every row the mean row", "line-ew-open"),
    ):
        levels = {p: spread([getattr(c, field) for c in some]) for (p, _), some in curves.items()}
        figure.add_scatter(
            x=[at] * len(levels), y=[s.mean for s in levels.values()], name=words, mode="markers",
            marker={"symbol": symbol, "size": 10, "color": [colour_of(p) for p in levels], "line": {"width": 2}},
            customdata=list(levels), hovertemplate=f"p = %{{customdata:g}}<br>{words}<br>accuracy %{{y:.3f}}<extra></extra>",
        )  # fmt: skip


def add_open_marker(figure: go.Figure, needed: bool) -> None:
    """Say in the legend what an open marker is, where there is one."""
    if needed:
        figure.add_scatter(
            x=[None], y=[None], name="open: not converged", mode="markers",
            marker={"symbol": "circle-open", "size": 8, "color": GREY, "line": {"width": 2}},
        )  # fmt: skip


def set_rank_axis(figure: go.Figure, largest: int, axis: str, *, zero: bool = False) -> None:
    """Ranks from left to right, linear or logarithmic; ``zero`` gives k = 0 a place."""
    if axis == "log":
        powers = [2**i for i in range(largest.bit_length()) if 2**i <= largest]
        values, words = ([LOG_ZERO, *powers], ["0", *map(str, powers)]) if zero else (powers, list(map(str, powers)))
        figure.update_xaxes(type="log", tickvals=values, ticktext=words)
    figure.update_xaxes(title="rank k")


def set_layer_axis(figure: go.Figure, layers: Sequence[str]) -> None:
    """All layers from input to output, whether measured or not."""
    figure.update_xaxes(
        title="layer, input to output", categoryorder="array", categoryarray=list(layers), range=[-0.5, len(layers) - 0.5]
    )  # fmt: skip


def _set_error_axis(figure: go.Figure, relative: bool) -> None:
    if relative:
        figure.update_yaxes(title="relative error ‖A − WH‖ / ‖A‖", range=[0, 1.03])
    else:
        figure.update_yaxes(title="raw error ‖A − WH‖, in units of the activations", rangemode="tozero")


def add_band(figure: go.Figure, x: Sequence, at: Sequence[Spread], p: float) -> None:
    """A band of one standard error, where there is one."""
    if at and at[0].n > 1:
        upper, lower = [s.mean + s.sem for s in at], [s.mean - s.sem for s in at]
        figure.add_scatter(
            x=[*x, *reversed(x)], y=[*upper, *reversed(lower)], fill="toself", fillcolor=colour_of(p, 0.15),
            line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False,
        )  # fmt: skip


def convergence_marker(curves: Sequence[CompressionCurve], k: int, p: float) -> str:
    """A p's marker: open where the solver did not converge for some batch."""
    done = all(c.converged[c.ranks.index(k)] for c in curves if k in c.ranks)
    return marker_of(p) + ("" if done else "-open")


def laid_out(figure: go.Figure, title: str, batch: str = "") -> go.Figure:
    """The frame that every plot has: title, the batches below it, height, hover and legend."""
    figure.update_layout(
        overwrite=True,  # a fifth of the time that merging takes
        title={
            "text": title,
            "font": {"size": 15},
            "y": 0.98,
            "yanchor": "top",
            "subtitle": {"text": batch, "font": {"size": 12}},
        },
        height=HEIGHT,
        hovermode="closest",
        margin={"l": 60, "r": 20, "t": 78, "b": 50},
        legend={"orientation": "h", "y": -0.18},
    )
    return figure
