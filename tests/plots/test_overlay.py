"""Two networks in one figure: their lines, names and axes, and what tells them apart."""

from dataclasses import replace

import plotly.graph_objects as go
import pytest

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.stats.summary import Spread
from nmfdiag.measures.suspects.probe_depth import probe_depth
from nmfdiag.plots.overlay import is_key
from nmfdiag.plots.probe_depth import JUMP, RINGS, probe_depth_figure
from nmfdiag.plots.theme import colour_of
from nmfdiag.views.curve_figures import auc_figure, curve_figure, error_by_rank_figure, error_figure
from nmfdiag.views.pair import figure_by_layer, figure_by_rank, line_names, side_labels
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import UNKNOWN, ZooEntry, lookup

MLP = lookup("digits-mlp-p0-s0"), lookup("digits-mlp-p1-s0")
TWIN, OTHER = lookup("digits-mlp-p1-s1"), lookup("fashion_mnist-cnn-p1-s0")
OWN = replace(lookup("digits-cnn-p0.6-s0"), called="mine")


def pair(networks: tuple[ZooEntry, ...], second: ZooEntry, *, methods: tuple[str, ...] = ("nmf",)) -> Choice:
    return Choice(networks, next(iter(networks[0].layers)), methods=methods, beside=second)


def by_layer_figures(choice: Choice) -> list[go.Figure]:
    return [
        auc_figure(
            {
                m: {
                    n.label_noise: {layer: Spread(0.5 + i / 50, 0, 0.01, 10) for i, layer in enumerate(side.layers)}
                    for n in side.networks
                }
                for m in side.methods
            },
            side.layers,
            phases=None,
            batch="x",
            axis="linear",
            line_name=line_name,
        )
        for side, line_name in zip(choice.sides, line_names(choice), strict=True)
    ]


