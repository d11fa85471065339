"""A layer profile of any network -> figures of the report. No p is known here, so there are no colours of p."""

from collections.abc import Mapping

import plotly.graph_objects as go

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.profile import LayerProfile
from nmfdiag.measures.summary import Spread, mean_curve, spread
from nmfdiag.views.figures import (
    GREY,
    METHOD_DASHES,
    METHOD_TITLES,
    SEQUENTIAL,
    laid_out,
    set_layer_axis,
    set_rank_axis,
)

ACCENT = "#0b6b70"
INTERVAL = 1.96


def profile_figure(by_method: Mapping[str, Mapping[str, Spread]], layers: list[str], found: Phases) -> go.Figure:
    """AuC by layer: mean over batches with a 95 % interval, phases shaded."""
    figure = go.Figure()
    for method, by_layer in by_method.items():
        figure.add_scatter(
            x=list(by_layer), y=[s.mean for s in by_layer.values()], name=METHOD_TITLES[method], mode="lines+markers",
            line={"color": ACCENT, "dash": METHOD_DASHES[method], "width": 2},
            error_y={"array": [INTERVAL * s.sem for s in by_layer.values()], "thickness": 1.2},
            customdata=[[INTERVAL * s.sem, s.n] for s in by_layer.values()],
            hovertemplate="%{x}<br>AuC %{y:.3f} ± %{customdata[0]:.3f} (%{customdata[1]} batches)<extra></extra>",
        )  # fmt: skip
    if found.clear:
        for words, part in (("feature extraction", found.feature_extraction), ("memorisation", found.memorisation),
                            ("clustering", found.clustering)):  # fmt: skip
            if part:
                x0, x1 = layers.index(part[0]) - 0.5, layers.index(part[-1]) + 0.5
                shade = 0.12 if words == "memorisation" else 0.04
                figure.add_vrect(x0=x0, x1=x1, fillcolor=f"rgba(128,128,128,{shade})", line_width=0)
                figure.add_annotation(x=(x0 + x1) / 2, y=1.06, yref="paper", text=words, showarrow=False)
    set_layer_axis(figure, layers)
    figure.update_yaxes(title="AuC (area under accuracy over k)", range=[0, 1.05])
    return laid_out(figure, "AuC by layer, ± 95 % over batches")


def classes_figure(profile: LayerProfile, method: str, layers: list[str]) -> go.Figure:
    """AuC of every class and layer."""
    cells = {(m.curve.layer, m.class_idx): m.curve.auc for m in profile.measured if m.curve.method == method}
    classes = sorted({c for _, c in cells if c is not None})
    figure = go.Figure(
        go.Heatmap(
            x=layers,
            y=[str(c) for c in classes],
            z=[[cells.get((layer, c)) for layer in layers] for c in classes],
            zmin=0,
            zmax=1,
            colorscale=SEQUENTIAL,
            colorbar={"title": "AuC"},
            hovertemplate="class %{y} at %{x}<br>AuC %{z:.3f}<extra></extra>",
        )
    )
    figure.update_yaxes(title="given class", type="category")
    figure.update_xaxes(title="layer, input to output", type="category")
    return laid_out(figure, "AuC by class and layer").update_layout(height=max(320, 120 + 22 * len(classes)))


def curves_figure(curves: list[CompressionCurve], layer: str) -> go.Figure:
    """Accuracy over rank at one layer: faint lines are batches, the thick one their mean."""
    figure = go.Figure()
    for curve in curves:
        figure.add_scatter(
            x=curve.ranks, y=curve.accuracy, mode="lines", line={"color": ACCENT, "width": 1}, opacity=0.3, showlegend=False,
            hoverinfo="skip",
        )  # fmt: skip
    at = mean_curve(curves)
    figure.add_scatter(
        x=list(at), y=[s.mean for s in at.values()], mode="lines+markers", name="mean over batches",
        line={"color": ACCENT, "width": 3}, hovertemplate="k = %{x}<br>accuracy %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(
        spread([curve.baseline_accuracy for curve in curves]).mean, line={"color": GREY, "dash": "dash", "width": 1}
    )
    set_rank_axis(figure, max(k for curve in curves for k in curve.ranks), "log")
    figure.update_yaxes(title="accuracy on given labels", range=[-0.03, 1.05])
    return laid_out(figure, f"Accuracy over rank at {layer}")
