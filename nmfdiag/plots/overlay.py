"""Two networks in one figure: colour stays p; the second one has other dashes and open markers."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from nmfdiag.plots.theme import set_layer_ticks, ticks_of

SECOND_DASHES = {"solid": "12px,4px", "longdashdot": "dashdot", "dash": "4px,4px", "dot": "2px,8px"}
"""Dash of a second network's line, by that of the first one's line of the same kind: methods stay apart, too."""


def overlaid(first: go.Figure, second: go.Figure, second_name: str) -> go.Figure:
    """Add the lines of a second network to the figure of a first one, and return that.

    Args:
        first: With its title, shading and axes.
        second: On the same axes, its lines named as they shall be in the legend.
        second_name: The network's, for its horizontal lines.
    """
    keys = {trace.name for trace in first.data}
    for trace in second.data:
        if is_key(trace):
            if (
                trace.mode == "markers" and trace.name not in keys
            ):  # what markers mean; p and method are in the lines' names
                first.add_trace(trace)
        else:
            if trace.mode == "lines+markers":
                trace.line.dash = SECOND_DASHES[trace.line.dash or "solid"]
                trace.marker.symbol, trace.marker.line.width = f"{trace.marker.symbol}-open", 1.5
                if trace.yaxis in (None, "y"):
                    trace.showlegend = True
            first.add_trace(trace)
    lines = {(shape.yref, shape.y0): shape for shape in first.layout.shapes if shape.type == "line"}
    for shape in second.layout.shapes:
        if shape.type == "line" and (shape.yref, shape.y0) not in lines:
            shape.line.dash = "dot"
            if shape.label.text:  # above the higher line and below the lower one
                axis_lines = [line for (axis, _), line in lines.items() if axis == shape.yref]
                lower = min((shape, *axis_lines), key=lambda line: line.y0)
                shape.label.text = f"{shape.label.text}, {second_name}"
                lower.label.yanchor = "top"
            first.add_shape(shape)
    return first


def on_share_of_rank(figure: go.Figure, full_rank: int) -> go.Figure:
    """Put a figure with an axis of ranks on one of their share of the full rank, on which the area under accuracy is AuC; return it."""
    for trace in figure.data:
        if not is_key(trace):
            if trace.hovertemplate:
                trace.text = [f"{k} of {full_rank}" for k in trace.x]
                trace.hovertemplate = trace.hovertemplate.replace("%{x}", "%{text}")
            trace.x = [k / full_rank for k in trace.x]
    if figure.layout.xaxis.type == "log":
        shares = [2**-i for i in range(full_rank.bit_length())]
        figure.update_xaxes(tickvals=shares, ticktext=[f"{share:.2g}" for share in shares])
    return figure


def on_relative_depth(figure: go.Figure, layers: Sequence[str], network: str) -> go.Figure:
    """Put a figure with an axis of layers on one of relative depth, from 0 for the first layer to 1 for the last; return it.

    Args:
        figure: With the network's layers on its axis.
        layers: All of them, from input to output; they are named on the axis.
        network: Whose layers they are.
    """
    last = max(1, len(layers) - 1)
    depth = {layer: i / last for i, layer in enumerate(layers)}
    for trace in figure.data:
        trace.x = [depth.get(layer) for layer in trace.x]
    for shape in figure.layout.shapes:
        if shape.xref in (None, "x"):
            shape.x0, shape.x1 = shape.x0 / last, shape.x1 / last
    for annotation in figure.layout.annotations:
        if annotation.xref in (None, "x"):
            annotation.x /= last
    ticks = ticks_of(len(layers))
    set_layer_ticks(figure, [i / last for i in ticks], [layers[i] for i in ticks])
    return figure.update_xaxes(
        title=f"relative depth, with the layers of {network}", type="linear", categoryorder=None, categoryarray=None,
        range=[-0.5 / last, 1 + 0.5 / last],
    )  # fmt: skip


def is_key(trace: Any) -> bool:
    """Return whether a trace is an entry of the legend alone."""
    return list(trace.x or []) == [None]
