"""One theme for all plots: what a colour, a line style, a marker and an axis mean. Colour is p, line style the method."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.stats.summary import Spread
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
SEQUENTIAL = ((0, "#e9f4f3"), (0.25, "#b2d9d7"), (0.5, "#6bb4b3"), (0.75, "#28868a"), (1, "#083a3e"))
"""Scale of the light theme (.streamlit/config.toml), for exports: on the screen a map without a scale takes the theme's."""
OWN_COLOUR = "rgba(34,144,140,{:g})"
"""Colour of networks with unknown p: none of the colours of p, and visible on white and on black."""
HEIGHT = 460
"""Pixels."""
GREY = "rgba(128,128,128,0.8)"
LOG_ZERO = 0.5
"""Position of k = 0 on a logarithmic axis."""


def colour_of(label_noise: float, opacity: float = 1.0) -> str:
    """Return the colour of a p in [0, 1], the same on every page, or the colour of unknown p."""
    if isinstance(label_noise, UnknownNoise):
        return OWN_COLOUR.format(opacity)
    for (low, a), (high, b) in pairwise(P_COLOURS):
        if label_noise <= high:
            t = (label_noise - low) / (high - low)
            r, g, blue = (round(x + t * (y - x)) for x, y in zip(a, b, strict=True))
            return f"rgba({r},{g},{blue},{opacity:g})"
    return colour_of(1.0, opacity)


def marker_of(label_noise: float) -> str:
    """Return the marker of a p, a second channel beside its colour."""
    return P_MARKERS[round(label_noise * (len(P_MARKERS) - 1))]


def placeholder_figure(text: str) -> go.Figure:
    """Return a placeholder for a plot without curves; it makes the browser fetch the plotting code meanwhile."""
    figure = go.Figure()
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(
        x=0.5, y=0.5, xref="paper", yref="paper", text=text, showarrow=False, font={"size": 15}
    )  # fmt: skip
    return figure.update_layout(height=HEIGHT)


def to_html(figure: go.Figure) -> str:
    """Return the figure as one HTML file that works offline, in a light theme independent of the dashboard's."""
    copy = go.Figure(figure)
    copy.update_layout(template="plotly_white")
    copy.update_traces(colorscale=SEQUENTIAL, selector=lambda t: t.type == "heatmap" and t.colorscale is None)
    return copy.to_html(include_plotlyjs=True, full_html=True)


def add_layer_line(
    figure: go.Figure, by_layer: Mapping[str, Spread], p: float, name: str, quantity: str, dash: str
) -> None:
    """Add a quantity by layer: its mean, and a band of one standard error."""
    add_band(figure, list(by_layer), list(by_layer.values()), p)
    figure.add_scatter(
        x=list(by_layer),
        y=[s.mean for s in by_layer.values()],
        name=name,
        mode="lines+markers",
        line={"color": colour_of(p), "dash": dash, "width": 2},
        marker={"symbol": marker_of(p), "size": 9},
        customdata=[[layer, s.sem, s.n] for layer, s in by_layer.items()],
        hovertemplate=f"{name}<br>%{{x}}<br>{quantity} %{{y:.3g}} ± %{{customdata[1]:.2g}} "
        "(%{customdata[2]} batches)<extra></extra>",
    )


def add_open_marker(figure: go.Figure, needed: bool) -> None:
    """Explain open markers in the legend, where the figure needs it."""
    if needed:
        figure.add_scatter(
            x=[None], y=[None], name="open: not converged", mode="markers",
            marker={"symbol": "circle-open", "size": 8, "color": GREY, "line": {"width": 2}},
        )  # fmt: skip


def set_rank_axis(figure: go.Figure, largest: int, axis: str, *, zero: bool = False) -> None:
    """Set up an axis of ranks, linear or logarithmic; ``zero`` gives k = 0 a place on the logarithmic one."""
    if axis == "log":
        powers = [2**i for i in range(largest.bit_length()) if 2**i <= largest]
        values, labels = ([LOG_ZERO, *powers], ["0", *map(str, powers)]) if zero else (powers, list(map(str, powers)))
        figure.update_xaxes(type="log", tickvals=values, ticktext=labels)
    figure.update_xaxes(title="rank k")


def set_layer_axis(figure: go.Figure, layers: Sequence[str]) -> None:
    """Set up an axis of all layers from input to output, measured or not."""
    figure.update_xaxes(
        title="layer, input to output", categoryorder="array", categoryarray=list(layers), range=[-0.5, len(layers) - 0.5]
    )  # fmt: skip


def add_band(figure: go.Figure, x: Sequence, spreads: Sequence[Spread], p: float) -> None:
    """Add a band of one standard error, where there is more than one value."""
    if spreads and spreads[0].n > 1:
        lower, upper = [s.mean - s.sem for s in spreads], [s.mean + s.sem for s in spreads]
        fill_between(figure, x, lower, upper, colour_of(p, 0.15))


def fill_between(
    figure: go.Figure, x: Sequence, lower: Sequence[float], upper: Sequence[float], colour: str, **style: Any
) -> None:
    """Fill the area between two lines; ``style`` holds further fields of the trace."""
    figure.add_scatter(
        x=[*x, *reversed(x)], y=[*upper, *reversed(lower)], fill="toself", fillcolor=colour, line={"width": 0},
        mode="lines", hoverinfo="skip", showlegend=False, **style,
    )  # fmt: skip


def convergence_marker(curves: Sequence[CompressionCurve], k: int, p: float) -> str:
    """Return the marker of a p, open where the solver did not converge for some batch."""
    converged = all(c.converged[c.ranks.index(k)] for c in curves if k in c.ranks)
    return marker_of(p) + ("" if converged else "-open")


def set_layout(figure: go.Figure, title: str, batch: str = "") -> go.Figure:
    """Give a plot the common title, subtitle (its batches), height, hover and legend; return the plot."""
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
