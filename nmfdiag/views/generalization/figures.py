"""Networks -> plotly figures: generalisation gap over AuC (figure 5), every definition's r, one network's AuC by layer."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nmfdiag.evidence.records import NetworkRecord
from nmfdiag.measures.methods import METHODS, PAPER_METHODS
from nmfdiag.measures.stats.regression import fitted_line
from nmfdiag.plots.theme import (
    GREY,
    HEIGHT,
    colour_of,
    fill_between,
    marker_of,
    scale_ends,
    set_layer_axis,
    set_layout,
)
from nmfdiag.views.generalization.sentences import interval_text
from nmfdiag.views.generalization.tables import COMPARED, DATASETS, STATISTICS, Selection, Verdict
from nmfdiag.zoo.experiments import PRIMARY, Definition

FAINT = 0.5
BAND = "rgba(128,128,128,0.18)"
LINE = "#808080"
"""Colour of a fitted line: opaque, since it lies on the points."""
ERROR_RANGE = (-0.1, 1.05)
ROW_HEIGHT = 30
DEFINITION_MARKERS = {"nmf": "circle", "pca": "circle-open", "random": "diamond-open"}
DODGE = {"nmf": -0.22, "pca": 0.0, "random": 0.22}


def scatter_figure(selection: Selection, *, ringed: str = "") -> go.Figure:
    """Draw generalisation gap over AuC: one panel per method, one point per network, the fitted line with its band, r in the title.

    Args:
        selection: The networks, and the groups that they are compared within.
        ringed: The network to mark with a ring.
    """
    verdict = selection.verdict()
    titles = [
        f"<b>{METHODS[m].title}</b><br>r = {interval_text(correlation).replace(' (', '<br>(')}"
        for m, correlation in verdict.by_method.items()
    ]
    figure = make_subplots(cols=len(PAPER_METHODS), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.03)
    errors = selection.deviations(selection.errors)
    for col, method in enumerate(PAPER_METHODS, 1):
        areas = selection.deviations(selection.areas(method))
        _add_points(figure, selection, areas, errors, method, col)
        _add_line(figure, areas, errors, method, col)
        rings = [i for i, record in enumerate(selection.records) if record.name == ringed]
        figure.add_scatter(
            x=[areas[i] for i in rings], y=[errors[i] for i in rings], mode="markers", name=ringed, hoverinfo="skip",
            showlegend=False, marker={"symbol": "circle-open", "size": 19, "color": GREY, "line": {"width": 2.5}},
            row=1, col=col,
        )  # fmt: skip
    _add_keys(figure, selection)
    over = "AuC over log k" if selection.definition.axis == "log" else "AuC"
    raw = selection.compared == COMPARED[0]
    suffix = "" if raw else ", less its group's mean"
    low, high = scale_ends(area for method in PAPER_METHODS for area in selection.areas(method))
    figure.update_xaxes(title=over + suffix, range=(low - 0.02, high + 0.02) if raw else None, matches="x")
    figure.update_yaxes(range=ERROR_RANGE if raw else None)
    figure.update_yaxes(title=f"generalisation gap{suffix}", col=1)
    set_layout(figure, "Generalisation gap over AuC", selection.definition.text)
    figure.update_annotations(font={"size": 13})
    return figure.update_layout(
        height=HEIGHT + 100,
        margin={"l": 60, "r": 20, "t": 125, "b": 50},
        legend={"y": -0.2, "tracegroupgap": 0},
    )


def definitions_figure(verdicts: Sequence[Verdict], statistic: str = "pearson") -> go.Figure:
    """Draw the coefficient of every declared definition and method with its interval; the primary definition on top, in bold."""
    rows = [verdict for verdict in verdicts if verdict.statistic == statistic]
    rows.sort(key=lambda verdict: verdict.definition != PRIMARY)
    figure = go.Figure()
    for method in PAPER_METHODS:
        points = [(i, v.by_method[method]) for i, v in enumerate(rows) if v.by_method[method].r is not None]
        ends: list[tuple[float | None, float | None]] = []
        for i, correlation in points:
            y = i + DODGE[method]
            ends += [(correlation.low, y), (correlation.high, y), (None, None)]
        figure.add_scatter(
            x=[x for x, _ in ends], y=[y for _, y in ends], mode="lines", hoverinfo="skip", showlegend=False,
            legendgroup=method, line={"color": GREY, "dash": METHODS[method].dash, "width": 2},
        )  # fmt: skip
        first = [rows[i].strongest == method for i, _ in points]
        figure.add_scatter(
            x=[correlation.r for _, correlation in points], y=[i + DODGE[method] for i, _ in points], name=METHODS[method].title,
            mode="markers", legendgroup=method,
            marker={"symbol": DEFINITION_MARKERS[method], "size": 9, "color": GREY, "line": {"width": 2}},
            text=[
                f"{METHODS[method].title}, {rows[i].definition.text}<br>{STATISTICS[statistic]} = {interval_text(correlation)}"
                f"{'<br>the strongest here' if leads else ''}"
                for (i, correlation), leads in zip(points, first, strict=True)
            ],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    figure.add_vline(0, line={"color": GREY, "width": 1})
    highest = max((x for trace in figure.data for x in trace.x if x is not None), default=1)
    names = [_name(v.definition) for v in rows]
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=names, range=[len(rows) - 0.5, -0.5], automargin=True,
        showgrid=False, zeroline=False,
    )  # fmt: skip
    figure.update_xaxes(
        title=f"{STATISTICS[statistic]} of AuC and generalisation gap", range=[-1.02, max(0.1, highest + 0.05)]
    )
    set_layout(figure, f"{STATISTICS[statistic]} under every declared definition")
    return figure.update_layout(height=150 + ROW_HEIGHT * len(rows), legend={"y": -0.13})


def layers_figure(record: NetworkRecord, definition: Definition) -> go.Figure:
    """Draw AuC by layer of one network, one line per method; the layers of the definition are shaded if it excludes some."""
    figure, p = go.Figure(), record.recipe.label_noise
    for method in PAPER_METHODS:
        figure.add_scatter(
            x=record.layers, y=record.auc[definition.batch][method][definition.axis], name=METHODS[method].title,
            mode="lines+markers", line={"color": colour_of(p), "dash": METHODS[method].dash, "width": 2},
            marker={"symbol": marker_of(p), "size": 8},
            hovertemplate=f"{METHODS[method].title}<br>%{{x}}<br>AuC %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    counted = definition.members(record.layers)
    if len(counted) < len(record.layers):
        ends = (record.layers.index(counted[0]) - 0.5, record.layers.index(counted[-1]) + 0.5)
        figure.add_vrect(x0=ends[0], x1=ends[1], fillcolor="rgba(128,128,128,0.12)", line_width=0)
    baseline = record.baseline[definition.batch]
    figure.add_hline(baseline, line={"color": GREY, "dash": "dash", "width": 1})
    figure.add_scatter(
        x=[None], y=[None], name="uncompressed", mode="lines", line={"color": GREY, "dash": "dash", "width": 1}
    )
    set_layer_axis(figure, record.layers)
    figure.update_yaxes(title=f"AuC over {'log k' if definition.axis == 'log' else 'k'}", range=[0, 1.05])
    set_layout(figure, f"{record.name}: AuC by layer, {definition.batch}-class batches")
    return figure.update_layout(height=HEIGHT - 60, legend={"y": -0.45})


def _add_line(figure: go.Figure, x: Sequence[float], y: Sequence[float], method: str, col: int) -> None:
    if (line := fitted_line(x, y)) is None:
        return
    fill_between(figure, line.at, line.low, line.high, BAND, row=1, col=col)
    figure.add_scatter(
        x=line.at, y=line.values, mode="lines", hoverinfo="skip", showlegend=False, name=f"line of {METHODS[method].title}",
        line={"color": LINE, "dash": METHODS[method].dash, "width": 3}, row=1, col=col,
    )  # fmt: skip


def _add_points(
    figure: go.Figure, selection: Selection, x: Sequence[float], y: Sequence[float], method: str, col: int
) -> None:
    for p in sorted({record.recipe.label_noise for record in selection.records}):
        indices = [i for i, record in enumerate(selection.records) if record.recipe.label_noise == p]
        records = [selection.records[i] for i in indices]
        figure.add_scatter(
            x=[x[i] for i in indices], y=[y[i] for i in indices], mode="markers", name=f"p = {p:g}", legendgroup=f"p = {p:g}",
            showlegend=col == 1,
            marker={
                "symbol": [_symbol(record) for record in records], "size": [9 if record.fits else 7 for record in records], "color": colour_of(p),
                "opacity": [1 if record.fits else FAINT for record in records], "line": {"width": 1.5, "color": colour_of(p)},
            },
            customdata=[[record.name, _hover(record, method, selection.definition)] for record in records],
            hovertemplate="%{customdata[1]}<extra></extra>", row=1, col=col,
        )  # fmt: skip


def _add_keys(figure: go.Figure, selection: Selection) -> None:
    """Add legend entries for the meaning of markers beside p."""
    datasets = list(dict.fromkeys(record.recipe.dataset for record in selection.records))
    keys: list[tuple[str, dict[str, Any]]] = [
        (dataset, {"symbol": f"circle{_open(dataset)}"}) for dataset in datasets if len(datasets) > 1 or _open(dataset)
    ]
    if not all(record.fits for record in selection.records):
        keys.append(("small and faint: did not fit", {"symbol": "circle", "size": 7, "opacity": FAINT}))
    for name, marker in keys:
        figure.add_scatter(
            x=[None], y=[None], name=name, mode="markers", marker={"size": 9, "color": GREY, **marker}, row=1, col=1
        )


def _symbol(record: NetworkRecord) -> str:
    return marker_of(record.recipe.label_noise) + _open(record.recipe.dataset)


def _open(dataset: str) -> str:
    return "" if dataset == DATASETS[1] else "-open"


def _hover(record: NetworkRecord, method: str, definition: Definition) -> str:
    return (
        f"{record.name}: {record.recipe.dataset}, p = {record.recipe.label_noise:g}<br>{METHODS[method].title} AuC "
        f"{record.area(method, definition):.3f}<br>generalisation gap {record.generalization_error:.3f}<br>training accuracy "
        f"{record.train_accuracy:.3f}, test {record.test_accuracy:.3f}{'' if record.fits else '<br>did not fit its labels'}"
    )


def _name(definition: Definition) -> str:
    axis = "log k" if definition.axis == "log" else "linear k"
    title = f"{definition.layers}, {axis}, {definition.batch}-class"
    return f"<b>{title} (primary)</b>" if definition == PRIMARY else title
