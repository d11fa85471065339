"""Watched training runs -> plotly figures: test loss, accuracies and a measure over epochs, and a map of layers (figures 6 and 9)."""

from collections.abc import Callable, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nmfdiag.evidence.records import History
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.summary import spread
from nmfdiag.measures.stopping import RULES, Series, maximum, mean_series, smoothed
from nmfdiag.plots.theme import GREY, add_band, colour_of, laid_out
from nmfdiag.views.stopping.sentences import epochs_words
from nmfdiag.views.stopping.tables import Setting, Shown, by_layer, least_loss, stop_of, values

PANEL_HEIGHT = 700
FAINT, THIN, THICK = 0.3, 1, 2.5
RUNS, MEAN = "runs and their mean", "mean and band"
SMOOTHINGS = {"none": 1, "3 epochs": 3, "5 epochs": 5}

_LOSS, _ACCURACY, _MEASURE = 1, 2, 3


def stopping_figure(setting: Setting, shown: Shown, *, layers: str, window: int, show: str) -> go.Figure:
    """Three panels over the epochs: test loss, accuracies, and the measure; stops marked.

    Args:
        setting: The runs.
        shown: The measure of the third panel.
        layers: A set of layers or one.
        window: Epochs that the thick lines are smoothed over; 1 leaves them as they are.
        show: :data:`RUNS` or :data:`MEAN`.
    """
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.035, row_heights=[0.3, 0.3, 0.4])
    p, each = setting.label_noise, show == RUNS
    colour = colour_of(p)

    def add(name: str, row: int, of: Callable[[History], Series], dash: str = "solid", grey: bool = False) -> None:
        series = [of(run) for run in setting.runs]
        if any(value is not None for run in series for value in run):
            line = {"color": GREY if grey else colour, "dash": dash, "width": THIN if grey else THICK}
            _add_lines(figure, setting, name, row, series, line, window=window, each=each and not grey, band=not each)

    add("test", _LOSS, lambda run: run.series("test_loss"))
    add("test", _ACCURACY, lambda run: run.series("test_accuracy"))
    add("training, while it runs", _ACCURACY, lambda run: run.series("train_accuracy"), "dash", grey=True)
    add("NMF", _MEASURE, lambda run: values(run, shown.measure, shown.value, layers), METHODS["nmf"].dash)
    if shown.control:
        method, value = shown.control
        add("random ablation", _MEASURE, lambda run: values(run, method, value, layers), METHODS["random"].dash)
    if shown.value != "relative":  # divided by it, it is 1
        add(
            "uncompressed batch",
            _MEASURE,
            lambda run: values(run, shown.measure, "baseline", layers),
            "dash",
            grey=True,
        )
    if each:
        _add_marks(figure, setting, shown, layers)
    _add_stops(figure, setting, shown, layers)
    last = max(len(run.epochs) for run in setting.runs)
    figure.update_xaxes(range=[0.5, last + 0.5])
    figure.update_xaxes(title=_epoch_title(setting), row=_MEASURE)
    figure.update_yaxes(title="test loss", rangemode="tozero", row=_LOSS)
    figure.update_yaxes(title="accuracy", range=[-0.03, 1.05], row=_ACCURACY)
    highest = max((v for trace in figure.data if trace.yaxis == "y3" for v in trace.y if v is not None), default=0)
    figure.update_yaxes(title=shown.title, range=[-0.03, max(shown.top, 1.02 * highest)], row=_MEASURE)
    laid_out(figure, f"{setting.title}: {shown.title}, {layers}")
    legend = {"orientation": "h", "y": -0.13, "yanchor": "top"}
    return figure.update_layout(height=PANEL_HEIGHT, legend=legend, margin={"l": 60, "r": 20, "t": 96, "b": 50})


