"""Figures side by side: equal ranges of equal quantities, equal scales of maps, and what is left alone."""

import math

import numpy as np
import plotly.graph_objects as go

from nmfdiag.plots.equal_axes import equal_axes
from nmfdiag.plots.theme import map_scale, set_layer_axis


def line(x: list, y: list, *, title: str = "seconds", axis_type: str = "linear") -> go.Figure:
    figure = go.Figure(go.Scatter(x=x, y=y))
    figure.update_xaxes(title="rank k", type=axis_type)
    return figure.update_yaxes(title=title)


def test_axes_of_one_quantity_hold_what_is_drawn_in_both() -> None:
    first, second = line([1, 20], [0.0, 2.0]), line([1, 8], [1.0, None, math.nan, 5.0])
    equal_axes([first, second])
    assert (
        first.layout.yaxis.range == second.layout.yaxis.range and first.layout.xaxis.range == second.layout.xaxis.range
    )
    low, high = first.layout.yaxis.range
    assert -1 < low < 0 and 5 < high < 6 and second.layout.xaxis.range[1] > 20


def test_a_logarithmic_axis_is_in_powers_of_ten_and_apart_from_a_linear_one() -> None:
    first, second = (line([0, 1, np.int64(k)], [1.0, 2.0, 3.0], axis_type="log") for k in (10, 1000))
    plain = line([1, 10**6], [1.0, 2.0])
    equal_axes([first, second, plain])
    low, high = first.layout.xaxis.range
    assert -1 < low < 0 and 3 < high < 4 and second.layout.xaxis.range == (low, high)
    assert plain.layout.xaxis.range is None


def test_given_ranges_are_joined_and_other_quantities_left_alone() -> None:
    first, second, accuracy = line([1], [1]), line([1], [1]), line([1], [1], title="AuC")
    first.update_yaxes(range=[0, 3])
    second.update_yaxes(range=[-1, 2])
    accuracy.update_yaxes(range=[0, 9])
    equal_axes([first, second, accuracy])
    assert first.layout.yaxis.range == second.layout.yaxis.range == (-1, 3) and accuracy.layout.yaxis.range == (0, 9)


def test_an_axis_that_starts_at_zero_still_does() -> None:
    first, second = line([1], [5.0]), line([1], [8.0])
    for figure in (first, second):
        figure.update_yaxes(rangemode="tozero")
    equal_axes([first, second])
    low, high = first.layout.yaxis.range
    assert low == 0 and 8 < high < 9 and second.layout.yaxis.range == (low, high)


def test_both_axes_have_the_ticks_of_the_longer_one() -> None:
    first, second = (line([1, k], [1.0, 2.0], axis_type="log") for k in (16, 512))
    first.update_xaxes(tickvals=[1, 4, 16], ticktext=["1", "4", "16"])
    second.update_xaxes(tickvals=[1, 64, 512], ticktext=["1", "64", "512"])
    equal_axes([first, second])
    assert first.layout.xaxis.tickvals == second.layout.xaxis.tickvals == (1, 64, 512)
    assert first.layout.xaxis.ticktext == ("1", "64", "512")


def test_layers_and_reversed_axes_stay() -> None:
    figures = [line(layers, [1.0] * len(layers)) for layers in (["a", "b"], ["a", "b", "c"])]
    for figure, layers in zip(figures, (["a", "b"], ["a", "b", "c"]), strict=True):
        set_layer_axis(figure, layers)
        figure.update_yaxes(range=[len(layers), 0])
    equal_axes(figures)
    assert [figure.layout.xaxis.range for figure in figures] == [(-0.5, 1.5), (-0.5, 2.5)]
    assert [figure.layout.yaxis.range for figure in figures] == [(2, 0), (3, 0)]


def test_maps_share_their_scale() -> None:
    figures = [
        go.Figure(go.Heatmap(z=[[0.5]], **map_scale(ends, title)))
        for ends, title in (((0.8, 1.0), "AuC"), ((0.3, 0.9), "AuC"), ((0.0, 0.1), "error"))
    ]
    equal_axes(figures)
    first, second, accuracy = (figure.data[0] for figure in figures)
    assert (first.zmin, first.zmax) == (second.zmin, second.zmax) == (0.3, 1.0)
    assert tuple(first.colorbar.tickvals) == tuple(second.colorbar.tickvals) and first.colorbar.tickvals[0] == 0.3
    assert (accuracy.zmin, accuracy.zmax) == (0.0, 0.1)
