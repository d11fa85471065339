"""Training runs over their epochs: the measures, and the parts of figures that *Early stopping* and *Training runs* share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nmfdiag.measures.stats.summary import Spread
from nmfdiag.measures.stopping import maximum, smoothed
from nmfdiag.plots.theme import fill_between, set_layout
from nmfdiag.text import for_plot
from nmfdiag.zoo.experiments import LAYER_SETS

ALL = LAYER_SETS[0]
FAINT, THIN, THICK = 0.3, 1, 2.5
SMOOTHINGS = {"none": 1, "3 epochs": 3, "5 epochs": 5}


@dataclass(frozen=True)
class EpochMeasure:
    """A measure that is followed over the epochs.

    Attributes:
        title: On axes and in tables.
        source: The curves that it is read from: ``"nmf"`` or ``"nmf on fitted"``.
        value: Its name among their values.
        rule: The stopping rule that is marked.
        control: Source and value of random ablation, where recorded.
        top: Least upper end of its axis.
    """

    title: str
    source: str
    value: str
    rule: str
    control: tuple[str, str] | None
    top: float = 1.05


MEASURES: dict[str, EpochMeasure] = {
    "absolute": EpochMeasure("AuC", "nmf", "auc", "auc", ("random", "auc")),
    "relative": EpochMeasure("AuC / batch accuracy", "nmf", "relative", "relative", ("random", "relative"), 1.25),
    "on fitted samples": EpochMeasure("AuC on fitted samples", "nmf on fitted", "auc", "fitted", None),
    "k = 1 accuracy": EpochMeasure("accuracy at k = 1", "nmf", "first", "k1", ("random", "first")),
}


def panels(heights: Sequence[float]) -> go.Figure:
    """Return panels below each other that share the axis of epochs."""
    return make_subplots(
        rows=len(heights), cols=1, shared_xaxes=True, vertical_spacing=0.035, row_heights=[h / sum(heights) for h in heights]
    )  # fmt: skip


def add_line(
    figure: go.Figure, epochs: Sequence[int], spreads: Sequence[Spread | None], *,
    row: int, name: str, label: str, line: Mapping[str, Any], window: int, **style: Any,
) -> None:  # fmt: skip
    """Add the mean over runs; smoothed over a window of more than one epoch, with the raw line behind it.

    Args:
        figure: Drawn on.
        epochs: Of the spreads.
        spreads: Mean and standard error at each epoch; None leaves a gap.
        row: The panel.
        name: In the legend.
        label: On hover.
        line: Plotly's line.
        window: Epochs that are smoothed over.
        style: Further fields of the trace.
    """
    mean: Sequence[float | None] = [s.mean if s else None for s in spreads]
    if window > 1:
        figure.add_scatter(
            x=epochs, y=mean, mode="lines", line=line, opacity=FAINT, showlegend=False, hoverinfo="skip",
            name=f"{name}, raw", row=row, col=1,
        )  # fmt: skip
        mean, label = smoothed(mean, window), f"{label}, {window} epochs smoothed"
    error = " ± %{customdata[0]:.3f}" if any(s and s.n > 1 for s in spreads) else ""
    figure.add_scatter(
        x=epochs, y=mean, line=line, name=name, customdata=[[s.sem if s else None] for s in spreads],
        hovertemplate=f"{label}<br>epoch %{{x}}<br>%{{y:.3f}}{error}<extra></extra>", row=row, col=1,
        **{"mode": "lines"} | style,
    )  # fmt: skip


def add_error_band(
    figure: go.Figure, epochs: Sequence[int], spreads: Sequence[Spread | None], colour: str, *, row: int
) -> None:
    """Add a band of one standard error, with gaps where there is none; no band for a single run."""
    parts: list[list[tuple[int, Spread]]] = [[]]
    for epoch, s in zip(epochs, spreads, strict=True):
        if s and s.n > 1:
            parts[-1].append((epoch, s))
        else:
            parts.append([])
    for points in filter(None, parts):
        lower, upper = [s.mean - s.sem for _, s in points], [s.mean + s.sem for _, s in points]
        fill_between(figure, [epoch for epoch, _ in points], lower, upper, colour, row=row, col=1)


def set_panel_axes(figure: go.Figure, parts: Sequence[str], measure: EpochMeasure, *, loss: str, last: int) -> None:
    """Set ranges and titles of the panels: of ``"loss"``, ``"acc"`` and ``"measure"`` those that there are, in this order."""
    figure.update_xaxes(range=[0.5, last + 0.5])
    for row, part in enumerate(parts, 1):
        if part == "loss":
            figure.update_yaxes(title=loss, rangemode="tozero", row=row)
        elif part == "acc":
            figure.update_yaxes(title="accuracy", range=[-0.03, 1.05], row=row)
    axis = f"y{len(parts)}" if len(parts) > 1 else "y"
    highest = max((v for t in figure.data if (t.yaxis or "y") == axis for v in t.y if v is not None), default=0)
    figure.update_yaxes(title=measure.title, range=[-0.03, max(measure.top, 1.02 * highest)], row=len(parts))


def annotate_epoch(figure: go.Figure, epoch: float, text: str, *, last: float, shift: int) -> None:
    """Write above a vertical line, on the side that has room; ``shift`` in pixels above the panels."""
    figure.add_annotation(
        x=epoch, xref="x", y=1, yref="paper", yshift=shift, yanchor="bottom", showarrow=False,
        xanchor="left" if epoch < last / 2 else "right", text=text, font={"size": 12},
    )  # fmt: skip


def layer_map(
    cells: Mapping[str, Mapping[int, Sequence[float]]], epochs: Sequence[int], *,
    title: str, measure: EpochMeasure, epoch_title: str, error: str = "", gap: int | None = None,
) -> go.Figure:  # fmt: skip
    """Draw a measure of each layer (row) at each epoch (column), with the highest epoch of each layer marked.

    Args:
        cells: For each layer and epoch the value, and what ``error`` reads.
        epochs: The columns.
        title: The run, or the setting of several.
        measure: The measure.
        epoch_title: Title of the axis of epochs.
        error: What follows the value on hover; a cell's numbers are ``customdata[1]``, ``customdata[2]``, and so on.
        gap: Pixels between columns.
    """
    names = {layer: for_plot(layer) for layer in cells}
    z = [[row[epoch][0] if epoch in row else None for epoch in epochs] for row in cells.values()]
    values = [value for row in z for value in row if value is not None]
    figure = go.Figure()
    # The theme's colour scale, as on the map of classes: low values are strong.
    figure.add_heatmap(
        z=z, x=epochs, y=list(names.values()), reversescale=True, xgap=gap, ygap=1, hoverinfo="skip", hoverongaps=False,
        zmin=int(10 * min(values, default=0)) / 10, zmax=max(1.0, *values) if values else 1,
        colorbar={"title": {"text": measure.title}, "thickness": 12, "outlinewidth": 0},
    )  # fmt: skip
    # Streamlit gets no clicks on a heat map, so invisible points lie on it.
    points = [(layer, epoch, cell) for layer, row in cells.items() for epoch, cell in row.items()]
    figure.add_scatter(
        x=[epoch for _, epoch, _ in points], y=[names[layer] for layer, *_ in points], mode="markers", showlegend=False,
        marker={"size": 14, "symbol": "square", "opacity": 0}, customdata=[[layer, *cell] for layer, _, cell in points],
        hovertemplate=f"%{{y}}, epoch %{{x}}<br>%{{customdata[1]:.3f}}{error}<extra></extra>",
    )  # fmt: skip
    peaks = [
        (list(row)[stop.kept - 1], names[layer])
        for layer, row in cells.items()
        if (stop := maximum([cell[0] for cell in row.values()]))
    ]
    figure.add_scatter(
        x=[epoch for epoch, _ in peaks], y=[name for _, name in peaks], mode="markers", name="highest of the layer",
        marker={"symbol": "circle", "size": 10, "color": "white", "line": {"width": 2, "color": "black"}},
        hoverinfo="skip", showlegend=True,
    )  # fmt: skip
    last = max(epochs, default=1)
    figure.update_xaxes(title=epoch_title, range=[0.5, last + 0.5], showgrid=False, zeroline=False)
    figure.update_yaxes(
        title="layer, input on top", type="category", range=[len(names) - 0.5, -0.5], showgrid=False, zeroline=False,
        automargin=True,
    )  # fmt: skip
    set_layout(figure, f"{for_plot(title)}: {measure.title} by layer")
    return figure.update_layout(height=220 + 28 * len(names), hoverdistance=-1, legend={"y": -0.3, "yanchor": "top"})