def _add_lines(
    figure: go.Figure, setting: Setting, name: str, row: int, series: Sequence[Series], line: dict, *,
    window: int, each: bool, band: bool,
) -> None:  # fmt: skip
    place = {"row": row, "col": 1}
    many = len(series) > 1
    for run, one in zip(setting.runs, series, strict=True):
        if each and many:
            hover = f"seed {run.recipe.seed}, {name}<br>epoch %{{x}}<br>%{{y:.3f}}<extra></extra>"
            figure.add_scatter(
                x=run.series("epoch"), y=one, mode="lines", line=line | {"width": THIN}, opacity=0.45, showlegend=False,
                hovertemplate=hover, name=f"seed {run.recipe.seed}", **place,
            )  # fmt: skip
    at = mean_series(series)
    x = list(range(1, len(at) + 1))
    if band and many and line["color"] != GREY:
        known = [(e, s) for e, s in zip(x, at, strict=True) if s]
        before = len(figure.data)
        add_band(figure, [e for e, _ in known], [s for _, s in known], setting.label_noise)
        for trace in figure.data[before:]:
            trace.update(xaxis=f"x{row}" if row > 1 else "x", yaxis=f"y{row}" if row > 1 else "y")
    mean = [s.mean if s else None for s in at]
    title = f"{name} (mean of {len(series)})" if many else name
    if window > 1:
        figure.add_scatter(
            x=x, y=mean, mode="lines", line=line, opacity=FAINT, showlegend=False, hoverinfo="skip", name=f"{name}, raw", **place
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=smoothed(mean, window) if window > 1 else mean, mode="lines", line=line, name=name,
        legendgroup=f"{name}{line['dash']}", showlegend=row != _LOSS, customdata=[[s.sem if s else None] for s in at],
        hovertemplate=f"{title}{f', {window} epochs smoothed' if window > 1 else ''}<br>epoch %{{x}}<br>%{{y:.3f}}"
        f"{' ± %{customdata[0]:.3f}' if many else ''}<extra></extra>",
        **place,
    )  # fmt: skip


def _add_marks(figure: go.Figure, setting: Setting, shown: Shown, layers: str) -> None:
    """Each run's stop on its lines, and its least test loss."""
    colour = colour_of(setting.label_noise)
    kept = [(run, stop.kept) for run in setting.runs if (stop := stop_of(run, shown.rule, layers))]
    lines: tuple[tuple[int, Callable[[History], Series]], ...] = (
        (_LOSS, lambda run: run.series("test_loss")),
        (_ACCURACY, lambda run: run.series("test_accuracy")),
        (_MEASURE, lambda run: values(run, shown.measure, shown.value, layers)),
    )
    for row, of in lines:
        figure.add_scatter(
            x=[e for _, e in kept], y=[of(run)[e - 1] for run, e in kept], mode="markers", name="kept by the rule",
            marker={"symbol": "circle", "size": 9, "color": colour, "line": {"width": 1, "color": "white"}},
            showlegend=row == _MEASURE, customdata=[[f"seed {run.recipe.seed}"] for run, _ in kept],
            hovertemplate="%{customdata[0]}: kept epoch %{x}<br>%{y:.3f}<extra></extra>", row=row, col=1,
        )  # fmt: skip
    figure.add_scatter(
        x=least_loss(setting), y=[min(run.series("test_loss")) for run in setting.runs], mode="markers",
        name="least test loss", customdata=[[f"seed {run.recipe.seed}"] for run in setting.runs],
        marker={"symbol": "circle-open", "size": 11, "color": GREY, "line": {"width": 2}},
        hovertemplate="%{customdata[0]}: least test loss at epoch %{x}<br>%{y:.3f}<extra></extra>", row=_LOSS, col=1,
    )  # fmt: skip


