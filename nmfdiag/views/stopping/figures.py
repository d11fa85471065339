"""Watched training runs -> plotly figures: test loss, accuracies and a measure over epochs, and a map of layers (figures 6 and 9)."""

from collections.abc import Callable

import plotly.graph_objects as go

from nmfdiag.evidence.records import History
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.summary import spread
from nmfdiag.measures.stopping import RULES, Series, mean_series
from nmfdiag.plots.theme import GREY, colour_of, set_layout
from nmfdiag.views.epochs import (
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
from nmfdiag.views.stopping.sentences import epochs_text
from nmfdiag.views.stopping.tables import Setting, by_layer, least_loss_epochs, measured_series, stop_of

PANEL_HEIGHT = 700
RUNS, MEAN = "runs and their mean", "mean and band"

_HEIGHTS = {"loss": 0.3, "acc": 0.3, "measure": 0.4}
_LOSS, _ACCURACY, _MEASURE = 1, 2, 3


def stopping_figure(setting: Setting, measure: EpochMeasure, *, layers: str, window: int, show: str) -> go.Figure:
    """Draw test loss, accuracies and a measure over the epochs, with stops marked.

    Args:
        setting: The runs.
        measure: The measure of the third panel.
        layers: A set of layers, or one layer.
        window: Epochs that the thick lines are smoothed over; 1 leaves them raw.
        show: :data:`RUNS` or :data:`MEAN`.
    """
    figure = panels(list(_HEIGHTS.values()))

    def add(name: str, row: int, series: Callable[[History], Series], dash: str = "solid", grey: bool = False) -> None:
        _add_runs(figure, setting, name, row, series, dash=dash, grey=grey, window=window, show=show)

    def values_of(source: str, value: str) -> Callable[[History], Series]:
        return lambda run: measured_series(run, source, value, layers)

    add("test", _LOSS, lambda run: run.series("test_loss"))
    add("test", _ACCURACY, lambda run: run.series("test_accuracy"))
    add("training, while it runs", _ACCURACY, lambda run: run.series("train_accuracy"), "dash", grey=True)
    add("NMF", _MEASURE, values_of(measure.source, measure.value), METHODS["nmf"].dash)
    if measure.control:
        add("random ablation", _MEASURE, values_of(*measure.control), METHODS["random"].dash)
    if measure.value != "relative":  # divided by it, it is 1
        add("uncompressed batch", _MEASURE, values_of(measure.source, "baseline"), "dash", grey=True)
    if show == RUNS:
        _mark_epochs(figure, setting, measure, layers)
    _mark_mean_epochs(figure, setting, measure, layers)
    set_panel_axes(figure, list(_HEIGHTS), measure, loss="test loss", last=setting.n_epochs)
    figure.update_xaxes(title=_epoch_title(setting), row=_MEASURE)
    set_layout(figure, f"{setting.title}: {measure.title}, {layers}")
    legend = {"orientation": "h", "y": -0.13, "yanchor": "top"}
    return figure.update_layout(height=PANEL_HEIGHT, legend=legend, margin={"l": 60, "r": 20, "t": 96, "b": 50})


def _add_runs(
    figure: go.Figure, setting: Setting, name: str, row: int, series: Callable[[History], Series], *,
    dash: str, grey: bool, window: int, show: str,
) -> None:  # fmt: skip
    """Add a series of every run, and its mean."""
    by_run = [series(run) for run in setting.runs]
    if all(value is None for values in by_run for value in values):
        return
    n = len(by_run)
    colour = GREY if grey else colour_of(setting.label_noise)
    line = {"color": colour, "dash": dash, "width": THIN if grey else THICK}
    if n > 1 and show == RUNS and not grey:
        for run, values in zip(setting.runs, by_run, strict=True):
            seed = f"seed {run.recipe.seed}"
            figure.add_scatter(
                x=run.series("epoch"), y=values, mode="lines", line=line | {"width": THIN}, opacity=0.45, showlegend=False,
                hovertemplate=f"{seed}, {name}<br>epoch %{{x}}<br>%{{y:.3f}}<extra></extra>", name=seed, row=row, col=1,
            )  # fmt: skip
    means = mean_series(by_run)
    epochs = list(range(1, len(means) + 1))
    if show == MEAN and not grey:
        add_error_band(figure, epochs, means, colour_of(setting.label_noise, 0.15), row=row)
    add_line(
        figure, epochs, means, row=row, name=name, label=f"{name} (mean of {n})" if n > 1 else name, line=line, window=window,
        legendgroup=f"{name}{dash}", showlegend=row != _LOSS,
    )  # fmt: skip


def _mark_epochs(figure: go.Figure, setting: Setting, measure: EpochMeasure, layers: str) -> None:
    """Mark each run's stop on its lines, and its least test loss."""
    stops = [(run, stop.kept) for run in setting.runs if (stop := stop_of(run, measure.rule, layers))]
    lines: tuple[tuple[int, Callable[[History], Series]], ...] = (
        (_LOSS, lambda run: run.series("test_loss")),
        (_ACCURACY, lambda run: run.series("test_accuracy")),
        (_MEASURE, lambda run: measured_series(run, measure.source, measure.value, layers)),
    )
    for row, series in lines:
        figure.add_scatter(
            x=[epoch for _, epoch in stops], y=[series(run)[epoch - 1] for run, epoch in stops], mode="markers", name="kept by the rule",
            marker={"symbol": "circle", "size": 9, "color": colour_of(setting.label_noise), "line": {"width": 1, "color": "white"}},
            showlegend=row == _MEASURE, customdata=[[f"seed {run.recipe.seed}"] for run, _ in stops],
            hovertemplate="%{customdata[0]}: kept epoch %{x}<br>%{y:.3f}<extra></extra>", row=row, col=1,
        )  # fmt: skip
    figure.add_scatter(
        x=least_loss_epochs(setting), y=[min(run.series("test_loss")) for run in setting.runs], mode="markers",
        name="least test loss", customdata=[[f"seed {run.recipe.seed}"] for run in setting.runs],
        marker={"symbol": "circle-open", "size": 11, "color": GREY, "line": {"width": 2}},
        hovertemplate="%{customdata[0]}: least test loss at epoch %{x}<br>%{y:.3f}<extra></extra>", row=_LOSS, col=1,
    )  # fmt: skip


def _mark_mean_epochs(figure: go.Figure, setting: Setting, measure: EpochMeasure, layers: str) -> None:
    """Draw vertical lines through all panels at the mean epochs of the least test loss and of the rule's stop."""
    lines = [(spread(least_loss_epochs(setting)), "least test loss", "dash")]
    stops = [stop.kept for run in setting.runs if (stop := stop_of(run, measure.rule, layers))]
    if stops:
        lines.append((spread(stops), RULES[measure.rule].title, "solid"))
    for i, (epoch, title, dash) in enumerate(lines):
        figure.add_vline(epoch.mean, line={"color": GREY, "dash": dash, "width": 1.5})
        text = f"{title}: epoch {epochs_text(epoch)}"
        annotate_epoch(figure, epoch.mean, text, last=setting.n_epochs, shift=4 + 17 * i)


def map_figure(setting: Setting, measure: EpochMeasure) -> go.Figure:
    """Draw the measure of each layer (row) at each epoch (column), mean over seeds, and the mean epoch of the least test loss."""
    series = by_layer(setting, measure)
    figure = layer_map(
        {layer: {e: (s.mean, s.sem, s.n) for e, s in enumerate(row, 1) if s} for layer, row in series.items()},
        list(range(1, max(len(row) for row in series.values()) + 1)),
        title=setting.title,
        measure=measure,
        epoch_title=_epoch_title(setting),
        error=" ± %{customdata[2]:.3f} (%{customdata[3]} runs)",
        gap=1,
    )
    epoch = spread(least_loss_epochs(setting))
    for line in ({"color": "white", "width": 4}, {"color": "black", "width": 2, "dash": "dash"}):  # seen on every cell
        figure.add_vline(epoch.mean, line=line, opacity=0.7)
    return figure.add_scatter(
        x=[None], y=[None], mode="lines", line={"color": GREY, "dash": "dash", "width": 2},
        name=f"least test loss, epoch {epochs_text(epoch)}",
    )  # fmt: skip


def _epoch_title(setting: Setting) -> str:
    return f"epoch (measured on single-class batches of up to {setting.runs[0].probe['per_class']})"
