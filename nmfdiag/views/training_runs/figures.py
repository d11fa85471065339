"""Monitored runs -> plotly figures: losses, accuracies and a measure over epochs, and a map of layers."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count

import plotly.graph_objects as go

from nmfdiag.measures.methods import METHODS
from nmfdiag.monitor.run_logs import EpochValues, log_names, logged_values
from nmfdiag.monitor.run_reader import Run
from nmfdiag.plots.theme import GREY, P_MARKERS, colour_of, set_layout
from nmfdiag.text import for_plot
from nmfdiag.views.epochs import (
    FAINT,
    THICK,
    THIN,
    EpochMeasure,
    add_error_band,
    add_line,
    annotate_epoch,
    layer_map,
    panels,
    set_panel_axes,
)
from nmfdiag.views.training_runs.tables import (
    Line,
    Reading,
    around,
    mean_over_layers,
    measured_values,
    method_of,
    recorded_epochs,
    spread_over_runs,
)

OWN_COLOURS = ((31, 130, 136), (128, 138, 143), (84, 160, 158), (98, 108, 114))
"""Red, green and blue of runs whose p is unknown: the accent and greys, readable on white and on black."""
MOST_RUNS = len(P_MARKERS)
MARKERS_A_LINE = 10
PANEL_HEIGHTS = {"loss": 190, "acc": 190, "measure": 300}
EPOCHS_AHEAD = 10
LEADING = {"dash": "solid", "width": THICK}
CONTROL = {"dash": METHODS["random"].dash, "width": THIN + 0.5}
SOLIDS = ("solid", "longdash", "dashdot")


def live_figure(
    lines: Sequence[Line],
    measure: EpochMeasure,
    readings: Sequence[Reading],
    *,
    layers: str,
    window: int,
    growing: bool,
) -> go.Figure:
    """Draw losses and accuracies, where they are logged, and a measure over the epochs, with peaks marked.

    Args:
        lines: At most :data:`MOST_RUNS` lines.
        measure: The measure of the last panel.
        readings: Where the stopping rule stands; the highest value of a single run that stopped rising is marked.
        layers: All layers, or one layer.
        window: Epochs that the thick lines are smoothed over; 1 leaves them raw.
        growing: Whether a run is under way: the axis then has room, so that not every new epoch moves it.
    """
    runs = [run for line in lines for run in line.runs]
    logs = {part: log_names(runs, part) for part in ("loss", "acc")}
    parts = [part for part in PANEL_HEIGHTS if part == "measure" or logs[part]]
    heights = [PANEL_HEIGHTS[part] for part in parts]
    figure = panels(heights)
    for line in lines:
        _add_name(figure, line, with_marker=len(lines) > 1)
        for name, row, values, style in _series(line, logs, parts, measure, layers):
            _add_values(figure, line, name, row, values, style, window, several=len(lines) > 1)
    methods = " or ".join(dict.fromkeys(METHODS[method_of(run)].title for run in runs))
    _add_styles(figure, methods, [key for keys in logs.values() for key in keys], window)
    _mark_stops(figure, lines, readings, len(parts))
    last = max((run.epoch for run in readings), default=0)
    if growing:
        last = math.ceil((last + 1) / EPOCHS_AHEAD) * EPOCHS_AHEAD
    set_panel_axes(figure, parts, measure, loss="loss", last=last)
    figure.update_xaxes(title="epoch", row=len(parts))
    name = for_plot(lines[0].label) if len(lines) == 1 else f"{len(lines)} runs"
    set_layout(figure, f"{name}: {measure.title}, {for_plot(layers)}")
    margin = {"l": 60, "r": 20, "t": 72, "b": 50}
    legend = {"y": -0.09 * 680 / sum(heights), "yanchor": "top", "itemclick": False, "itemdoubleclick": False}
    return figure.update_layout(
        height=sum(heights) + 140 + 10 * len(lines), margin=margin, legend=legend, uirevision=name
    )


def _series(
    line: Line, logs: Mapping[str, Sequence[str]], parts: Sequence[str], measure: EpochMeasure, layers: str
) -> Iterator[tuple[str, int, Callable[[Run], EpochValues], dict]]:
    """Yield name, panel, values and style of everything that is drawn of a line's runs."""
    for row, part in enumerate(parts[:-1], 1):
        solids = count()
        for key in logs[part]:
            training = "train" in key
            dash = "dash" if training else SOLIDS[min(next(solids), len(SOLIDS) - 1)]
            style = {"dash": dash, "width": THIN if training else THICK}
            yield key.replace("_", " "), row, partial(logged_values, key=key), style
    title = METHODS[method_of(line.runs[0])].title
    yield title, len(parts), lambda run: measured_values(run, method_of(run), measure.value, layers), LEADING
    if control := measure.control:
        yield "random ablation", len(parts), lambda run: measured_values(run, *control, layers), CONTROL