def _add_stops(figure: go.Figure, setting: Setting, shown: Shown, layers: str) -> None:
    """Two vertical lines through all panels: the mean epoch of the least test loss, and that of the rule's stop."""
    kept = [stop.kept for run in setting.runs if (stop := stop_of(run, shown.rule, layers))]
    lines = [(spread(least_loss(setting)), "least test loss", "dash")]
    if kept:
        lines.append((spread(kept), RULES[shown.rule].title, "solid"))
    last = max(len(run.epochs) for run in setting.runs)
    for i, (at, words, dash) in enumerate(lines):
        figure.add_vline(at.mean, line={"color": GREY, "dash": dash, "width": 1.5})
        left = at.mean < last / 2
        figure.add_annotation(
            x=at.mean, xref="x", y=1, yref="paper", yshift=4 + 17 * i, yanchor="bottom", showarrow=False,
            xanchor="left" if left else "right", text=f"{words}: epoch {epochs_words(at)}", font={"size": 12},
        )  # fmt: skip


def map_figure(setting: Setting, shown: Shown) -> go.Figure:
    """The measure of each layer (row) at each epoch (column), mean over seeds; the highest epoch of each layer is marked."""
    found = by_layer(setting, shown)
    layers, epochs = list(found), max(len(series) for series in found.values())
    z = [[at.mean if at else None for at in found[layer]] for layer in layers]
    known = [value for row in z for value in row if value is not None]
    figure = go.Figure()
    # No colours of its own: the theme's scale, as on the map of classes; strong is low there, too.
    figure.add_heatmap(
        z=z, x=list(range(1, epochs + 1)), y=layers, reversescale=True, xgap=1, ygap=1, hoverinfo="skip",
        hoverongaps=False, zmin=int(10 * min(known, default=0)) / 10, zmax=max(1.0, *known) if known else 1,
        colorbar={"title": {"text": shown.title}, "thickness": 12, "outlinewidth": 0},
    )  # fmt: skip
    # Streamlit gets no clicks on a heat map, so invisible points lie on it.
    cells = [(layer, e, at) for layer in layers for e, at in enumerate(found[layer], 1) if at]
    figure.add_scatter(
        x=[e for _, e, _ in cells], y=[layer for layer, *_ in cells], mode="markers", showlegend=False,
        marker={"size": 14, "symbol": "square", "opacity": 0}, customdata=[[layer, at.mean, at.sem, at.n] for layer, _, at in cells],
        hovertemplate="%{customdata[0]}, epoch %{x}<br>%{customdata[1]:.3f} ± %{customdata[2]:.3f} (%{customdata[3]} runs)<extra></extra>",
    )  # fmt: skip
    peaks = [(stop.kept, layer) for layer, row in zip(layers, z, strict=True) if (stop := maximum(row))]
    figure.add_scatter(
        x=[e for e, _ in peaks], y=[layer for _, layer in peaks], mode="markers", name="highest of the layer",
        marker={"symbol": "circle", "size": 10, "color": "white", "line": {"width": 2, "color": "black"}}, hoverinfo="skip",
    )  # fmt: skip
    at = spread(least_loss(setting))
    for line in ({"color": "white", "width": 4}, {"color": "black", "width": 2, "dash": "dash"}):  # seen on every cell
        figure.add_vline(at.mean, line=line, opacity=0.7)
    figure.add_scatter(
        x=[None], y=[None], mode="lines", line={"color": GREY, "dash": "dash", "width": 2},
        name=f"least test loss, epoch {epochs_words(at)}",
    )  # fmt: skip
    figure.update_xaxes(title=_epoch_title(setting), range=[0.5, epochs + 0.5], showgrid=False, zeroline=False)
    figure.update_yaxes(
        title="layer, input on top", type="category", range=[len(layers) - 0.5, -0.5], showgrid=False, zeroline=False,
        automargin=True,
    )  # fmt: skip
    laid_out(figure, f"{setting.title}: {shown.title} by layer")
    return figure.update_layout(height=220 + 28 * len(layers), hoverdistance=-1, legend={"y": -0.3, "yanchor": "top"})


def _epoch_title(setting: Setting) -> str:
    return f"epoch (measured on single-class batches of up to {setting.runs[0].probe['per_class']})"
