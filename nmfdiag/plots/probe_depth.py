"""Probe by depth below AuC by layer, on the same axis of layers."""

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go

from nmfdiag.measures.suspects.probe_depth import ProbeDepth
from nmfdiag.plots.theme import GREY, HEIGHT, LineName, colour_of, marker_of, noise_name

ADDED_HEIGHT = 260
"""Pixels that the panel adds, so that AuC keeps its size."""
AUC_DOMAIN, PROBE_DOMAIN = (0.44, 1.0), (0.0, 0.33)
"""Shares of the plots' height."""
TITLE = "<b>Probe by depth</b> (ours, not the paper's)"
JUMP = "jump"
"""Name of the traces that mark it."""
RING = 16
"""Pixels."""
RINGS = ("circle-open", "square-open")
"""Markers around the jumps of a network, and of a second one in the same figure."""


def probe_depth_figure(
    auc: go.Figure,
    depths: Mapping[float, ProbeDepth],
    layers: Sequence[str],
    *,
    line_name: LineName = noise_name,
    ring: str = RINGS[0],
    owner: str = "",
    waiting: str = "not known yet",
) -> go.Figure:
    """Add the probe by depth to a figure of AuC by layer, and return it: accuracy of each layer's probe, and the jump in a ring.

    Args:
        auc: AuC over layers, named or at 0, 1, ...; phases that it shades are shaded in both. An empty figure for the probe alone.
        depths: By p; what is not there yet is left out.
        layers: All layers of the axis, from input to output.
        line_name: Names a network's lines after its p.
        ring: One of :data:`RINGS`.
        owner: Whose rings they are, for the legend, where a figure has those of two.
        waiting: What stands in the panel without any depths.
    """
    figure, is_named = auc, auc.layout.xaxis.categoryarray is not None
    figure.update_shapes(yref="paper")
    figure.update_annotations(yref="y domain", selector={"yref": "paper"})
    figure.for_each_trace(lambda trace: trace.update(legendgroup=trace.name))  # one click hides a network in both
    auc_names = {trace.name for trace in figure.data}
    for axis, has_lines in (("y", bool(auc_names)), ("y2", bool(depths))):
        if not has_lines:  # an axis without a trace isn't drawn
            first = layers[0] if is_named else 0
            figure.add_scatter(x=[first], y=[None], yaxis=axis, mode="markers", showlegend=False, hoverinfo="skip")
    for p, depth in depths.items():
        name = line_name(p)
        accuracies = {layer: a for layer, a in zip(depth.layers, depth.accuracies, strict=True) if layer in layers}
        x = {layer: layer if is_named else layers.index(layer) for layer in accuracies}
        figure.add_scatter(
            x=list(x.values()), y=list(accuracies.values()), yaxis="y2", mode="lines+markers", showlegend=name not in auc_names,
            line={"color": colour_of(p), "width": 2}, marker={"symbol": marker_of(p), "size": 9},
            name=name, legendgroup=name, customdata=[[escape(layer)] for layer in accuracies],
            hovertemplate=f"{name}<br>%{{customdata[0]}}<br>probe accuracy %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
        if depth.clear and depth.jump in x:
            figure.add_scatter(
                x=[x[depth.jump]], y=[depth.after], yaxis="y2", mode="markers", showlegend=False, hoverinfo="skip",
                marker={"symbol": ring, "size": RING, "color": colour_of(p), "line": {"width": 4 if depth.is_sudden else 1}},
                name=JUMP, legendgroup=name,
            )  # fmt: skip
    for is_sudden, text in ((True, "labels readable at once"), (False, "largest rise, gradual")):
        if any(depth.clear and depth.jump and depth.is_sudden == is_sudden for depth in depths.values()):
            figure.add_scatter(
                x=[None], y=[None], mode="markers", name=f"{text}, {owner}" if owner else text,
                marker={"symbol": ring, "size": RING - 4, "color": GREY, "line": {"width": 3 if is_sudden else 1}},
            )  # fmt: skip
    note = {"xref": "x domain", "yref": "y2 domain", "showarrow": False}
    figure.add_annotation(text=TITLE, x=0, y=1.02, xanchor="left", yanchor="bottom", font={"size": 15}, **note)
    if depths:
        chance = max(depth.chance for depth in depths.values())
        figure.add_shape(
            type="line", xref="x domain", x0=0, x1=1, yref="y2", y0=chance, y1=chance,
            line={"color": GREY, "dash": "dash", "width": 1},
            label={"text": "chance", "textposition": "end", "yanchor": "bottom", "font": {"size": 11}},
        )  # fmt: skip
    else:
        figure.add_annotation(text=waiting, x=0.5, y=0.5, **note)
    figure.update_xaxes(anchor="y2")
    return figure.update_layout(
        height=HEIGHT + ADDED_HEIGHT,
        showlegend=True,
        legend={"y": -0.1},
        yaxis={"domain": AUC_DOMAIN},
        yaxis2={"domain": PROBE_DOMAIN, "anchor": "x", "title": "probe accuracy", "range": [0, 1.05]},
    )
