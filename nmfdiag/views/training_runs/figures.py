"""Monitored runs -> plotly figures: losses, accuracies and a measure over epochs, and a map of layers."""

import math
from collections.abc import Callable, Sequence
from itertools import count

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stopping import maximum, smoothed
from nmfdiag.monitor.run_reader import Run
from nmfdiag.plots.theme import GREY, P_MARKERS, colour_of, laid_out
from nmfdiag.text import for_plot
from nmfdiag.views.stopping.figures import FAINT, THICK, THIN
from nmfdiag.views.stopping.tables import Shown
from nmfdiag.views.training_runs.tables import (
    Line,
    Reading,
    Series,
    Values,
    log_names,
    logged,
    looked,
    looked_at,
    method_of,
    over_runs,
)

OWN_COLOURS = ((31, 130, 136), (128, 138, 143), (84, 160, 158), (98, 108, 114))
"""Of runs whose p is unknown: the accent and greys, readable on white and on black."""
MOST_RUNS = len(P_MARKERS)
MARKERS_A_LINE = 10
PANEL_HEIGHTS = {"loss": 190, "acc": 190, "measure": 300}
EPOCHS_AHEAD = 10
LEADING = {"dash": "solid", "width": THICK}
CONTROL = {"dash": METHODS["random"].dash, "width": THIN + 0.5}
SOLIDS = ("solid", "longdash", "dashdot")


def live_figure(
    lines: Sequence[Line], shown: Shown, readings: Sequence[Reading], *, layers: str, window: int, growing: bool
) -> go.Figure:
    """Panels over the epochs: losses and accuracies where they are logged, and the measure; stops marked.

    Args:
        lines: What is drawn, at most :data:`MOST_RUNS`.
        shown: The measure of the last panel.
        readings: Where runs should have stopped; those of single runs are marked.
        layers: All layers or one.
        window: Epochs that the thick lines are smoothed over; 1 leaves them as they are.
        growing: Whether a run is under way: the epochs then have room, so that not every new one moves the axis.
    """
    runs = [run for line in lines for run in line.runs]
    logs = {part: log_names(runs, part) for part in ("loss", "acc")}
    panels = [part for part in PANEL_HEIGHTS if part == "measure" or logs[part]]
    heights = [PANEL_HEIGHTS[part] for part in panels]
    figure = make_subplots(
        rows=len(panels),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.035,
        row_heights=[h / sum(heights) for h in heights],
    )
    for line in lines:
        _add_name(figure, line, with_marker=len(lines) > 1)
        for row, part in enumerate(panels[:-1], 1):
            others = count()
            for what in logs[part]:
                training = "train" in what
                dash = "dash" if training else SOLIDS[min(next(others), len(SOLIDS) - 1)]
                style = {"dash": dash, "width": THIN if training else THICK}
                _add_line(figure, line, what.replace("_", " "), row, _log_of(what), style, window, lines)
        leading = METHODS[method_of(line.runs[0])].title
        _add_line(figure, line, leading, len(panels), _measure_of(shown.value, layers), LEADING, window, lines)
        if shown.control:
            of = _look_of(*shown.control, layers)
            _add_line(figure, line, "random ablation", len(panels), of, CONTROL, window, lines)
    leading = " or ".join(dict.fromkeys(METHODS[method_of(run)].title for run in runs))
    _add_styles(figure, leading, any("train" in what for some in logs.values() for what in some), window)
    _add_stops(figure, lines, readings, len(panels))
    last = max((reading.epoch for reading in readings), default=0)
    figure.update_xaxes(range=[0.5, (math.ceil((last + 1) / EPOCHS_AHEAD) * EPOCHS_AHEAD if growing else last) + 0.5])
    figure.update_xaxes(title="epoch", row=len(panels))
    for row, part in enumerate(panels, 1):
        if part == "loss":
            figure.update_yaxes(title="loss", rangemode="tozero", row=row)
        elif part == "acc":
            figure.update_yaxes(title="accuracy", range=[-0.03, 1.05], row=row)
    axis = f"y{len(panels)}" if len(panels) > 1 else "y"
    highest = max((v for t in figure.data if (t.yaxis or "y") == axis for v in t.y if v is not None), default=0)
    figure.update_yaxes(title=shown.title, range=[-0.03, max(shown.top, 1.02 * highest)], row=len(panels))
    name = for_plot(lines[0].label) if len(lines) == 1 else f"{len(lines)} runs"
    laid_out(figure, f"{name}: {shown.title}, {for_plot(layers)}")
    margin = {"l": 60, "r": 20, "t": 72, "b": 50}
    legend = {"y": -0.09 * 680 / sum(heights), "yanchor": "top", "itemclick": False, "itemdoubleclick": False}
    return figure.update_layout(
        height=sum(heights) + 140 + 10 * len(lines), margin=margin, legend=legend, uirevision=name
    )


