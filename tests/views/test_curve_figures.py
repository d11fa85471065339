"""Figures of curves: their values, and the meaning of colours and dashes."""

import re
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from nmfdiag.diagnosis.report_figures import profile_figure
from nmfdiag.jobs.requests import CurveRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.phases import phases
from nmfdiag.measures.stats.summary import Spread, mean_curve, rank_needed
from nmfdiag.measures.suspects.probe_depth import probe_depth
from nmfdiag.plots.modes import to_html
from nmfdiag.plots.probe_depth import probe_depth_figure
from nmfdiag.plots.theme import MARKER, SMALL_MARKER, colour_of, marker_of
from nmfdiag.views.curve_figures import auc_figure, curve_figure, error_by_rank_figure, error_figure
from nmfdiag.views.curve_tables import auc_table, curve_table, network_table
from nmfdiag.views.phases import export_table
from nmfdiag.zoo.registry import UNKNOWN, entries, lookup

LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def curve(
    accuracy: list[float], *, ranks: list[int] | None = None, full: int = 8, **fields: object
) -> CompressionCurve:
    record = {
        "layer": "conv1_1", "method": "nmf", "ranks": ranks or [1, 2, 8], "accuracy": accuracy,
        "relative_error": [0.5, 0.2, 0.0][: len(accuracy)], "absolute_error": [5.0, 2.0, 0.0][: len(accuracy)],
        "converged": [True, False, True][: len(accuracy)], "baseline_accuracy": 1.0, "zero_accuracy": 0.1,
        "mean_accuracy": 0.2, "full_rank": full, "shape": (20, 8), "n_samples": 20,
    } | fields  # fmt: skip
    return CompressionCurve(**record)  # type: ignore[arg-type]


def trace(figure: go.Figure, name: str) -> go.Scatter:
    return next(t for t in figure.data if t.name == name)


@pytest.mark.parametrize("axis", ["linear", "log"])
def test_a_curve_is_the_mean_over_classes(axis: str) -> None:
    curves = [curve([0.2, 0.6, 1.0]), curve([0.4, 0.8, 1.0])]
    figure = curve_figure({(0.4, "nmf"): curves}, layer="conv1_1", axis=axis, batch="single-class batches of 20")
    line = trace(figure, "p = 0.4")
    assert list(line.x) == [1, 2, 8] and np.allclose(line.y, [0.3, 0.7, 1.0])
    assert list(line.marker.size) == [MARKER, SMALL_MARKER, MARKER] and line.marker.symbol == marker_of(0.4)
    assert trace(figure, "k = 0: zeros").y == (0.1,)
    assert trace(figure, "k = 0: mean row").y == (0.2,)
    assert (figure.layout.xaxis.type == "log") == (axis == "log")
    assert figure.layout.yaxis.range[0] <= 0 and figure.layout.yaxis.range[1] >= 1


def test_methods_differ_by_dash_and_levels_by_colour_and_marker() -> None:
    curves = {(p, m): [curve([0.2, 0.6, 1.0])] for p in (0.0, 1.0) for m in ("nmf", "pca", "random")}
    figure = curve_figure(curves, layer="conv1_1", axis="linear", batch="x")
    lines = {t.name: t for t in figure.data if t.mode == "lines+markers"}
    assert [lines[f"p = 0, {m}"].line.dash for m in ("NMF", "PCA", "Random ablation")] == ["solid", "dash", "dot"]
    assert lines["p = 0, NMF"].line.color == lines["p = 0, PCA"].line.color != lines["p = 1, NMF"].line.color
    assert len({colour_of(p) for p in LEVELS}) == len({marker_of(p) for p in LEVELS}) == 6


def test_a_class_with_few_samples_does_not_shorten_the_curve() -> None:
    short = curve([0.5, 0.9, 1.0], ranks=[1, 2, 5], full=5, relative_error=[0.4, 0.1, 0.0])
    long = curve([0.1, 0.3, 0.9], ranks=[1, 2, 8])
    assert {k: round(s.mean, 6) for k, s in mean_curve([short, long]).items()} == {1: 0.3, 2: 0.6, 8: 0.95}
    assert mean_curve([short, long], "relative_error")[8].mean == 0
    assert rank_needed([short, long]) == 8 and rank_needed([curve([0.1, 0.2, 0.3])]) is None


def test_layers_keep_their_order_and_phases_are_shaded() -> None:
    layers = ["conv1_1", "conv1_2", "conv2_1", "conv2_2"]
    auc = dict(zip(layers, (0.9, 0.6, 0.8, 1.0), strict=True))
    by_layer = {layer: Spread(v, 0.0, 0.0, 1) for layer, v in auc.items()}
    layer_phases = phases(layers, list(auc.values()), [0.01] * 4)
    figure = auc_figure({"nmf": {0.0: by_layer}}, layers, phases=(0.0, layer_phases), batch="x", axis="linear")
    assert list(figure.layout.xaxis.categoryarray) == layers and list(trace(figure, "p = 0").y) == list(auc.values())
    assert [a.text for a in figure.layout.annotations] == ["feature<br>extraction", "memorisation", "clustering"]
    assert len(figure.layout.shapes) == 3
    assert figure.layout.title.subtitle.text == "x · shaded: phases of p = 0"
    plain = auc_figure({"nmf": {0.0: by_layer}}, layers, phases=None, batch="x", axis="log")
    assert (
        not plain.layout.shapes and plain.layout.title.subtitle.text == "x" and "log k" in plain.layout.yaxis.title.text
    )


