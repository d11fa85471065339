"""The page *How it works*: the method in a few words, a figure, and the result on the chosen layer."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.support.cover import SupportCover
from nmfdiag.plots.theme import GREY, colour_of, marker_of, set_layout, set_rank_axis
from nmfdiag.views.support.sentences import bounds_text
from nmfdiag.zoo.registry import known_noise

MATRIX = """
#### 1. A layer is a matrix

After a ReLU, a batch of samples is a matrix **A**: a row for each sample (or each place of its map), a column for each channel, no entry
negative. Below, an entry is drawn where the channel is on. All samples share one *given label*, the one that the network was trained on.
**p** is the share of training labels that were drawn at random: at p = 0 samples of a label look alike, at p = 1 they have nothing in
common, and the only way to get them right is to learn them by heart.

A **rectangle** is a set of samples times a set of channels that are all on: one thing that those samples share. A network that has found
what a class has in common needs few of them; one that holds samples one by one needs many."""

COMPRESSION = """
#### 2. Keep k directions, and ask again

Non-negative matrix factorisation (NMF) writes A as **W H** with k rows in H: k patterns of channels, of which every sample is a mixture. We put
that in the place of A, run the rest of the network, and count how many samples still get their given label. **k** is the *rank*: small k
keeps only what many samples share."""

AREA = """
#### 3. The area under the curve is AuC

**AuC** is the mean height of the curve, from 0 to 1: near 1 the class survives on few directions, low AuC means that the layer needs
nearly all it has. No validation set is used, only samples that the network was trained on. Do this for each class and each layer: where
the line of a network dips, it memorises."""


def supports_text(covers: Mapping[float, SupportCover], layer: str, subject: str) -> str:
    """Return how many rectangles cover the support of the least and the most noisy network."""
    parts = [f"{bounds_text(cover)} at p = {p:g}" for p, cover in covers.items()]
    halves = [str(cover.rectangles_for(0.5)) for cover in covers.values() if not cover.dead]
    sentence = f"At {layer}, {subject} takes {' and '.join(parts)}"
    return f"{sentence}; half of it {' and '.join(halves)}." if len(halves) == len(covers) else f"{sentence}."


def rank_text(curves: Mapping[float, CompressionCurve], k: int) -> str:
    """Return the accuracy that is left with k directions."""
    parts = []
    for p, curve in curves.items():
        index = [i for i, rank in enumerate(curve.ranks) if rank <= k][-1]
        parts.append(
            f"the p = {p:g} network gets {curve.accuracy[index]:.0%} of the samples right (error of A {curve.relative_error[index]:.0%})"
        )
    return f"With k = {k} of {max(c.full_rank for c in curves.values())} directions {', '.join(parts)}."


def answer(curves: Mapping[float, CompressionCurve], layer: str, axis: str) -> str:
    """Return the AuC of both networks, and in which of them the layer memorises, if in one."""
    low, high = min(curves), max(curves)
    parts = [f"{curves[p].auc_over(axis):.2f} at p = {p:g}" for p in (low, high)]
    if low == high:
        return f"{layer} has AuC {parts[0]} on this class."
    gap = curves[low].auc_over(axis) - curves[high].auc_over(axis)
    sample = 1 / min(curve.n_samples for curve in curves.values())
    if abs(gap) <= sample:
        verdict = "they differ by no more than one sample: this layer does not tell them apart"
    else:
        verdict = (
            f"the layer needs more directions at p = {high if gap > 0 else low:g}, where it holds samples one by one"
        )
    return f"{layer} has AuC {' and '.join(parts)}: {verdict}."


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
            x=curve.ranks, y=curve.accuracy, name=f"p = {p:g}: AuC {curve.auc_over(axis):.2f}", mode="lines+markers",
            fill="tozeroy", fillcolor=colour_of(p, 0.12), line={"color": colour_of(p), "width": 2},
            marker={"symbol": marker_of(p), "size": 8},
            hovertemplate=f"p = {p:g}<br>k = %{{x}}<br>accuracy %{{y:.2f}}<extra></extra>",
        )  # fmt: skip
    figure.add_vline(k, line={"color": GREY, "dash": "dash", "width": 1})
    set_rank_axis(figure, max(curve.ranks[-1] for curve in curves.values()), axis)
    figure.update_yaxes(title="accuracy on given labels", range=[-0.03, 1.05])
    return set_layout(figure, f"Accuracy over rank at {layer}", batch)