def map_figure(label: str, run: Run, shown: Shown) -> go.Figure:
    """The measure of each layer (row) at each epoch (column) of one run; the highest epoch of each layer is marked."""
    found = {layer: looked_at(run, method_of(run), shown.value, [layer]) for layer in run.layers}
    epochs = sorted({epoch for values in found.values() for epoch in values})
    z = [[values.get(epoch) for epoch in epochs] for values in found.values()]
    known = [value for row in z for value in row if value is not None]
    names = [for_plot(layer) for layer in found]
    figure = go.Figure()
    # No colours of its own: the theme's scale, as on the map of classes; strong is low there, too.
    figure.add_heatmap(
        z=z, x=epochs, y=names, reversescale=True, ygap=1, hoverinfo="skip", hoverongaps=False,
        zmin=int(10 * min(known, default=0)) / 10, zmax=max(1.0, *known) if known else 1,
        colorbar={"title": {"text": shown.title}, "thickness": 12, "outlinewidth": 0},
    )  # fmt: skip
    # Streamlit gets no clicks on a heat map, so invisible points lie on it.
    cells = [(layer, epoch, value) for layer, values in found.items() for epoch, value in values.items()]
    figure.add_scatter(
        x=[epoch for _, epoch, _ in cells], y=[for_plot(layer) for layer, *_ in cells], mode="markers", showlegend=False,
        marker={"size": 14, "symbol": "square", "opacity": 0}, customdata=[[layer, value] for layer, _, value in cells],
        hovertemplate="%{y}, epoch %{x}<br>%{customdata[1]:.3f}<extra></extra>",
    )  # fmt: skip
    peaks = [(list(v)[stop.kept - 1], for_plot(n)) for n, v in found.items() if (stop := maximum(list(v.values())))]
    figure.add_scatter(
        x=[epoch for epoch, _ in peaks], y=[layer for _, layer in peaks], mode="markers", name="highest of the layer",
        marker={"symbol": "circle", "size": 10, "color": "white", "line": {"width": 2, "color": "black"}},
        hoverinfo="skip", showlegend=True,
    )  # fmt: skip
    last = max(epochs, default=1)
    figure.update_xaxes(title="epoch", range=[0.5, last + 0.5], showgrid=False, zeroline=False)
    figure.update_yaxes(
        title="layer, input on top", type="category", range=[len(names) - 0.5, -0.5], showgrid=False, zeroline=False,
        automargin=True,
    )  # fmt: skip
    laid_out(figure, f"{for_plot(label)}: {shown.title} by layer")
    return figure.update_layout(height=220 + 28 * len(names), hoverdistance=-1, legend={"y": -0.3, "yanchor": "top"})


def colour(line: Line, opacity: float = 1.0) -> str:
    """A line's colour: that of its p, or a shade of its own where p is unknown."""
    if line.p is not None:
        return colour_of(line.p, opacity)
    red, green, blue = OWN_COLOURS[line.place % len(OWN_COLOURS)]
    return f"rgba({red},{green},{blue},{opacity:g})"


def _log_of(what: str) -> Callable[[Run], Values]:
    return lambda run: logged(run, what)


def _measure_of(value: str, layers: str) -> Callable[[Run], Values]:
    return lambda run: looked(run, method_of(run), value, layers)


def _look_of(method: str, value: str, layers: str) -> Callable[[Run], Values]:
    return lambda run: looked(run, method, value, layers)