def curve(full: int, converged: bool = True) -> CompressionCurve:
    ranks = [1, full // 2, full]
    return CompressionCurve("fc1", "nmf", ranks, [0.2, 0.6, 1.0], [0.5, 0.2, 0.0], [5.0, 2.0, 0.0], [True, converged, True], 1.0, 0.1, 0.2, full, (20, full), 20)  # fmt: skip


def by_rank_figure(
    choice: Choice, full_ranks: tuple[int, int], axis: str = "linear", draw: str = "accuracy"
) -> go.Figure:
    curves = [
        {(n.label_noise, m): [curve(full)] for n in side.networks for m in side.methods}
        for side, full in zip(choice.sides, full_ranks, strict=True)
    ]
    if draw == "error":
        figures = [
            error_by_rank_figure(
                {p: c for (p, _), c in groups.items()}, layer="fc1", relative=True, axis=axis, line_name=line_name
            )
            for groups, line_name in zip(curves, line_names(choice), strict=True)
        ]
    else:
        figures = accuracy_figures(choice, curves, axis)
    return figure_by_rank(choice, figures, curves)


def accuracy_figures(choice: Choice, curves: list, axis: str) -> list[go.Figure]:
    return [
        curve_figure(groups, layer="fc1", axis=axis, batch="x", zero=False, line_name=line_name)
        for groups, line_name in zip(curves, line_names(choice), strict=True)
    ]


def lines(figure: go.Figure, axis: str | None = None) -> dict[str, go.Scatter]:
    return {t.name: t for t in figure.data if t.mode == "lines+markers" and not is_key(t) and t.yaxis == axis}


def legend(figure: go.Figure) -> list[str]:
    return [t.name for t in figure.data if t.showlegend is not False]


def test_lines_of_both_have_the_networks_names_the_second_last() -> None:
    assert legend(figure_by_layer(*twice(pair(MLP, OTHER)))) == [
        "digits mlp p = 0", "digits mlp p = 1", "fashion_mnist cnn p = 1",
    ]  # fmt: skip
    assert legend(figure_by_layer(*twice(pair(MLP, TWIN)))) == [
        "digits mlp seed 0 p = 0", "digits mlp seed 0 p = 1", "digits mlp seed 1 p = 1",
    ]  # fmt: skip
    assert legend(figure_by_layer(*twice(pair(MLP, OWN)))) == ["digits mlp p = 0", "digits mlp p = 1", "mine"]
    assert legend(figure_by_layer(*twice(pair((OWN,), MLP[0])))) == ["mine", "digits mlp p = 0"]
    figure = by_rank_figure(pair(MLP, OTHER), (20, 20))
    assert legend(figure) == ["digits mlp p = 0", "digits mlp p = 1", "fashion_mnist cnn p = 1"]
    assert all(t.hovertemplate.startswith(f"{name}<br>") for name, t in lines(figure).items())


def twice(choice: Choice) -> tuple[Choice, list[go.Figure]]:
    return choice, by_layer_figures(choice)


@pytest.mark.parametrize("second", [TWIN, OTHER, OWN], ids=["same family", "another family", "own"])
@pytest.mark.parametrize("mode_methods", [("nmf",), ("nmf", "pca", "random")], ids=["one method", "three"])
def test_no_two_lines_share_colour_and_dash(second: ZooEntry, mode_methods: tuple[str, ...]) -> None:
    choice = pair(MLP, second, methods=mode_methods)
    for figure in (figure_by_layer(*twice(choice)), by_rank_figure(choice, (20, 64))):
        drawn_lines = lines(figure)
        assert len(drawn_lines) == 3 * len(mode_methods)
        assert len({(t.line.color, t.line.dash) for t in drawn_lines.values()}) == len(drawn_lines)
        second_lines = list(drawn_lines.values())[-len(mode_methods) :]
        assert [str(t.marker.symbol).endswith("-open") for t in drawn_lines.values()] == [
            t in second_lines for t in drawn_lines.values()
        ]
        assert {t.line.color for t in second_lines} == {colour_of(second.label_noise)}
        assert all(t.name in legend(figure) for t in second_lines)


def test_networks_with_the_same_layers_share_their_axis() -> None:
    figure = figure_by_layer(*twice(pair(MLP, TWIN)))
    layers = list(TWIN.layers)
    assert list(figure.layout.xaxis.categoryarray) == layers
    assert all(list(t.x) == layers for t in lines(figure).values())


def test_networks_with_other_layers_are_drawn_by_relative_depth() -> None:
    choice = pair(MLP, OTHER)
    figures = by_layer_figures(choice)
    layers = list(MLP[0].layers)
    shading = Phases((layers[0],), tuple(layers[1:3]), tuple(layers[3:]))
    figures[0] = auc_figure(
        {"nmf": {1.0: {layer: Spread(0.9, 0, 0, 1) for layer in layers}}}, layers, phases=(1.0, shading), batch="x", axis="linear"
    )  # fmt: skip
    figure = figure_by_layer(choice, figures)
    first, second = lines(figure).values()
    assert list(first.x) == [0, 0.25, 0.5, 0.75, 1] and second.x[0] == 0 and second.x[-1] == 1
    assert len(second.x) == len(OTHER.layers) and [row[0] for row in second.customdata] == list(OTHER.layers)
    assert "customdata[0]" in second.hovertemplate
    axis = figure.layout.xaxis
    assert axis.type == "linear" and axis.categoryarray is None and tuple(axis.range) == (-0.125, 1.125)
    assert list(axis.ticktext) == layers and list(axis.tickvals) == list(first.x) and "digits mlp" in axis.title.text
    assert [(s.x0, s.x1) for s in figure.layout.shapes] == [(-0.125, 0.125), (0.125, 0.625), (0.625, 1.125)]
    assert [a.x for a in figure.layout.annotations] == [0, 0.375, 0.875]


def test_equal_full_ranks_share_the_rank_axis() -> None:
    figure = by_rank_figure(pair(MLP, TWIN), (20, 20))
    assert figure.layout.xaxis.title.text == "rank k"
    assert {tuple(t.x) for t in lines(figure).values()} == {(1, 10, 20)}


@pytest.mark.parametrize("draw", ["accuracy", "error"])
@pytest.mark.parametrize("axis", ["linear", "log"])
def test_other_full_ranks_share_an_axis_of_their_share(axis: str, draw: str) -> None:
    figure = by_rank_figure(pair(MLP, OTHER), (20, 64), axis, draw)
    first, *_, second = lines(figure).values()
    assert list(first.x) == [0.05, 0.5, 1] and list(second.x) == [1 / 64, 0.5, 1]
    assert list(second.text) == ["1 of 64", "32 of 64", "64 of 64"] and "k = %{text}" in second.hovertemplate
    title = figure.layout.xaxis.title.text
    assert title == "k as a share of the full rank: 20 (digits mlp) and 64 (fashion_mnist cnn)"
    if axis == "log":
        assert figure.layout.xaxis.type == "log" and min(figure.layout.xaxis.tickvals) == 1 / 64


def test_ranks_that_did_not_converge_are_small_in_both() -> None:
    choice = pair(MLP[1:], OTHER)
    curves = [{(1.0, "nmf"): [curve(20, converged=False)]} for _ in choice.sides]
    figures = accuracy_figures(choice, curves, "linear")
    figure = figure_by_rank(choice, figures, curves)
    assert {tuple(t.marker.size) for t in lines(figure).values()} == {(8, 4, 8)}
    assert legend(figure).count("small: not converged") == 1


def test_errors_by_layer_of_both() -> None:
    choice = pair(MLP[1:], OTHER)
    figures = [
        error_figure(
            {1.0: dict.fromkeys(side.layers, Spread(0.4, 0, 0, 1))},
            side.layers,
            relative=True,
            k=8,
            batch="x",
            line_name=line_name,
        )
        for side, line_name in zip(choice.sides, line_names(choice), strict=True)
    ]
    figure = figure_by_layer(choice, figures)
    assert legend(figure) == ["digits mlp p = 1", "fashion_mnist cnn p = 1"]
    assert tuple(figure.layout.yaxis.range) == (0, 1.03)


@pytest.mark.parametrize(("chances", "anchors"), [((0.1, 0.2), ("top", "bottom")), ((0.2, 0.1), ("bottom", "top"))])
def test_the_probes_of_both_stand_below(chances: tuple[float, float], anchors: tuple[str, str]) -> None:
    choice = pair(MLP, OWN)
    figures = []
    for side, figure, chance, line_name, owner, ring in zip(
        choice.sides, by_layer_figures(choice), chances, line_names(choice), side_labels(choice), RINGS, strict=True
    ):
        rising = {layer: 0.2 + 0.8 * (i > 1) for i, layer in enumerate(side.layers)}
        figures.append(
            probe_depth_figure(
                figure,
                {side.networks[-1].label_noise: probe_depth(rising, chance)},
                side.layers,
                line_name=line_name,
                owner=owner,
                ring=ring,
            )
        )
    figure = figure_by_layer(choice, figures)
    probes = lines(figure, "y2")
    assert list(probes) == ["digits mlp p = 1", "mine"] and len(lines(figure)) == 3
    assert probes["mine"].line.dash != probes["digits mlp p = 1"].line.dash and probes["mine"].marker.symbol.endswith(
        "-open"
    )
    rings = {t.legendgroup: t.marker.symbol for t in figure.data if t.name == JUMP}
    keys = {t.name.rpartition(", ")[2]: t.marker.symbol for t in figure.data if "readable" in (t.name or "")}
    assert rings == {"digits mlp p = 1": "circle-open", "mine": "square-open"}
    assert keys == {"digits mlp": "circle-open", "mine": "square-open"}
    assert {t.legendgroup for t in probes.values()} == {"digits mlp p = 1", "mine"}
    assert legend(figure) == [
        "digits mlp p = 0",
        "digits mlp p = 1",
        "labels readable at once, digits mlp",
        "mine",
        "labels readable at once, mine",
    ]
    first, second = [shape for shape in figure.layout.shapes if shape.type == "line"]
    assert (first.y0, second.y0) == chances and second.label.text == "chance, mine"
    assert (first.label.yanchor, second.label.yanchor) == anchors and first.line.dash != second.line.dash
    assert all(x is None or 0 <= x <= 1 for t in figure.data for x in t.x)


def test_a_figure_without_the_second_ones_curves_is_the_first_ones() -> None:
    choice = pair(MLP, OTHER)
    figures = by_layer_figures(choice)
    empty = auc_figure({}, list(OTHER.layers), phases=None, batch="x", axis="linear")
    assert legend(figure_by_layer(choice, [figures[0], empty])) == ["digits mlp p = 0", "digits mlp p = 1"]
    curves = {(0.0, "nmf"): [curve(20)]}
    by_rank = accuracy_figures(choice, [curves, {}], "log")
    assert legend(figure_by_rank(choice, by_rank, [curves, {}])) == ["digits mlp p = 0"]


def test_unknown_p_has_its_own_colour() -> None:
    figure = figure_by_layer(*twice(pair((OWN,), OTHER)))
    assert lines(figure)["mine"].line.color == colour_of(UNKNOWN) != lines(figure)["fashion_mnist cnn p = 1"].line.color