def map_figure(label: str, run: Run, measure: EpochMeasure) -> go.Figure:
    """Draw the measure of each layer (row) at each epoch (column) of one run; epochs that were not measured are blank."""
    method = method_of(run)
    by_layer = {layer: mean_over_layers(run, method, measure.value, [layer]) for layer in run.layers}
    recorded = recorded_epochs([run])
    epochs = sorted({*around({epoch for values in by_layer.values() for epoch in values}, recorded), *recorded[-1:]})
    cells = {layer: {epoch: (value,) for epoch, value in values.items()} for layer, values in by_layer.items()}
    return layer_map(cells, epochs, title=label, measure=measure, epoch_title="epoch")


def colour(line: Line, opacity: float = 1.0) -> str:
    """Return a line's colour: that of its p, or one of :data:`OWN_COLOURS` where p is unknown."""
    if line.p is not None:
        return colour_of(line.p, opacity)
    red, green, blue = OWN_COLOURS[line.place % len(OWN_COLOURS)]
    return f"rgba({red},{green},{blue},{opacity:g})"


def _add_values(
    figure: go.Figure, line: Line, name: str, row: int, values: Callable[[Run], EpochValues], style: dict, window: int,
    *, several: bool,
) -> None:  # fmt: skip
    spreads = spread_over_runs(line, values)
    if not spreads:
        return
    epochs = around(spreads.keys(), recorded_epochs(line.runs))
    means = [spreads.get(epoch) for epoch in epochs]
    add_error_band(figure, epochs, means, colour(line, 0.15), row=row)
    is_measure = style in (LEADING, CONTROL)
    symbol = P_MARKERS[line.place % MOST_RUNS] + ("-open" if style == CONTROL else "")
    with_markers = is_measure or several or len(spreads) < 3
    add_line(
        figure, epochs, means, row=row, name=name, label=f"{for_plot(line.label)}<br>{for_plot(name)}",
        line=style | {"color": colour(line)}, window=window, mode="lines+markers" if with_markers else "lines", showlegend=False,
        marker={"symbol": symbol, "size": 7, "maxdisplayed": 0 if is_measure else MARKERS_A_LINE},
    )  # fmt: skip


def _add_name(figure: go.Figure, line: Line, *, with_marker: bool) -> None:
    """Add the line's entry in the legend, independent of its values."""
    figure.add_scatter(
        x=[None], y=[None], mode="lines+markers" if with_marker else "lines", line={"color": colour(line), "width": THICK},
        marker={"symbol": P_MARKERS[line.place % MOST_RUNS], "size": 8},
        name=for_plot(line.label) + (" (p unknown)" if line.p is None else f" (p = {line.p:g})"),
    )  # fmt: skip


def _add_styles(figure: go.Figure, methods: str, logs: Sequence[str], window: int) -> None:
    """Explain the line styles in the legend."""
    styles: list[tuple[str, dict]] = [(methods, LEADING), ("random ablation", CONTROL)]
    styles += [("test samples", LEADING)] if any("train" not in key for key in logs) else []
    styles += [("training samples", {"dash": "dash", "width": THIN})] if any("train" in key for key in logs) else []
    for name, style in styles:
        figure.add_scatter(x=[None], y=[None], mode="lines", line=style | {"color": GREY}, name=name)
    if window > 1:
        line = {"color": GREY, "width": THICK}
        figure.add_scatter(x=[None], y=[None], mode="lines", line=line, opacity=FAINT, name="raw")


def _mark_stops(figure: go.Figure, lines: Sequence[Line], readings: Sequence[Reading], row: int) -> None:
    """Mark the highest value of each single run that has not risen for long: a dot on its measure, and a line through all panels."""
    by_label = {reading.label: reading for reading in readings}
    for line in lines:
        reading = by_label.get(line.label)
        if reading is None or reading.stop is None:
            continue
        figure.add_vline(reading.stop, line={"color": colour(line), "dash": "solid", "width": 1}, opacity=0.7)
        figure.add_scatter(
            x=[reading.stop], y=[reading.values[reading.stop]], mode="markers", showlegend=False, name="peak",
            marker={
                "symbol": P_MARKERS[line.place % MOST_RUNS], "size": 13, "color": colour(line), "line": {"width": 2, "color": "white"},
            },
            hovertemplate=f"{for_plot(line.label)}<br>highest: epoch %{{x}}<br>%{{y:.3f}}<extra></extra>", row=row, col=1,
        )  # fmt: skip
        if len(lines) == 1:
            annotate_epoch(figure, reading.stop, f"highest: epoch {reading.stop}", last=reading.epoch, shift=3)
