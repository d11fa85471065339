"""Figures and sentences on planted support covers."""

import numpy as np
import plotly.graph_objects as go
import pytest

from nmfdiag.jobs.requests import SupportRequest
from nmfdiag.measures.support.cover import SupportCover, rectangle_of, support_cover
from nmfdiag.measures.support.rectangles import Rectangle
from nmfdiag.plots.modes import to_html
from nmfdiag.plots.theme import colour_of
from nmfdiag.views.selection import Choice
from nmfdiag.views.support.figures import growth_figure, largest_piece, support_figure
from nmfdiag.views.support.sentences import (
    answer_of,
    bounds_text,
    channels_text,
    entry_table,
    halves_text,
    support_settings,
    support_table,
)
from nmfdiag.zoo.registry import UNKNOWN, lookup

BLOCKS = support_cover(np.kron(np.eye(3), np.ones((2, 4))))
LINEAR = support_cover(np.ones((5, 4)))
DEAD = support_cover(np.zeros((5, 4)))
MIXED = support_cover((np.random.default_rng(0).random((40, 16)) < 0.5).astype(float))
CHOICE = Choice((lookup("digits-cnn-p0-s0"), lookup("digits-cnn-p1-s0")), "conv2_1", batch="3")


def trace(figure: go.Figure, name: str) -> go.Scatter:
    return next(t for t in figure.data if t.name == name)


def heatmaps(figure: go.Figure) -> list[go.Heatmap]:
    return [t for t in figure.data if t.type == "heatmap"]


@pytest.mark.parametrize("order", ["biclusters", "rectangles"])
def test_the_picture_is_the_support(order: str) -> None:
    figure = support_figure({0.0: MIXED, 1.0: BLOCKS}, layer="conv2_1", batch="x", order=order)
    first, second = heatmaps(figure)
    assert (~np.isnan(np.array(first.z, float))).sum() == MIXED.matrix.sum()
    assert np.shape(second.z) == BLOCKS.matrix.shape and {1, 2, 3} == set(np.unique(np.nan_to_num(second.z, nan=1)))
    entries = {(y, x) for t in figure.data if t.name and "fooling" in t.name for x, y in zip(t.x, t.y, strict=True)}
    assert len(entries) >= len(BLOCKS.fooling_set)
    dots = [t for t in figure.data if t.name and "fooling" in t.name]
    for trace, heatmap in zip(dots, (first, second), strict=True):
        assert not np.isnan([heatmap.z[i][j] for i, j in zip(trace.y, trace.x, strict=True)]).any()
    assert [a.text for a in figure.layout.annotations] == [
        f"p = 0: {bounds_text(MIXED)}", "p = 1: 3 rectangles"
    ]  # fmt: skip
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first row on top


def test_every_entry_has_the_first_rectangle_that_covers_it() -> None:
    first = rectangle_of(MIXED)
    assert ((first > 0) == MIXED.matrix).all() and first.max() <= len(MIXED.rectangles)
    rectangle = MIXED.rectangles[0]
    assert (first[np.ix_(rectangle.rows, rectangle.columns)] == 1).all()


def test_a_rectangle_is_framed_where_it_is_in_one_piece() -> None:
    order = list(range(10))
    assert largest_piece(Rectangle((2, 3, 4), (5, 6)), order, order) == ((2, 4), (5, 6))
    assert largest_piece(Rectangle((0, 2, 4), (1, 3, 5)), order, order) is None
    assert largest_piece(Rectangle((0, 2, 4), (1,)), [0, 2, 4, 1, 3], order) == ((0, 2), (1, 1))
    shapes = support_figure({0.0: BLOCKS}, layer="x", batch="x", order="rectangles").layout.shapes
    assert len(shapes) == 3


@pytest.mark.parametrize("cover", [LINEAR, DEAD], ids=["linear", "dead"])
def test_linear_and_dead_layers_are_drawn_and_named(cover: SupportCover) -> None:
    figure = support_figure({0.0: cover, 1.0: BLOCKS}, layer="conv2_1", batch="x", order="biclusters")
    assert bounds_text(cover) in figure.layout.annotations[0].text
    text = answer_of({0.0: cover, 1.0: BLOCKS}, "conv2_1", "one class")
    assert text == (
        f"At conv2_1, one class: with clean labels (p = 0) {bounds_text(cover)}; with random labels (p = 1) 3 rectangles."
    )
    growth = growth_figure({0.0: {"conv2_1": cover}}, ["conv2_1"], part="half", batch="x", n_rows=80)
    assert list(trace(growth, "p = 0").y) == [0 if cover.dead else 1]
    assert len(entry_table({0.0: cover}, "x")) == cover.matrix.size


