"""Single-class against multi-class batches -> figure and table: one column a data set and architecture (figure 4)."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.summary import Spread, spread
from nmfdiag.plots.theme import GREY, add_band, colour_of, laid_out, marker_of
from nmfdiag.views.batches.sentences import mean_accuracy, zero_accuracy
from nmfdiag.views.selection import Choice, Curves

KINDS = {"single-class": False, "multi-class": True}
HEIGHT = 560


def batches_figure(choices: Sequence[Choice], results: Curves, *, current: str) -> go.Figure:
    """AuC by layer, one column a family: single-class batches above, multi-class ones below, what k = 0 gives beside.

    Args:
        choices: One a family, with the method and the axis that areas are taken over.
        results: Curves of all of them; what is missing leaves its place empty.
        current: The family whose layers open their curve when they are clicked.
    """
    figure = make_subplots(
        rows=2, cols=len(choices), shared_yaxes=True, shared_xaxes="columns", vertical_spacing=0.06,
        horizontal_spacing=0.1 / len(choices), column_titles=[one.family.replace(" ", "<br>") for one in choices],
    )  # fmt: skip
    figure.update_annotations(font_size=11)  # the columns' titles, side by side on a narrow screen too
    named: set[str] = set()
    for column, one in enumerate(choices, 1):
        for row, multi in enumerate(KINDS.values(), 1):
            panel = _panel(one, one.part(results, multi=multi), clickable=one.family == current)
            for trace in panel.data:
                if trace.name:
                    trace.update(legendgroup=trace.name, showlegend=trace.name not in named)
                    named.add(trace.name)
            figure.add_traces(panel.data, rows=row, cols=column)
        figure.update_xaxes(
            categoryorder="array", categoryarray=one.layers, range=[-0.5, len(one.layers) - 0.5], tickangle=-90,
            tickfont_size=11, col=column,
        )  # fmt: skip
    figure.update_yaxes(range=[-0.03, 1.05], tickvals=[0, 0.25, 0.5, 0.75, 1])
    over = "log k" if choices[0].axis == "log" else "k"
    for row, kind in enumerate(KINDS, 1):
        figure.update_yaxes(title=f"{kind}: AuC over {over}", row=row, col=1)
    laid_out(figure, "AuC by layer", choices[0].batch_words)
    return figure.update_layout(height=HEIGHT, margin_t=100, legend_y=-0.22)


def _panel(choice: Choice, results: Curves, *, clickable: bool) -> go.Figure:
    """One family on one kind of batch."""
    figure = go.Figure()
    auc, zero, mean = (choice.spreads(results, of, choice.method) for of in (choice.area, zero_accuracy, mean_accuracy))
    for p, by_layer in auc.items():
        add_band(figure, list(by_layer), list(by_layer.values()), p)
    for p, by_layer in auc.items():
        figure.add_scatter(
            x=list(by_layer), y=[s.mean for s in by_layer.values()], name=f"p = {p:g}", mode="lines+markers",
            line={"color": colour_of(p), "dash": METHODS[choice.method].dash, "width": 2},
            marker={"symbol": marker_of(p), "size": 7},
            customdata=[
                [layer if clickable else "", s.sem, s.n, zero[p][layer].mean, mean[p][layer].mean]
                for layer, s in by_layer.items()
            ],
            hovertemplate=f"{choice.family}, p = {p:g}<br>%{{x}}: AuC %{{y:.3f}} ± %{{customdata[1]:.3f}} "
            "(%{customdata[2]} batches)<br>k = 0, zeros: %{customdata[3]:.2f}; every row the mean row: "
            "%{customdata[4]:.2f}<extra></extra>",
        )  # fmt: skip
    for p, levels in mean.items():
        figure.add_scatter(
            x=list(levels), y=[s.mean for s in levels.values()], name="k = 0: every row the mean row", mode="markers",
            marker={"symbol": "line-ew-open", "size": 9, "color": colour_of(p), "line": {"width": 2}}, hoverinfo="skip",
        )  # fmt: skip
    if zero:
        level = spread([s.mean for by_layer in zero.values() for s in by_layer.values()]).mean
        figure.add_scatter(
            x=[choice.layers[0], choice.layers[-1]], y=[level] * 2, name="k = 0: all channels zero", mode="lines",
            line={"color": GREY, "dash": "dash", "width": 1},
            hovertemplate=f"k = 0: all channels zero: accuracy {level:.2f} (mean over layers and p)<extra></extra>",
        )  # fmt: skip
    return figure


def batches_table(choices: Sequence[Choice], results: Curves) -> pd.DataFrame:
    """AuC by family, p and layer on either kind of batch, their difference, and the accuracies at k = 0."""
    rows = []
    for one in choices:
        auc, zero, mean = (
            {kind: one.spreads(one.part(results, multi=multi), of, one.method) for kind, multi in KINDS.items()}
            for of in (one.area, zero_accuracy, mean_accuracy)
        )
        for p in (n.recipe.label_noise for n in one.networks):
            for layer in one.layers:
                row: dict[str, object] = {"family": one.family, "p": p, "layer": layer}
                found: dict[str, Spread | None] = {kind: auc[kind].get(p, {}).get(layer) for kind in KINDS}
                for kind, s in found.items():
                    row |= {f"{kind} AuC": s and s.mean, f"± ({kind})": s and s.sem}
                single, multi = found.values()
                row["difference"] = single.mean - multi.mean if single and multi else None
                for words, values in (("zeros", zero), ("mean row", mean)):
                    for kind, s in found.items():
                        row[f"{words}, {kind}"] = s and values[kind][p][layer].mean
                if single or multi:
                    rows.append(row)
    return pd.DataFrame(rows)
