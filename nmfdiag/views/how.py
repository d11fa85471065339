"""The page *How it works*: one term at a time, each on the samples, curves and supports of the chosen layer."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from nmfdiag.data.batch_rows import rows_of_class
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.support.cover import SupportCover
from nmfdiag.plots.modes import LIGHT, Mode
from nmfdiag.plots.theme import GREY, blended, colour_of, marker_of, set_layout, set_rank_axis
from nmfdiag.text import for_markdown, join, label_kind, percent
from nmfdiag.views.support.sentences import bounds_text
from nmfdiag.views.suspects.thumbnails import picture_row
from nmfdiag.zoo.pool_rows import given_labels
from nmfdiag.zoo.registry import UnknownNoise, ZooEntry, known_noise

LAYER = """
A **layer** turns each sample into numbers, one for each of its channels. Below, {layer} may pass on only **k** *directions*: patterns of
channels, mixed to come as near to those numbers as they can. The layers after it work on what is left."""

AUC_HEADING, P_HEADING = "AuC: all k at once", "p: how many labels are random"
RECTANGLES_HEADING = "Why: what samples have in common"

AUC = """
Do the same for every k and draw how many samples are still right. **AuC** is the area under that curve, its mean height from 0 to 1:
near 1, few directions carry the class; low, the layer needs nearly all it has. No validation set is used, only samples that the network
was trained on. Do it for each class and each layer: where AuC dips, a network holds samples one by one."""

P = """
**p** is the share of training labels that were replaced by random ones. The networks that come with nmfdiag were trained with p from 0
to 1, so that you can see what the method says where the truth is known. Samples with random labels have nothing in common: the only way
to get them right is to memorise them. For your own network nobody knows p; how many of its labels look wrong is one of the three answers."""

RECTANGLES = """
After a ReLU many numbers are zero: a channel is on for a sample, or off. Below is a row for each sample (or each place of its map) and a
column for each channel; an entry is drawn where the channel is on. A **rectangle** is a set of samples times a set of channels that are all
on: one thing that those samples share. Where a class has much in common, few rectangles cover what is on."""

BAR = (
    '<div aria-hidden="true" style="margin-top:8px;height:14px;border-radius:4px;background:rgba(128,128,128,.2)">'
    '<div style="width:{share:.1%};height:100%;border-radius:4px;background:{colour}"></div></div>'
)
"""How many of the samples above it are right."""


def introduction(levels: Sequence[float], layer: str) -> str:
    """Return what the page is about: the networks by their p, from clean to noisy, and what a layer and k are."""
    if len(levels) < 2:
        first = f"The network below was trained on {label_kind(levels[0])}."
    else:
        first = (
            f"Two networks of one shape, trained on the same samples: one with {label_kind(levels[0])}, one with "
            f"{label_kind(levels[1])}. What the samples of a label have in common can be learned; a random label can only be memorised."
        )
    return f"{first}\n{LAYER.format(layer=for_markdown(layer))}"


def sample_strip(entry: ZooEntry, class_idx: int, per_class: int, share: float, mode: Mode = LIGHT) -> str:
    """Return the samples of a class's probe batch as HTML, with a bar as long as the share of them that is right.

    Raises:
        NmfdiagError: If the samples can't be read.
    """
    rows = rows_of_class(given_labels(entry), class_idx, per_class)
    alt = f"{len(rows)} training samples labelled {entry.class_names[class_idx]}"
    p = entry.label_noise
    colour = colour_of(p) if isinstance(p, UnknownNoise) else f"rgb{blended(mode.p_colours, p)}"
    return picture_row(entry, rows.tolist(), alt) + BAR.format(share=share, colour=colour)


def accuracy_at(curve: CompressionCurve, k: int) -> float:
    """Return the accuracy at the largest computed rank that does not exceed k."""
    return curve.accuracy[[i for i, rank in enumerate(curve.ranks) if rank <= k][-1]]


def answer(curves: Mapping[float, CompressionCurve], layer: str, k: int) -> str:
    """Return how many samples are right with k directions."""
    full = max(curve.full_rank for curve in curves.values())
    parts = [
        f"{percent(accuracy_at(curve, k))} {'of these samples stay right ' if not i else ''}with {label_kind(p)}"
        for i, (p, curve) in enumerate(curves.items())
    ]
    return f"With {k} of {full} directions at {layer}, {join(parts)}."


def supports_text(covers: Mapping[float, SupportCover], layer: str) -> str:
    """Return how many rectangles cover the support of each network, and whether that tells them apart."""
    parts = [f"{bounds_text(cover)} with {label_kind(p)}" for p, cover in covers.items()]
    text = f"At {layer}: {join(parts)}."
    spans = [(cover.lower_bound, cover.upper_bound) for cover in covers.values() if not (cover.dead or cover.linear)]
    if len(spans) == len(covers) == 2 and max(low for low, _ in spans) <= min(high for _, high in spans):
        halves = [str(cover.rectangles_for(0.5)) for cover in covers.values()]
        text += (
            f" The bounds overlap, so this count shows no difference; half of what is on takes {' and '.join(halves)}."
        )
    return text


def auc_text(curves: Mapping[float, CompressionCurve], layer: str, axis: str) -> str:
    """Return the AuC of each network, and which of them needs more directions."""
    low, high = min(curves), max(curves)
    if low == high:
        return f"{layer} has AuC {curves[low].auc_over(axis):.2f} on this class."
    gap = curves[low].auc_over(axis) - curves[high].auc_over(axis)
    if abs(gap) <= 1 / min(curve.n_samples for curve in curves.values()):
        return f"No difference at {layer}: the two AuCs are less than one sample apart."
    needy, frugal = (high, low) if gap > 0 else (low, high)
    return (
        f"{layer} has AuC {curves[needy].auc_over(axis):.2f} with {label_kind(needy)}, against {curves[frugal].auc_over(axis):.2f} with "
        f"{label_kind(frugal)}: it needs more directions for the same class."
    )


def curve_table(curves: Mapping[float, CompressionCurve]) -> pd.DataFrame:
    """Return accuracy and error by p and rank."""
    rows = [
        {"p": known_noise(p), "k": k, "accuracy": accuracy, "relative error": error}
        for p, curve in curves.items()
        for k, accuracy, error in zip(curve.ranks, curve.accuracy, curve.relative_error, strict=True)
    ]
    return pd.DataFrame(rows)


def area_figure(curves: Mapping[float, CompressionCurve], *, layer: str, batch: str, axis: str, k: int) -> go.Figure:
    """Draw accuracy over rank, one line per p with the area below it shaded, and a line at rank k.

    Args:
        curves: For each p, the layer's curve on the same class.
        layer: The layer, for the title.
        batch: The batch as text, for the title.
        axis: The rank axis of the area.
        k: The rank of the vertical line.
    """
    figure = go.Figure()
    for p, curve in curves.items():
        figure.add_scatter(
            x=curve.ranks, y=curve.accuracy, name=f"{label_kind(p)}: AuC {curve.auc_over(axis):.2f}", mode="lines+markers",
            fill="tozeroy", fillcolor=colour_of(p, 0.12), line={"color": colour_of(p), "width": 2},
            marker={"symbol": marker_of(p), "size": 8},
            hovertemplate=f"{label_kind(p)}<br>k = %{{x}}<br>accuracy %{{y:.2f}}<extra></extra>",
        )  # fmt: skip
    figure.add_vline(k, line={"color": GREY, "dash": "dash", "width": 1})
    set_rank_axis(figure, max(curve.ranks[-1] for curve in curves.values()), axis)
    figure.update_yaxes(title="accuracy on given labels", range=[-0.03, 1.05])
    return set_layout(figure, f"Accuracy over rank at {layer}", batch)
