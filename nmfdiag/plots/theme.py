"""One theme for all plots: what a colour, a line style, a marker and an axis mean. Colour is p, line style the method."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.summary import Spread
from nmfdiag.zoo.registry import UnknownNoise

RGB = tuple[int, int, int]
LineName = Callable[[float], str]
"""What a network's line is called, from its p."""
P_COLOURS: tuple[RGB, ...] = (
    (41, 113, 254), (69, 53, 213), (107, 48, 169), (123, 51, 125), (145, 30, 69), (156, 13, 3),
)  # fmt: skip
"""Of p = 0, 0.2 ... 1: the darker, the more random labels. Searched for the largest smallest distance under normal, deuteranopic,
protanopic and tritanopic sight. Every figure is made with them; :mod:`nmfdiag.plots.modes` has those of the dark mode."""
P_MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "star")
SEQUENTIAL = ((0, "#e9f4f3"), (0.25, "#b2d9d7"), (0.5, "#6bb4b3"), (0.75, "#28868a"), (1, "#083a3e"))
"""Scale of maps in the light mode (.streamlit/config.toml), from the background's side."""
OWN_COLOUR = "rgba(34,144,140,{:g})"
"""Colour of networks with unknown p: none of the colours of p, and visible on white and on black."""
HEIGHT = 460
"""Pixels."""
GREY = "rgba(128,136,141,1)"
"""At least 3:1 on white and on the dark background."""
LOG_ZERO = 0.5
"""Position of k = 0 on a logarithmic axis."""
MARKER, SMALL_MARKER = 8, 4
"""Pixels; the small one is of a rank at which the solver did not converge."""
MOST_TICKS = 24
"""Layer names on an axis, at most: they have room upright in the narrowest plot."""
SCALE_STEP = 0.1
"""The ends of a scale are multiples of this."""


def colour_of(label_noise: float, opacity: float = 1.0) -> str:
    """Return the colour of a p in [0, 1], the same on every page, or the colour of unknown p."""
    if isinstance(label_noise, UnknownNoise):
        return OWN_COLOUR.format(opacity)
    return "rgba({},{},{},{:g})".format(*blended(P_COLOURS, label_noise), opacity)


def blended(colours: Sequence[RGB], label_noise: float) -> RGB:
    """Return the colour of a p, to two decimals, between evenly spaced ones."""
    places = np.linspace(0, 1, len(colours))
    red, green, blue = (
        round(np.interp(round(label_noise, 2), places, channel)) for channel in zip(*colours, strict=True)
    )
    return red, green, blue


def noise_name(label_noise: float) -> str:
    """Return the name of a line after its p, enough where all networks of a figure belong to one family.

    >>> noise_name(0.6)
    'p = 0.6'
    """
    return f"p = {label_noise:g}"


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


def add_layer_line(
    figure: go.Figure,
    by_layer: Mapping[str, Spread],
    p: float,
    network: str,
    quantity: str,
    *,
    dash: str = "solid",
    method: str = "",
    n_lines: int = 1,
) -> None:
    """Add a quantity by layer: its mean, and a band of one standard error.

    Args:
        figure: Gets the line.
        by_layer: The quantity.
        p: The network's, for the colour and the marker.
        network: Its name.
        quantity: The quantity's name, for hovering.
        dash: Of the line.
        method: The method's name, where the figure has several.
        n_lines: Lines of the figure.
    """
    name = f"{network}, {method}" if method else network
    add_band(figure, list(by_layer), list(by_layer.values()), p, n_lines)
    figure.add_scatter(
        x=list(by_layer),
        y=[s.mean for s in by_layer.values()],
        name=name,
        legendgroup=network,
        mode="lines+markers",
        line={"color": colour_of(p), "dash": dash, "width": 2},
        marker={"symbol": marker_of(p), "size": 9},
        customdata=[[layer, s.sem, s.n] for layer, s in by_layer.items()],
        hovertemplate=f"{name}<br>%{{customdata[0]}}<br>{quantity} %{{y:.3g}} ± %{{customdata[1]:.2g}} "
        "(%{customdata[2]} batches)<extra></extra>",
    )


def add_convergence_key(figure: go.Figure, needed: bool) -> None:
    """Explain small markers in the legend, where the figure needs it."""
    if needed:
        figure.add_scatter(
            x=[None], y=[None], name="small: not converged", mode="markers",
            marker={"symbol": "circle", "size": SMALL_MARKER, "color": GREY},
        )  # fmt: skip