def _add_line(
    figure: go.Figure, line: Line, name: str, row: int, of: Callable[[Run], Values], style: dict, window: int,
    lines: Sequence[Line],
) -> None:  # fmt: skip
    at = over_runs(line, of)
    if not at:
        return
    x, y = list(at), [s.mean for s in at.values()]
    place = {"row": row, "col": 1, "showlegend": False}
    drawn = style | {"color": colour(line)}
    _add_band(figure, line, at, place)
    if window > 1:
        figure.add_scatter(x=x, y=y, mode="lines", line=drawn, opacity=FAINT, hoverinfo="skip", name="raw", **place)
    marked = (len(lines) > 1 and style["width"] == THICK) or len(x) < 3
    several = len(line.runs) > 1
    figure.add_scatter(
        x=x, y=smoothed(y, window) if window > 1 else y, mode="lines+markers" if marked else "lines", line=drawn, name=name,
        marker={"symbol": P_MARKERS[line.place % MOST_RUNS], "size": 8, "maxdisplayed": MARKERS_A_LINE},
        customdata=[[s.sem] for s in at.values()],
        hovertemplate=f"{for_plot(line.label)}<br>{for_plot(name)}{f', {window} epochs smoothed' if window > 1 else ''}<br>epoch %{{x}}"
        f"<br>%{{y:.3f}}{' ± %{customdata[0]:.3f}' if several else ''}<extra></extra>",
        **place,
    )  # fmt: skip


def _add_band(figure: go.Figure, line: Line, at: Series, place: dict) -> None:
    """One standard error over seeds."""
    if len(line.runs) > 1:
        upper, lower = [s.mean + s.sem for s in at.values()], [s.mean - s.sem for s in at.values()]
        figure.add_scatter(
            x=[*at, *reversed(at)], y=[*upper, *reversed(lower)], fill="toself", fillcolor=colour(line, 0.15),
            line={"width": 0}, mode="lines", hoverinfo="skip", **place,
        )  # fmt: skip


def _add_name(figure: go.Figure, line: Line, *, with_marker: bool) -> None:
    """The line's entry in the legend, the same whatever has been measured of it."""
    figure.add_scatter(
        x=[None], y=[None], mode="lines+markers" if with_marker else "lines", line={"color": colour(line), "width": THICK},
        marker={"symbol": P_MARKERS[line.place % MOST_RUNS], "size": 8},
        name=for_plot(line.label) + (" (p unknown)" if line.p is None else f" (p = {line.p:g})"),
    )  # fmt: skip


def _add_styles(figure: go.Figure, leading: str, training: bool, window: int) -> None:
    """What the styles of lines mean, in the legend."""
    styles: list[tuple[str, dict]] = [(f"{leading}, test", LEADING), ("random ablation", CONTROL)]
    styles += [("training", {"dash": "dash", "width": THIN})] if training else []
    for name, style in styles:
        figure.add_scatter(x=[None], y=[None], mode="lines", line=style | {"color": GREY}, name=name)
    if window > 1:
        line = {"color": GREY, "width": THICK}
        figure.add_scatter(x=[None], y=[None], mode="lines", line=line, opacity=FAINT, name="raw")


def _add_stops(figure: go.Figure, lines: Sequence[Line], readings: Sequence[Reading], row: int) -> None:
    """Where each single run should have stopped: a dot on its measure, and a line through all panels."""
    by_label = {reading.label: reading for reading in readings}
    for line in lines:
        reading = by_label.get(line.label)
        if reading is None or reading.stop is None:
            continue
        own = colour(line)
        figure.add_vline(reading.stop, line={"color": own, "dash": "solid", "width": 1}, opacity=0.7)
        figure.add_scatter(
            x=[reading.stop], y=[reading.looks[reading.stop]], mode="markers", showlegend=False, name="stop",
            marker={"symbol": P_MARKERS[line.place % MOST_RUNS], "size": 13, "color": own, "line": {"width": 2, "color": "white"}},
            hovertemplate=f"{for_plot(line.label)}<br>should have stopped: epoch %{{x}}<br>%{{y:.3f}}<extra></extra>", row=row, col=1,
        )  # fmt: skip
        if len(lines) == 1:
            left = reading.stop < reading.epoch / 2
            figure.add_annotation(
                x=reading.stop, xref="x", y=1, yref="paper", yshift=3, yanchor="bottom", showarrow=False,
                xanchor="left" if left else "right", text=f"stop: epoch {reading.stop}", font={"size": 12},
            )  # fmt: skip
