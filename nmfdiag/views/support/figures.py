"""Support covers -> plotly figures: the support with its largest rectangles (figure 1), and how the bounds grow with depth."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nmfdiag.measures.support.cover import SupportCover, by_rectangles, rectangle_of
from nmfdiag.measures.support.rectangles import Rectangle
from nmfdiag.plots.theme import (
    GREY,
    LineName,
    colour_of,
    fill_between,
    marker_of,
    noise_name,
    set_layer_axis,
    set_layout,
)
from nmfdiag.views.support.sentences import PARTS, bounds_text

TINTS = ("#2f9e96", "#9a6fd0", "#d9822b", "#4a90d9", "#c85c9a", "#8a9a2b")
"""Colours of rectangles, first to last; contrast of at least 2.9:1 against white and black."""
REST = "rgba(128,128,128,0.38)"
OUTLINED = 0.5
"""Share of a rectangle that has to be in one piece for an outline."""
ORDERS = ("biclusters", "rectangles")


def support_figure(
    covers: Mapping[float, SupportCover], *, layer: str, batch: str, order: str, line_name: LineName = noise_name
) -> go.Figure:
    """Draw the support of one layer, one panel per p: its first rectangles tinted, the rest grey, the fooling set as dots.

    Args:
        covers: For each p, the layer's cover; at least one.
        layer: The layer, for the title.
        batch: The batch as text, for the title.
        order: ``"biclusters"``, or ``"rectangles"`` for rows and columns ordered by their rectangles.
        line_name: Names a network after its p.
    """
    titles = [f"{line_name(p)}: {bounds_text(cover)}" for p, cover in covers.items()]
    figure = make_subplots(1, len(covers), subplot_titles=titles, horizontal_spacing=0.09)
    for panel, (p, cover) in enumerate(covers.items(), 1):
        rows, columns = list(range(len(cover.times))), list(range(len(cover.channels)))
        if order == "rectangles":
            rows, columns = by_rectangles(cover, cover.rectangles[: len(TINTS)])
        _add_support(figure, cover, line_name(p), rows, columns, panel)
        if order == "biclusters":
            _add_blocks(figure, cover, panel)
        _add_outlines(figure, cover, rows, columns, panel)
        figure.update_xaxes(
            title=f"{len(columns)} of {cover.n_channels} channels",
            range=[-0.5, max(len(columns), 1) - 0.5],
            row=1,
            col=panel,
        )
        title = f"{len(rows)} of {cover.n_distinct_rows:,} distinct rows"
        figure.update_yaxes(title=title, range=[max(len(rows), 1) - 0.5, -0.5], row=1, col=panel)
    bare = {"showticklabels": False, "ticks": "", "showgrid": False, "zeroline": False, "title_standoff": 8}
    figure.update_xaxes(**bare).update_yaxes(**bare)
    n_rectangles = max(len(cover.rectangles) for cover in covers.values())
    for i, tint in enumerate(TINTS[:n_rectangles], 1):
        _add_key(figure, f"rectangle {i}", {"symbol": "square", "size": 10, "color": tint})
    _add_key(figure, "rest of the support", {"symbol": "square", "size": 10, "color": REST})
    set_layout(figure, f"Support of {layer}", batch)
    figure.update_annotations(font_size=13)
    return figure.update_layout(height=560, legend={"y": -0.12}, margin={"t": 80})


def growth_figure(
    by_noise: Mapping[float, Mapping[str, SupportCover]],
    layers: Sequence[str],
    *,
    part: str,
    batch: str,
    n_rows: int,
    line_name: LineName = noise_name,
) -> go.Figure:
    """Draw rectangles by layer: one line per p, the upper bound with a band down to the lower one; or how many cover a part.

    Args:
        by_noise: For each p and layer, the cover.
        layers: All layers, from input to output.
        part: A name in :data:`nmfdiag.views.support.sentences.PARTS`.
        batch: The batch as text, for the title.
        n_rows: Most distinct rows of a cover.
        line_name: Names a network's lines after its p.
    """
    figure, share = go.Figure(), PARTS[part]
    for p, by_layer in by_noise.items():
        x, name = list(by_layer), line_name(p)
        low = [c.lower_bound for c in by_layer.values()]
        y = [c.upper_bound if share == 1 else c.rectangles_for(share) for c in by_layer.values()]
        if share == 1:
            fill_between(figure, x, low, y, colour_of(p, 0.12), legendgroup=name)
            figure.add_scatter(
                x=x, y=low, mode="lines+markers", showlegend=False, legendgroup=name, name=f"{name}, lower bound",
                line={"color": colour_of(p), "width": 1}, marker={"symbol": f"{marker_of(p)}-open", "size": 7},
                customdata=[[layer] for layer in x],
                hovertemplate=f"{name}<br>%{{x}}<br>at least %{{y}} rectangles<extra></extra>",
            )  # fmt: skip
        count = "at most %{y} rectangles" if share == 1 else f"%{{y}} rectangles cover {part} of the support"
        figure.add_scatter(
            x=x, y=y, name=name, mode="lines+markers", legendgroup=name,
            line={"color": colour_of(p), "width": 2}, marker={"symbol": marker_of(p), "size": 9},
            customdata=[
                [layer, c.lower_bound, c.upper_bound, c.n_distinct_rows, c.n_rows, c.density]
                for layer, c in by_layer.items()
            ],
            hovertemplate=f"{name}<br>%{{x}}<br>{count}<br>bounds of the whole cover: %{{customdata[1]}} to %{{customdata[2]}}<br>"
            "%{customdata[3]:,} distinct of %{customdata[4]:,} rows, %{customdata[5]:.0%} positive<extra></extra>",
        )  # fmt: skip
    if share == 1:
        _add_ceiling(figure, by_noise, layers, n_rows)
        _add_key(figure, "filled: at most; open: at least", {"symbol": "circle-open", "size": 8, "color": GREY})
    set_layer_axis(figure, layers)
    tallest = max((t for trace in figure.data for t in trace.y if t is not None), default=1)
    figure.update_yaxes(title=f"rectangles that cover {part} of the support", range=[0, 1.06 * max(tallest, 1)])
    set_layout(figure, "Rectangles by layer", batch)
    return figure.update_layout(height=500, legend={"y": -0.26})


def _add_support(
    figure: go.Figure, cover: SupportCover, network: str, rows: Sequence[int], columns: Sequence[int], panel: int
) -> None:
    if not cover.support:
        return
    first = rectangle_of(cover)[np.ix_(rows, columns)]
    tints = np.where(first == 0, np.nan, np.minimum(first, len(TINTS) + 1))
    colours = [*TINTS, REST]
    scale = [[(i + end) / len(colours), colour] for i, colour in enumerate(colours) for end in (0, 1)]
    details = np.empty((*first.shape, 3), int)  # channel, rows of the batch, rectangle
    details[..., 0], details[..., 1] = np.array(cover.channels)[columns], np.array(cover.times)[rows][:, None]
    details[..., 2] = first
    figure.add_heatmap(
        z=tints, zmin=0.5, zmax=len(colours) + 0.5, colorscale=scale, showscale=False, customdata=details,
        hoverongaps=False, row=1, col=panel, name=network,
        hovertemplate="channel %{customdata[0]}<br>rows of the batch with this support: %{customdata[1]:,}<br>"
        f"rectangle %{{customdata[2]}} of {len(cover.rectangles)}<extra></extra>",
    )  # fmt: skip
    at_row, at_column = {r: a for a, r in enumerate(rows)}, {c: b for b, c in enumerate(columns)}
    figure.add_scatter(
        x=[at_column[j] for _, j in cover.fooling_set], y=[at_row[i] for i, _ in cover.fooling_set], mode="markers",
        marker={"symbol": "circle", "size": 5, "color": "#ffffff", "line": {"color": "#20282b", "width": 1}},
        name="fooling set: no two fit into one rectangle", legendgroup="fooling", showlegend=panel == 1,
        hoverinfo="skip", row=1, col=panel,
    )  # fmt: skip


def _add_blocks(figure: go.Figure, cover: SupportCover, panel: int) -> None:
    """Draw thin lines between the biclusters."""
    line = {"color": GREY, "width": 1}
    for i, (a, b) in enumerate(pairwise(cover.row_blocks)):
        if a != b:
            figure.add_hline(i + 0.5, line=line, row=1, col=panel)
    for i, (a, b) in enumerate(pairwise(cover.column_blocks)):
        if a != b:
            figure.add_vline(i + 0.5, line=line, row=1, col=panel)


def _add_outlines(
    figure: go.Figure, cover: SupportCover, rows: Sequence[int], columns: Sequence[int], panel: int
) -> None:
    for rectangle, tint in zip(cover.rectangles, TINTS, strict=False):
        if piece := largest_piece(rectangle, rows, columns):
            (top, bottom), (left, right) = piece
            figure.add_shape(
                type="rect", x0=left - 0.5, x1=right + 0.5, y0=top - 0.5, y1=bottom + 0.5,
                line={"color": tint, "width": 3}, row=1, col=panel,
            )  # fmt: skip


def largest_piece(
    rectangle: Rectangle, rows: Sequence[int], columns: Sequence[int]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return first and last row and column, in the given order, of a rectangle's largest piece; None if that is a small part."""
    spans = []
    for order, own in ((rows, set(rectangle.rows)), (columns, set(rectangle.columns))):
        runs: list[list[int]] = []
        for position, item in enumerate(order):
            if item in own:
                if runs and runs[-1][1] == position - 1:
                    runs[-1][1] = position
                else:
                    runs.append([position, position])
        spans.append(max(runs, key=lambda run: run[1] - run[0]))
    (top, bottom), (left, right) = spans
    large = (bottom - top + 1) * (right - left + 1) >= OUTLINED * rectangle.size
    return ((top, bottom), (left, right)) if large else None


def _add_ceiling(
    figure: go.Figure, by_noise: Mapping[float, Mapping[str, SupportCover]], layers: Sequence[str], n_rows: int
) -> None:
    """Add the most that a support of this size can need: one rectangle for each row or each channel."""
    covers = {layer: cover for by_layer in by_noise.values() for layer, cover in by_layer.items()}
    x = [layer for layer in layers if layer in covers]
    figure.add_scatter(
        x=x, y=[min(n_rows, covers[layer].n_rows, covers[layer].n_channels) for layer in x], mode="lines", hoverinfo="skip",
        name="the most that this many rows and channels can need", line={"color": GREY, "dash": "dash", "width": 1},
    )  # fmt: skip


def _add_key(figure: go.Figure, name: str, marker: dict) -> None:
    figure.add_scatter(x=[None], y=[None], name=name, mode="markers", marker=marker)
