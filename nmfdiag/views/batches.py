"""Single-class against multi-class batches (figure 4): the figure with one column per family, its table and its sentences."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.summary import Spread, clearly_above, spread
from nmfdiag.plots.theme import GREY, add_band, colour_of, marker_of, noise_name, set_layout
from nmfdiag.text import join
from nmfdiag.views.curve_groups import Curves, curves_of_family, spreads_by_layer
from nmfdiag.views.pair import line_names
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import UnknownNoise, known_noise

KINDS = {"single-class": False, "multi-class": True}
HEIGHT = 560
CONSTANT = 0.5
"""Accuracy from which the mean row alone is taken to carry a class."""


def batches_figure(choices: Sequence[Choice], results: Curves, *, current: str) -> go.Figure:
    """Draw AuC by layer, one column per family: single-class batches above, multi-class ones below, each with accuracy at k = 0.

    Args:
        choices: One per family, with the method and the rank axis of the area.
        results: Curves of all families; missing ones leave gaps.
        current: The family whose layers open their curve on a click.
    """
    figure = make_subplots(
        rows=2, cols=len(choices), shared_yaxes=True, shared_xaxes="columns", vertical_spacing=0.06,
        horizontal_spacing=0.1 / len(choices), column_titles=[choice.family.replace(" ", "<br>") for choice in choices],
    )  # fmt: skip
    figure.update_annotations(font_size=11)  # the columns' titles, side by side on a narrow screen too
    legend: set[str] = set()
    for column, choice in enumerate(choices, 1):
        for row, multi in enumerate(KINDS.values(), 1):
            curves = curves_of_family(choice, results, multi=multi)
            panel = _panel(choice, curves, clickable=choice.family == current)
            for trace in panel.data:
                if trace.name:
                    trace.update(legendgroup=trace.name, showlegend=trace.name not in legend)
                    legend.add(trace.name)
            figure.add_traces(panel.data, rows=row, cols=column)
        figure.update_xaxes(
            categoryorder="array", categoryarray=choice.layers, range=[-0.5, len(choice.layers) - 0.5], tickangle=-90,
            tickfont_size=11, col=column,
        )  # fmt: skip
    figure.update_yaxes(range=[-0.03, 1.05], tickvals=[0, 0.25, 0.5, 0.75, 1])
    over = "log k" if choices[0].axis == "log" else "k"
    for row, kind in enumerate(KINDS, 1):
        figure.update_yaxes(title=f"{kind}: AuC over {over}", row=row, col=1)
    set_layout(figure, "AuC by layer", choices[0].batch_text)
    return figure.update_layout(height=HEIGHT, margin_t=100, legend_y=-0.22)


def _panel(choice: Choice, curves: Curves, *, clickable: bool) -> go.Figure:
    """Draw one family on one kind of batch."""
    figure = go.Figure()
    auc, zero, mean = (
        spreads_by_layer(choice, curves, value, choice.method) for value in (choice.area, zero_accuracy, mean_accuracy)
    )
    for p, by_layer in auc.items():
        add_band(figure, list(by_layer), list(by_layer.values()), p)
    [line_name] = line_names(choice)
    for p, by_layer in auc.items():
        name = line_name(p)
        figure.add_scatter(
            x=list(by_layer), y=[s.mean for s in by_layer.values()], name=name, mode="lines+markers",
            line={"color": colour_of(p), "dash": METHODS[choice.method].dash, "width": 2},
            marker={"symbol": marker_of(p), "size": 7},
            customdata=[
                [layer if clickable else "", s.sem, s.n, zero[p][layer].mean, mean[p][layer].mean]
                for layer, s in by_layer.items()
            ],
            hovertemplate=f"{choice.family}, {name}<br>%{{x}}: AuC %{{y:.3f}} ± %{{customdata[1]:.3f}} "
            "(%{customdata[2]} batches)<br>k = 0, zeros: %{customdata[3]:.2f}; every row the mean row: "
            "%{customdata[4]:.2f}<extra></extra>",
        )  # fmt: skip
    levels = {
        layer: [by_layer[layer].mean for by_layer in mean.values() if layer in by_layer] for layer in choice.layers
    }
    strokes = {layer: spread(values).mean for layer, values in levels.items() if values}
    if strokes:  # one for all p, which hardly differ
        figure.add_scatter(
            x=list(strokes), y=list(strokes.values()), name="k = 0: mean row", mode="markers",
            marker={"symbol": "line-ew-open", "size": 9, "color": GREY, "line": {"width": 2}}, hoverinfo="skip",
        )  # fmt: skip
    if zero:
        level = spread([s.mean for by_layer in zero.values() for s in by_layer.values()]).mean
        figure.add_scatter(
            x=[choice.layers[0], choice.layers[-1]], y=[level] * 2, name="k = 0: zeros", mode="lines",
            line={"color": GREY, "dash": "dash", "width": 1},
            hovertemplate=f"k = 0: all channels zero: accuracy {level:.2f} (mean over layers and p)<extra></extra>",
        )  # fmt: skip
    return figure


def batches_table(choices: Sequence[Choice], results: Curves) -> pd.DataFrame:
    """Return AuC by family, p and layer on both kinds of batch, their difference, and the accuracies at k = 0."""
    rows = []
    for choice in choices:
        curves = {kind: curves_of_family(choice, results, multi=multi) for kind, multi in KINDS.items()}
        auc, zero, mean = (
            {kind: spreads_by_layer(choice, curves[kind], value, choice.method) for kind in KINDS}
            for value in (choice.area, zero_accuracy, mean_accuracy)
        )
        for p in (n.label_noise for n in choice.networks):
            for layer in choice.layers:
                row: dict[str, object] = {"family": choice.family, "p": known_noise(p), "layer": layer}
                areas: dict[str, Spread | None] = {kind: auc[kind].get(p, {}).get(layer) for kind in KINDS}
                for kind, area in areas.items():
                    row |= {f"{kind} AuC": area and area.mean, f"± ({kind})": area and area.sem}
                single, mixture = areas.values()
                row["difference"] = single.mean - mixture.mean if single and mixture else None
                for title, accuracy in (("zeros", zero), ("mean row", mean)):
                    for kind, area in areas.items():
                        row[f"{title}, {kind}"] = area and accuracy[kind][p][layer].mean
                if single or mixture:
                    rows.append(row)
    return pd.DataFrame(rows)


def batches_answer(choices: Sequence[Choice], results: Curves) -> str:
    """Return for how many networks AuC, averaged over layers, is clearly higher on single-class batches."""
    pairs = {
        (choice.family, p): (single, multi)
        for choice in choices
        for p, single in mean_auc(choice, results, multi=False).items()
        if (multi := mean_auc(choice, results, multi=True).get(p)) is not None
    }
    if not pairs:
        return "To compare, both kinds of batches are needed: one is still missing."
    higher = [key for key, (single, multi) in pairs.items() if clearly_above(single, multi)]
    lower = [key for key, (single, multi) in pairs.items() if clearly_above(multi, single)]
    count = f"{len(higher)} of {len(pairs)} networks" if higher else f"none of {len(pairs)} networks"
    suffix = f", and less linear in {join(map(_network, lower))}" if lower else ""
    return f"Layers are more linear on one class than on a mixture in {count}{suffix}."


def chance_text(choices: Sequence[Choice], results: Curves) -> str:
    """Return the accuracy of a constant answer on both kinds of batch, and the difference in AuC where it is low."""
    curves = [
        [curve for choice in choices for curve in curves_of_family(choice, results, multi=multi).values()]
        for multi in KINDS.values()
    ]
    if not all(curves):
        return ""
    zero, mean = (
        [f"{spread([accuracy(curve) for curve in kind]).mean:.2f}" for kind in curves]
        for accuracy in (zero_accuracy, mean_accuracy)
    )
    text = (
        f"Part of the difference comes from the batches themselves. At k = 0, with all channels zero, the constant answer scores {zero[0]} "
        f"on single-class batches (1 on one class, 0 on the others) and {zero[1]} on mixtures; with every row the batch's mean "
        f"row, {mean[0]} and {mean[1]}."
    )
    gaps: dict[bool, list[float]] = {False: [], True: []}
    for choice in choices:
        single, multi = (curves_of_family(choice, results, multi=multi) for multi in KINDS.values())
        constant = spreads_by_layer(choice, single, mean_accuracy, choice.method)
        auc, mixture_auc = (spreads_by_layer(choice, kind, choice.area, choice.method) for kind in (single, multi))
        for p, by_layer in auc.items():
            for layer, area in by_layer.items():
                if layer in mixture_auc.get(p, {}):
                    gaps[constant[p][layer].mean >= CONSTANT].append(area.mean - mixture_auc[p][layer].mean)
    if all(gaps.values()):
        below, above = spread(gaps[False]), spread(gaps[True])
        text += (
            f" Layers at which the mean row of one class scores under {CONSTANT}: AuC differs by {below} ({below.n} layers of all "
            f"networks); the other {above.n}: by {above}."
        )
    return text


def subject(choices: Sequence[Choice]) -> str:
    """Return the networks of all families, as text."""
    levels = sorted({n.label_noise for choice in choices for n in choice.networks if not n.called})
    seed = choices[0].networks[0].recipe.seed
    names = ", ".join(f"{choice.family}{' (p unknown)' if choice.networks[0].called else ''}" for choice in choices)
    noise = f" · p = {', '.join(f'{p:g}' for p in levels)} · seed {seed}" if levels else ""
    return f"{names}{noise} · {choices[0].batch_text}"


def mean_auc(choice: Choice, results: Curves, *, multi: bool) -> dict[float, Spread]:
    """Return the AuC averaged over layers for each p, with its spread over batches."""
    areas: dict[float, dict[tuple[int, int], list[float]]] = {}
    for request, curve in curves_of_family(choice, results, multi=multi).items():
        batches = areas.setdefault(choice.label_noise(request), {})
        batches.setdefault((request.class_idx, request.seed), []).append(choice.area(curve))
    return {p: spread([sum(batch) / len(batch) for batch in areas[p].values()]) for p in sorted(areas)}


def _network(key: tuple[str, float]) -> str:
    family, p = key
    return family if isinstance(p, UnknownNoise) else f"{family} at {noise_name(p)}"


def zero_accuracy(curve: CompressionCurve) -> float:
    """Return the accuracy with all channels zero."""
    return curve.zero_accuracy


def mean_accuracy(curve: CompressionCurve) -> float:
    """Return the accuracy with every row replaced by the mean row."""
    return curve.mean_accuracy