def add_line_keys(
    figure: go.Figure, lines: Iterable[tuple[float, str]], line_name: LineName, *, is_removed: bool = False
) -> None:
    """Name colours (p) and line styles (method) once each, not every line: nine names would leave a narrow screen little plot.

    Args:
        figure: Lines whose legend group is the network's name.
        lines: Their p and method.
        line_name: Names a network's lines after its p.
        is_removed: Whether the methods name what was removed.
    """
    lines = list(lines)
    figure.update_traces(showlegend=False)
    for p in sorted({p for p, _ in lines}):
        figure.add_scatter(
            x=[None], y=[None], name=line_name(p), legendgroup=line_name(p), mode="lines+markers", hoverinfo="skip",
            line={"color": colour_of(p)}, marker={"symbol": marker_of(p), "size": 8},
        )  # fmt: skip
    for method in [m for m in METHODS if any(m == method for _, method in lines)]:
        figure.add_scatter(
            x=[None], y=[None], name=METHODS[method].removed if is_removed else METHODS[method].title, mode="lines", hoverinfo="skip",
            line={"color": GREY, "dash": METHODS[method].dash},
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
    set_layer_ticks(figure, [layers[i] for i in ticks_of(len(layers))])
    figure.update_xaxes(categoryorder="array", categoryarray=list(layers), range=[-0.5, len(layers) - 0.5])


def ticks_of(n: int) -> list[int]:
    """Return which of n layers are named on an axis: all, or as many as have room, the last among them.

    >>> ticks_of(3), ticks_of(49)[:3], ticks_of(49)[-2:]
    ([0, 1, 2], [0, 3, 6], [45, 48])
    """
    step = -(-n // MOST_TICKS)
    return list(range((n - 1) % step, n, step))


def set_layer_ticks(figure: go.Figure, tickvals: Sequence[str | float], ticktext: Sequence[str] | None = None) -> None:
    """Name layers on an axis, level or as steep as it takes; none is left out, as Plotly does with a last one that reaches beyond the plot."""
    figure.update_xaxes(
        title="layer, input to output", tickmode="array", tickvals=list(tickvals), ticktext=ticktext, automargin=True,
        autotickangles=[0, -45, -90], ticklabeloverflow="allow",
    )  # fmt: skip


def scale_ends(values: Iterable[float | None]) -> tuple[float, float]:
    """Return the ends of a scale of shares that is fitted to its values, on multiples of a tenth.

    >>> scale_ends([0.86, None, 0.99]), scale_ends([1.0]), scale_ends([])
    ((0.8, 1.0), (0.9, 1.0), (0.0, 1.0))
    """
    known_values = [value for value in values if value is not None]
    if not known_values:
        return 0.0, 1.0
    low = np.floor(min(known_values) / SCALE_STEP + 1e-9) * SCALE_STEP
    high = np.ceil(max(known_values) / SCALE_STEP - 1e-9) * SCALE_STEP
    return round(float(min(low, high - SCALE_STEP)), 3), round(float(high), 3)


def map_scale(ends: tuple[float, float], title: str = "AuC") -> dict[str, Any]:
    """Return the fields of a map of AuC: the theme's scale, one hue, from the background's side (high) to the strongest (low)."""
    low, high = ends
    step = SCALE_STEP if high - low < 4.5 * SCALE_STEP else 2 * SCALE_STEP
    ticks = {low, *np.arange(high, low, -step).round(3).tolist()}
    return {
        "zmin": low, "zmax": high, "reversescale": True,
        "colorbar": {"title": {"text": title}, "thickness": 12, "outlinewidth": 0, "tickvals": sorted(ticks)},
    }  # fmt: skip


def add_band(figure: go.Figure, x: Sequence, spreads: Sequence[Spread], p: float, n_lines: int = 1) -> None:
    """Add a band of one standard error, where there is more than one value; the fainter, the more lines might lie below it."""
    if spreads and spreads[0].n > 1:
        lower, upper = [s.mean - s.sem for s in spreads], [s.mean + s.sem for s in spreads]
        fill_between(figure, x, lower, upper, colour_of(p, min(0.15, 0.6 / n_lines)))


def fill_between(
    figure: go.Figure, x: Sequence, lower: Sequence[float], upper: Sequence[float], colour: str, **style: Any
) -> None:
    """Fill the area between two lines; ``style`` holds further fields of the trace."""
    figure.add_scatter(
        x=[*x, *reversed(x)], y=[*upper, *reversed(lower)], fill="toself", fillcolor=colour, line={"width": 0},
        mode="lines", hoverinfo="skip", showlegend=False, **style,
    )  # fmt: skip


def convergence_markers(symbol: str, converged: Iterable[bool]) -> dict[str, Any]:
    """Return the markers of a line: small where the solver did not converge."""
    sizes = [MARKER if is_converged else SMALL_MARKER for is_converged in converged]
    return {"symbol": symbol, "size": sizes, "opacity": 1, "line": {"width": 0}}  # as with a single size


def all_converged(curves: Sequence[CompressionCurve], k: int) -> bool:
    """Return whether the solver converged at rank k for every batch that has it."""
    return all(c.converged[c.ranks.index(k)] for c in curves if k in c.ranks)


def set_layout(figure: go.Figure, title: str, batch: str = "") -> go.Figure:
    """Give a plot the common title, subtitle (its batches), height, hover and legend; return the plot."""
    figure.update_layout(
        overwrite=True,  # a fifth of the time that merging takes
        title={
            "text": title,
            "font": {"size": 15, "weight": 600},
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
