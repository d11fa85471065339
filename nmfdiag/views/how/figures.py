"""One class at one layer, for those who see it the first time: accuracy over rank with the area that is AuC."""

from collections.abc import Mapping

import plotly.graph_objects as go

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.plots.theme import GREY, colour_of, laid_out, marker_of, set_rank_axis


def area_figure(curves: Mapping[float, CompressionCurve], *, layer: str, batch: str, axis: str, k: int) -> go.Figure:
    """Accuracy over rank, one line a p, the area under each shaded, and the rank that is looked at.

    Args:
        curves: For each p, the layer's curve on the same class.
        layer: The layer, for the title.
        batch: What the batch is, for the title.
        axis: The rank axis that the area is taken over.
        k: The rank at which a line is drawn.
    """
    figure = go.Figure()
    for p, curve in curves.items():
        figure.add_scatter(
            x=curve.ranks, y=curve.accuracy, name=f"p = {p:g}: AuC {curve.auc_over(axis):.2f}", mode="lines+markers",
            fill="tozeroy", fillcolor=colour_of(p, 0.12), line={"color": colour_of(p), "width": 2},
            marker={"symbol": marker_of(p), "size": 8},
            hovertemplate=f"p = {p:g}<br>k = %{{x}}<br>accuracy %{{y:.2f}}<extra></extra>",
        )  # fmt: skip
    figure.add_vline(k, line={"color": GREY, "dash": "dash", "width": 1})
    set_rank_axis(figure, max(curve.ranks[-1] for curve in curves.values()), axis)
    figure.update_yaxes(title="accuracy on given labels", range=[-0.03, 1.05])
    return laid_out(figure, f"Accuracy over rank at {layer}", batch)