def test_errors_raw_and_relative() -> None:
    by_layer = {"conv1_1": Spread(0.5, 0.1, 0.05, 4)}
    relative = error_figure({1.0: by_layer}, ["conv1_1"], relative=True, k=8, batch="x")
    assert tuple(relative.layout.yaxis.range) == (0, 1.03) and "‖A‖" in relative.layout.yaxis.title.text
    raw = error_by_rank_figure({1.0: [curve([0.1, 0.2, 0.3])]}, layer="conv1_1", relative=False, axis="log")
    assert list(trace(raw, "p = 1").y) == [5.0, 2.0, 0.0] and "units" in raw.layout.yaxis.title.text


def test_html_needs_no_network_and_has_its_own_colours() -> None:
    figure = curve_figure({(1.0, "nmf"): [curve([0.2, 0.6, 1.0])]}, layer="conv1_1", axis="linear", batch="x")
    page = to_html(figure)
    assert colour_of(1.0) in page.replace(" ", "") and "conv1_1" in page
    assert not re.search(r"""<(script|link|img)[^>]+(src|href)=["']https?:""", page)


def test_tables() -> None:
    requests = [CurveRequest("digits-mlp-p1-s0", "fc1", c) for c in (0, 1)]
    results = {r: curve([0.2, 0.6, 1.0], layer="fc1") for r in requests}
    assert len(curve_table(results, entries())) == 6
    table = auc_table(results, entries())
    assert len(table) == 1 and table["batches"][0] == 2 and table["AuC"][0] == pytest.approx(curve([0.2, 0.6, 1.0]).auc)
    entry = lookup("digits-mlp-p1-s0")
    assert network_table([entry])["generalisation gap"][0] == entry.train_accuracy - entry.test_accuracy


def test_the_probe_by_depth_stands_on_the_layers_of_auc() -> None:
    layers = ["conv1", "conv2", "conv3", "conv4"]
    by_layer = {layer: Spread(0.8, 0.0, 0.0, 1) for layer in layers}
    no_phases = phases(layers, [0.8] * 4, [0.0] * 4)
    depth = probe_depth(dict(zip(layers, (0.12, 0.14, 0.9, 1.0), strict=True)), 0.1)
    page = auc_figure({"nmf": {0.4: by_layer}}, layers, phases=None, batch="x", axis="linear")
    report = profile_figure({"nmf": by_layer}, layers, no_phases)
    for figure, x, p in ((page, layers, 0.4), (report, [0, 1, 2, 3], UNKNOWN)):
        (auc,) = [t for t in figure.data if t.mode == "lines+markers"]
        extended = probe_depth_figure(figure, {p: depth}, layers)
        assert list(auc.x) == x and auc.yaxis is None
        probe, ring, *_ = [t for t in extended.data if t.yaxis == "y2"]
        assert list(probe.x) == x and list(probe.y) == [0.12, 0.14, 0.9, 1.0]
        assert list(ring.x) == [x[2]] and list(ring.y) == [0.9] and ring.marker.line.width > 2
        assert (
            extended.layout.yaxis.domain[0] > extended.layout.yaxis2.domain[1] and extended.layout.xaxis.anchor == "y2"
        )
        assert any(a.text.endswith("(ours, not the paper's)") for a in extended.layout.annotations)
    waiting = probe_depth_figure(profile_figure({"nmf": by_layer}, layers, no_phases), {}, layers)
    assert waiting.layout.annotations[-1].text == "not known yet"
    (placeholder,) = [t for t in waiting.data if t.yaxis == "y2"]  # without a trace, Plotly draws no axis
    assert placeholder.y == (None,) and not placeholder.showlegend


def test_the_probe_is_exported_beside_the_curves() -> None:
    name, unprobed = "digits-mlp-p1-s0", "digits-mlp-p0-s0"
    requests = [CurveRequest(network, "fc1", 0) for network in (name, unprobed)]
    results = {r: curve([0.2, 0.6, 1.0], layer="fc1") for r in requests}
    depths = {name: probe_depth({"fc1": 0.25, "fc2": 0.6}, 0.1)}
    table = export_table(results, depths, entries())
    assert list(table.p) == [1.0, 0.0] and list(table.AuC) == pytest.approx([results[r].auc for r in requests])
    assert table.probe_accuracy[0] == 0.25 and table.probe_accuracy.isna()[1]
    assert export_table({}, depths, entries()).to_dict("records")[1] == {
        "p": 1.0, "layer": "fc2", "probe_accuracy": 0.6,
    }  # fmt: skip
    own = replace(entries()[name], called="mine")
    results = {CurveRequest(own.name, "fc1", 0): curve([0.2, 0.6, 1.0], layer="fc1")}
    table = export_table(results, {own.name: depths[name]}, {own.name: own})
    assert table.p.isna().all() and list(table.probe_accuracy) == [0.25]  # nobody knows its p