@pytest.mark.parametrize("part", ["all", "90 %", "half"])
def test_rectangles_by_layer(part: str) -> None:
    figure = growth_figure({0.4: {"a": BLOCKS, "b": MIXED}}, ["a", "b", "c"], part=part, batch="x", n_rows=80)
    line = trace(figure, "p = 0.4")
    assert line.line.color == colour_of(0.4) and list(line.x) == ["a", "b"]
    assert part in figure.layout.yaxis.title.text and list(figure.layout.xaxis.categoryarray) == ["a", "b", "c"]
    if part == "all":
        assert list(line.y) == [3, MIXED.upper_bound]
        assert list(trace(figure, "p = 0.4, lower bound").y) == [3, MIXED.lower_bound]
        band = next(t for t in figure.data if t.fill == "toself")
        assert list(band.y) == [3, MIXED.upper_bound, MIXED.lower_bound, 3]
        assert list(trace(figure, "the most that this many rows and channels can need").y) == [6, 16]
    else:
        share = 0.9 if part == "90 %" else 0.5
        assert list(line.y) == [BLOCKS.rectangles_for(share), MIXED.rectangles_for(share)]
    assert all(point[0] in ("a", "b") for point in line.customdata)  # a click opens that layer


def test_the_answer_has_the_figures() -> None:
    answer = answer_of({0.0: BLOCKS, 0.4: LINEAR, 1.0: MIXED}, "conv2_1", "one class")
    low = MIXED.lower_bound
    assert answer == (
        f"At conv2_1, one class takes at least {low} rectangles with random labels (p = 1), at most 3 with clean labels (p = 0)."
    )
    assert answer_of({0.0: MIXED, 1.0: MIXED}, "conv2_1", "one class").startswith("No difference: ")
    assert halves_text({0.0: BLOCKS, 0.4: LINEAR}) == "Half of the support takes at most 2 (p = 0)."
    full = support_cover(np.tril(np.ones((6, 9))) + 0.0)
    alone = answer_of({0.0: full}, "x", "one class")
    assert alone == "At x, one class: 6 rectangles with clean labels (p = 0). That is the most that 6 rows can need."
    assert answer_of({0.0: full, 1.0: full}, "x", "one class").endswith("That is the most that 6 rows can need.")


def test_distinct_dead_and_always_on_are_counted() -> None:
    text = channels_text({0.0: BLOCKS, 1.0: LINEAR})
    assert "p = 0: 3 distinct supports in 6 rows (all shown), 33 % positive; of 12 channels 0 dead, 0 always on" in text
    assert "of 4 channels 0 dead, 4 always on" in text
    assert channels_text({UNKNOWN: BLOCKS}, lambda p: "mine").startswith("mine: 3 distinct")


def test_tables_and_settings() -> None:
    results = {
        SupportRequest(f"digits-cnn-p{p}-s0", layer, 3): cover
        for p, cover in (("1", MIXED), ("0", BLOCKS)) for layer in ("conv2_1", "conv1_1")
    }  # fmt: skip
    table = support_table(results, CHOICE)
    assert list(zip(table["p"], table["layer"], strict=True)) == [
        (0.0, "conv1_1"), (0.0, "conv2_1"), (1.0, "conv1_1"), (1.0, "conv2_1")
    ]  # fmt: skip
    assert list(table["at least"]) == [3, 3, MIXED.lower_bound, MIXED.lower_bound]
    entries = entry_table({0.0: BLOCKS}, "conv2_1")
    assert len(entries) == 3 * 12 and entries["positive"].sum() == 12 and entries["fooling_set"].sum() == 3
    assert "80 distinct rows and 128 channels" in support_settings(CHOICE, results)["at most"]


def test_html_keeps_the_tints() -> None:
    page = to_html(support_figure({1.0: BLOCKS}, layer="conv2_1", batch="x", order="biclusters"))
    assert "#2f9e96" in page and "conv2_1" in page
