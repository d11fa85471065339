"""Figures of the report. The network's p is unknown, so only references have the colours of p.

Names come from the network's author and are escaped here, since plots interpret tags such as ``<b>`` in any text.
"""

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go

from nmfdiag.diagnosis.class_ranking import ClassReading
from nmfdiag.diagnosis.class_text import class_name
from nmfdiag.diagnosis.comparison import Comparison
from nmfdiag.diagnosis.references import GROUPS, quartiles
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.layer_profile import LayerProfile
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.stats.summary import Spread, mean_curve, spread
from nmfdiag.plots.theme import (
    GREY,
    colour_of,
    map_scale,
    scale_ends,
    set_layer_ticks,
    set_layout,
    set_rank_axis,
    ticks_of,
)
from nmfdiag.zoo.registry import UNKNOWN

OWN = colour_of(UNKNOWN)
LONGEST, MOST_CLASSES = 24, 60
"""Characters of a label and classes in a heat map, at most."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "pentagon")


def label(name: str) -> str:
    """Return a name for a plot: the end of a long one, without markup."""
    return escape(name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}")


def profile_figure(
    by_method: Mapping[str, Mapping[str, Spread]],
    layers: Sequence[str],
    phases: Phases,
    comparison: Comparison | None = None,
    dip: str = "memorisation",
) -> go.Figure:
    """Return AuC by layer: mean over classes with a 95 % interval, phases shaded, and references at the same depth.

    Args:
        by_method: AuC over classes, for each method and layer.
        layers: Layers from input to output.
        phases: Phases to shade.
        comparison: References to draw behind the network's line.
        dip: Name of the phase at which AuC dips.
    """
    figure = go.Figure()
    if comparison is not None and comparison.layers:
        _add_references(figure, comparison, layers)
    for method, by_layer in by_method.items():
        widths = [0.0 if s.n < 2 else s.half_width for s in by_layer.values()]
        figure.add_scatter(
            x=[layers.index(layer) for layer in by_layer], y=[s.mean for s in by_layer.values()],
            name=f"this network, {METHODS[method].title}", mode="lines+markers",
            line={"color": OWN, "dash": METHODS[method].dash, "width": 2},
            error_y={"array": widths, "thickness": 1.2, "visible": any(widths)},
            customdata=[[escape(layer), width, s.n] for (layer, s), width in zip(by_layer.items(), widths, strict=True)],
            hovertemplate="%{customdata[0]}<br>AuC %{y:.3f} ± %{customdata[1]:.3f} (%{customdata[2]})<extra></extra>",
        )  # fmt: skip
    if phases.clear:
        for phase_name, part in (("feature extraction", phases.feature_extraction), (dip, phases.memorisation),
                            ("clustering", phases.clustering)):  # fmt: skip
            if part:
                x0, x1 = layers.index(part[0]) - 0.5, layers.index(part[-1]) + 0.5
                shade = 0.12 if phase_name == dip else 0.04
                figure.add_vrect(x0=x0, x1=x1, fillcolor=f"rgba(128,128,128,{shade})", line_width=0)
                figure.add_annotation(
                    x=(x0 + x1) / 2,
                    y=1.01,
                    yref="paper",
                    yanchor="bottom",
                    text=phase_name.replace(" ", "<br>"),
                    showarrow=False,
                )
    _set_layers(figure, layers)
    figure.update_yaxes(title="AuC (area under accuracy over k)", range=[0, 1.05])
    return set_layout(figure, "AuC by layer, 95 % intervals")


def reference_figure(comparison: Comparison, name: str, axis: str = "linear") -> go.Figure:
    """Return the references' mean AuC by p, a marker for each data set and architecture, with the network as a line across.

    Args:
        comparison: A comparison with places.
        name: Name of the network.
        axis: The rank axis.
    """
    figure, place = go.Figure(), comparison.places[axis]
    families = sorted({r.family for r in comparison.references})
    for family, symbol in zip(families, SYMBOLS * (1 + len(families) // len(SYMBOLS)), strict=False):
        family_members = [r for r in comparison.references if r.family == family]
        figure.add_scatter(
            x=[r.p for r in family_members], y=[r.auc[axis] for r in family_members], mode="markers", showlegend=False,
            marker={"symbol": symbol, "size": 9, "color": [colour_of(r.p) for r in family_members], "line": {"width": 0.5, "color": "white"}},
            text=[r.network for r in family_members], hovertemplate="%{text}<br>mean AuC %{y:.3f}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=family, marker={"symbol": symbol, "size": 9, "color": GREY}
        )
    ends = [-0.06, 1.06]
    figure.add_scatter(
        x=[*ends, *ends[::-1]], y=[place.value + place.error] * 2 + [place.value - place.error] * 2, fill="toself", fillcolor=OWN,
        opacity=0.15, line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    figure.add_scatter(
        x=ends, y=[place.value] * 2, mode="lines", name=f"{label(name)}, with its standard error",
        line={"color": OWN, "width": 2}, hovertemplate=f"mean AuC {place.value:.3f}<extra></extra>",
    )  # fmt: skip
    values = [place.value - place.error, place.value + place.error, *(r.auc[axis] for r in comparison.references)]
    room = 0.08 * (max(values) - min(values)) + 1e-3
    figure.update_xaxes(title="share p of random labels", range=ends, tickvals=[0, 0.2, 0.4, 0.6, 0.8, 1])
    over = "log k" if axis == "log" else "k"
    figure.update_yaxes(title=f"mean AuC over layers (over {over})", range=[min(values) - room, max(values) + room])
    figure.update_layout(showlegend=True)
    return set_layout(figure, "Beside reference networks")


def classes_figure(
    profile: LayerProfile,
    method: str,
    layers: Sequence[str],
    readings: Sequence[ClassReading] = (),
    names: Sequence[str] = (),
) -> go.Figure:
    """Return AuC of every class and layer, the mean over draws; of very many classes those with the lowest AuC.

    Args:
        profile: The curves.
        method: Method of the curves to draw.
        layers: Layers from input to output.
        readings: The classes, the lowest first.
        names: Names by class.
    """
    cells = profile.auc_by_class(method)
    classes = sorted({c for by_class in cells.values() for c in by_class if c is not None})
    title = "AuC by class and layer"
    if len(classes) > MOST_CLASSES:
        order = [r.class_idx for r in readings] or classes
        title, classes = f"{title}, the lowest {MOST_CLASSES} of {len(classes)} classes", sorted(order[:MOST_CLASSES])
    class_labels = [label(class_name(c, names)) for c in classes]
    values = [[cells[layer][c].mean if c in cells.get(layer, {}) else None for layer in layers] for c in classes]
    figure = go.Figure(
        go.Heatmap(
            x=list(range(len(layers))),
            y=list(range(len(classes))),
            z=values,
            xgap=1,
            ygap=1,
            **map_scale(scale_ends(value for row in values for value in row)),
            customdata=[[[escape(layer), name] for layer in layers] for name in class_labels],
            hovertemplate="class %{customdata[1]} at %{customdata[0]}<br>AuC %{z:.3f}<extra></extra>",
        )
    )
    _set_layers(figure, layers)
    figure.update_yaxes(
        title="given class",
        tickvals=list(range(len(classes))),
        ticktext=class_labels,
        autorange="reversed",
        automargin=True,
    )
    return set_layout(figure, title).update_layout(height=max(320, 140 + 22 * len(classes)))


def curves_figure(curves: Sequence[CompressionCurve], layer: str) -> go.Figure:
    """Return accuracy over rank at one layer: a faint line for each batch, a thick one for their mean."""
    figure = go.Figure()
    for curve in curves:
        figure.add_scatter(
            x=curve.ranks, y=curve.accuracy, mode="lines", line={"color": OWN, "width": 1}, opacity=0.3, showlegend=False,
            hoverinfo="skip",
        )  # fmt: skip
    mean_accuracy = mean_curve(curves)
    figure.add_scatter(
        x=list(mean_accuracy), y=[s.mean for s in mean_accuracy.values()], mode="lines+markers", name="mean over batches",
        line={"color": OWN, "width": 3}, hovertemplate="k = %{x}<br>accuracy %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(
        spread([curve.baseline_accuracy for curve in curves]).mean, line={"color": GREY, "dash": "dash", "width": 1}
    )
    set_rank_axis(figure, max(k for curve in curves for k in curve.ranks), "log")
    figure.update_yaxes(title="accuracy on given labels", range=[-0.03, 1.05])
    return set_layout(figure, f"Accuracy over rank at {label(layer)}, the least linear layer")


def _add_references(figure: go.Figure, comparison: Comparison, layers: Sequence[str]) -> None:
    """Draw median and quartiles of the references with clean and with random labels, at the network's layers."""
    x, depths = [layers.index(place.layer) for place in comparison.layers], [place.depth for place in comparison.layers]
    for group, p in ((GROUPS[0], 0.0), (GROUPS[2], 1.0)):
        dash, n = "dash" if p == 0 else "dot", sum(r.group == group for r in comparison.references)
        low, median, high = quartiles(comparison.references, group, depths) or ([], [], [])
        name = f"{n} references, {group} labels"
        figure.add_scatter(
            x=x, y=median, mode="lines", name=name, legendgroup=name, line={"color": colour_of(p), "dash": dash, "width": 1.5},
            customdata=list(zip(low, high, strict=True)),
            hovertemplate=f"{n} references with {group} labels<br>median %{{y:.3f}}, quartiles %{{customdata[0]:.3f}} "
            "to %{customdata[1]:.3f}<extra></extra>",
        )  # fmt: skip
        for quartile in (low, high):
            figure.add_scatter(
                x=x, y=quartile, mode="lines", legendgroup=name, showlegend=False, hoverinfo="skip",
                line={"color": colour_of(p), "dash": dash, "width": 0.75},
            )  # fmt: skip


def _set_layers(figure: go.Figure, layers: Sequence[str]) -> None:
    """Put the layers at 0, 1, ... from left to right, with as many names as have room."""
    ticks = ticks_of(len(layers))
    figure.update_xaxes(range=[-0.5, len(layers) - 0.5])
    set_layer_ticks(figure, ticks, [label(layers[i]) for i in ticks])
