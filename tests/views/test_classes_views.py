"""The page *Classes* on planted curves: figures, sentences and tables."""

import math
import re
from dataclasses import replace

import plotly.graph_objects as go
import pytest
from scipy import stats

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import CurveRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.plots.modes import to_html
from nmfdiag.plots.theme import SEQUENTIAL, colour_of
from nmfdiag.text import signed
from nmfdiag.views.classes.figures import class_curve_figure, map_figure, scatter_figure
from nmfdiag.views.classes.samples import class_pictures
from nmfdiag.views.classes.sentences import classes_answer, correlation_text, correlations_text, denoising_text
from nmfdiag.views.classes.tables import (
    LOWEST,
    POOLED,
    ClassCurves,
    class_of,
    correlation_table,
    correlations,
    map_table,
    note,
    over_classes,
    point_table,
    single_class_curves,
)
from nmfdiag.views.selection import MULTI, Choice
from nmfdiag.views.suspects.thumbnails import thumbnails
from nmfdiag.zoo.pool_rows import given_labels
from nmfdiag.zoo.registry import UNKNOWN, entries, lookup

TEST_ACCURACY = {0.0: tuple(0.9 + 0.01 * c for c in range(10)), 1.0: tuple(0.2 - 0.01 * c for c in range(10))}


def planted(at_rank_one: float, layer: str = "fc1", baseline: float = 1.0, **fields: object) -> CompressionCurve:
    """Return a straight line from rank 1 to the full rank 3, whose AuC is the mean of both ends."""
    half = (at_rank_one + baseline) / 2
    record = {
        "layer": layer, "method": "nmf", "ranks": [1, 2, 3], "accuracy": [at_rank_one, half, baseline],
        "relative_error": [0.5, 0.2, 0.0], "absolute_error": [5.0, 2.0, 0.0], "converged": [True] * 3,
        "baseline_accuracy": baseline, "zero_accuracy": 0.0, "mean_accuracy": 0.0, "full_rank": 3, "shape": (20, 3),
        "n_samples": 20,
    } | fields  # fmt: skip
    return CompressionCurve(**record)  # type: ignore[arg-type]


def planted_curves(*, skip: tuple[tuple[float, str, int], ...] = (), p: tuple[float, ...] = (0.0, 1.0)) -> ClassCurves:
    """Return curves whose AuC rises with the class at fc1 (in both networks) and is 1 at every later layer."""
    networks = tuple(replace(entries()[f"digits-mlp-p{q:g}-s0"], test_accuracy_by_class=TEST_ACCURACY[q]) for q in p)
    choice = Choice(networks, "fc1", batch="3", per_class=20)
    results = {
        CurveRequest(n.name, layer, c): planted(0.1 * c if layer == "fc1" else 1.0, layer)
        for n in networks
        for layer in n.layers
        for c in range(10)
        if (n.recipe.label_noise, layer, c) not in skip
    }
    return single_class_curves(over_classes(choice), results)


def trace(figure: go.Figure, start: str) -> go.Scatter:
    return next(t for t in figure.data if (t.name or "").startswith(start))


def test_the_map_has_classes_as_rows_and_layers_from_left_to_right() -> None:
    figure = map_figure(planted_curves(), 1.0, class_idx=3)
    cells = figure.data[0]
    assert list(cells.x) == ["fc1", "fc2", "fc3", "fc4", "fc5"] and list(cells.y) == list("0123456789")
    assert [row[0] for row in cells.z] == pytest.approx([0.5 + 0.05 * c for c in range(10)])
    assert {row[4] for row in cells.z} == {1.0} and (cells.zmin, cells.zmax) == (0.5, 1)
    assert list(cells.colorbar.tickvals)[:: len(cells.colorbar.tickvals) - 1] == [0.5, 1]  # its ends are written
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first class on top
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "category"
    frame = figure.layout.shapes[0]
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (-0.5, 0.5, 2.5, 3.5)
    assert figure.layout.title.text.endswith("p = 1")
    assert figure.layout.title.subtitle.text == "single-class batches of 20"


def test_every_cell_has_its_value_on_hover_and_can_be_clicked() -> None:
    points = map_figure(planted_curves(skip=((0.0, "fc2", 7),)), 0.0, class_idx=0).data[1]
    assert len(points.x) == 50 and points.marker.opacity == 0
    text_of = {(layer, name): text for layer, name, text in points.customdata}
    assert text_of["fc1", "2"].startswith("AuC 0.600, 20 samples") and text_of["fc2", "7"] == "no curve"


def test_a_missing_cell_is_a_gap_and_a_missing_network_waits() -> None:
    curves = planted_curves(skip=((0.0, "fc2", 7),))
    assert map_figure(curves, 0.0, class_idx=0).data[0].z[7][1] is None
    empty = replace(curves, curves={})
    for figure in (map_figure(empty, 0.0, class_idx=0), scatter_figure(empty, class_idx=0)):
        assert not figure.data and "No c" in figure.layout.annotations[0].text
    assert "No curve of class 0 at fc1" in classes_answer(empty, 0.0, "fc1", 0)


def test_the_exported_map_has_its_own_colours() -> None:
    figure = map_figure(planted_curves(), 0.0, class_idx=0)
    assert figure.data[0].colorscale is None  # the theme's, in light and in dark
    assert SEQUENTIAL[-1][1] in to_html(figure)


def test_the_curves_of_a_class_ring_what_beats_the_baseline() -> None:
    curves = planted_curves()
    name = curves.network(0.0).name
    results = {
        CurveRequest(name, "fc1", 3): planted(0.5, baseline=0.9, accuracy=[0.5, 1.0, 0.9]),
        CurveRequest(name, "fc1", 4): planted(0.2),
        CurveRequest(name, "fc2", 3): planted(0.3, "fc2"),
    }
    figure = class_curve_figure(curves, results, class_idx=3)
    assert list(trace(figure, "p = 0").y) == [0.5, 1.0, 0.9]
    ring = trace(figure, "above uncompressed")
    assert (list(ring.x), list(ring.y), list(ring.customdata)) == ([2], [1.0], [0.9])
    assert "class 3, 20 samples" in figure.layout.title.subtitle.text
    plain = class_curve_figure(curves, results, class_idx=4)
    assert "above uncompressed" not in {t.name for t in plain.data}
    assert "No curve of class 5" in class_curve_figure(curves, results, class_idx=5).layout.annotations[0].text


def test_denoising_is_reported_with_its_samples() -> None:
    beaten = planted(0.5, baseline=0.9, accuracy=[0.5, 1.0, 0.9])
    text = denoising_text({0.0: planted(0.5), 0.4: beaten}, "cat", "fc1", "nmf")
    assert text.startswith("Class cat at fc1: NMF denoises") and "p = 0 " not in text
    assert "1.00 at k = 2 against 0.90 (p = 0.4; 2 of 20 samples)" in text
    own = denoising_text({UNKNOWN: beaten}, "cat", "fc1", "nmf", lambda p: "mine")
    assert "against 0.90 (mine; 2 of 20 samples)" in own
    trivial = denoising_text({0.4: replace(beaten, zero_accuracy=1.0)}, "cat", "fc1", "nmf")
    assert "but k = 0 beats it too" in trivial
    below = {0.0: planted(0.5), 1.0: planted(0.5, baseline=0.8)}
    assert denoising_text(below, "cat", "fc1", "nmf") == ""
    assert "no curve" in denoising_text({}, "cat", "fc1", "nmf")


def test_the_scatter_has_one_point_per_class_and_p_with_r() -> None:
    figure = scatter_figure(planted_curves(), class_idx=3)
    clean, noisy = trace(figure, "p = 0:"), trace(figure, "p = 1:")
    assert list(clean.x) == pytest.approx([0.5 + 0.05 * c for c in range(10)])
    assert list(clean.y) == pytest.approx(TEST_ACCURACY[0.0])
    assert clean.marker.color == colour_of(0.0) and clean.marker.symbol != noisy.marker.symbol
    assert clean.name.endswith("1.00") and "−1.00" in noisy.name and "1.00 (1.00 to 1.00)" in clean.hovertemplate
    assert list(clean.customdata[3]) == ["fc1", "3"]  # a click opens this class at this layer
    assert list(trace(figure, "class 3").x) == pytest.approx([0.65, 0.65])
    assert figure.layout.title.subtitle.text.startswith(POOLED)


def test_correlations_are_scipys_and_pooled_ones_ignore_the_networks_levels() -> None:
    curves = planted_curves()
    results = correlations(curves, "fc1")
    auc = list(curves.auc(0.0, "fc1").values())
    assert results[0.0].r == pytest.approx(stats.pearsonr(auc, TEST_ACCURACY[0.0]).statistic)
    assert results[POOLED].r == pytest.approx(0, abs=1e-9) and results[POOLED].n == 20  # one rises as the other falls
    assert results[POOLED].interval == "bootstrap"
    assert POOLED not in correlations(planted_curves(p=(0.0,)), "fc1")


def test_a_saturated_layer_has_no_correlation_with_a_reason() -> None:
    results = correlations(planted_curves(), "fc4")
    assert all(result.r is None for result in results.values())
    assert "AuC is constant" in correlation_text(results[0.0])
    assert (
        "no r, AuC is constant"
        in trace(scatter_figure(replace_layer(planted_curves(), "fc4"), class_idx=0), "p = 0").name
    )
    text = correlations_text(planted_curves(), 0.0, "fc4")
    assert text == "At fc4 no correlation with test accuracy is defined: AuC is 1.00 for every class."
    assert "one direction is enough for every class" in classes_answer(planted_curves(), 0.0, "fc4", 0)


def replace_layer(curves: ClassCurves, layer: str) -> ClassCurves:
    return replace(curves, choice=replace(curves.choice, layer=layer))


def test_the_answer_is_about_the_framed_cell() -> None:
    curves = planted_curves()
    lowest = classes_answer(curves, 0.0, "fc1", class_of(LOWEST, curves, 0.0))
    assert lowest == "Class 0 needs the most directions at fc1 with clean labels (p = 0): AuC 0.50."
    assert classes_answer(curves, 1.0, "fc1", 4) == (
        "Class 4 has AuC 0.70 at fc1 with random labels (p = 1); class 0 is lowest, 0.50."
    )


def test_the_correlation_with_test_accuracy_is_put_in_words() -> None:
    text = correlations_text(planted_curves(), 0.0, "fc1").replace("\u00a0", " ")
    assert "recognised better in the test: r = 1.00 (95 % interval 1.00 to 1.00, 10 classes)" in text
    assert "pooled within p, r = 0.00" in text
    assert "recognised worse" in correlations_text(planted_curves(), 1.0, "fc1")
    assert "pooled" not in correlations_text(planted_curves(p=(0.0,)), 0.0, "fc1")


def test_the_class_that_is_drawn() -> None:
    curves = planted_curves()
    assert class_of(LOWEST, curves, 0.0) == 0 and class_of("7", curves, 0.0) == 7
    assert class_of(LOWEST, replace(curves, curves={}), 0.0) == 0
    with pytest.raises(NmfdiagError, match="Unknown class 'cat'"):
        class_of("cat", curves, 0.0)


def test_the_note_on_a_multi_class_batch() -> None:
    choice = planted_curves().choice
    multi = replace(choice, batch=MULTI)
    assert "instead of the multi-class batch" in note(multi) and not note(choice)
    assert len(over_classes(multi).classes) == 10


def test_tables() -> None:
    curves = planted_curves(skip=((1.0, "fc1", 2),))
    assert len(map_table(curves, 1.0)) == 49 and map_table(curves, 0.0)["AuC"].min() == pytest.approx(0.5)
    assert len(point_table(curves, "fc1")) == 19
    table = correlation_table(curves)
    assert len(table) == 5 * 3 and list(table["p"][:3]) == ["0", "1", POOLED]
    assert table["points"][2] == 19 and table["Pearson r"][0] == pytest.approx(1)
    assert math.isnan(table["Pearson r"][3]) and table["undefined because"][3] == "AuC is constant"
    assert point_table(replace(curves, curves={}), "fc1").empty and correlation_table(replace(curves, curves={})).empty


def test_signs() -> None:
    assert [signed(v) for v in (0.314, -0.314, -0.001)] == ["0.31", "−0.31", "0.00"]


def test_an_answer_on_the_first_curves_omits_correlations() -> None:
    curves = planted_curves(p=(0.0,))
    first = replace(curves, curves={0.0: {"fc1": {0: planted(0.2)}}})
    assert correlations_text(first, 0.0, "fc1") == ""


def test_ten_samples_of_the_class_are_pictured_and_described() -> None:
    entry = lookup("digits-mlp-p1-s0")
    pictures, text = class_pictures(entry, 3, 20)
    assert text == "10 of the 20 training samples labelled 3, with random labels (p = 1)"
    assert pictures.count("<img ") == 10 and f'role="img" aria-label="{text}"' in pictures
    labelled = thumbnails(entry, [int(row) for row in (given_labels(entry) == 3).nonzero()[0]])
    assert all(uri in labelled for uri in re.findall('src="([^"]+)"', pictures))
    odd = replace(entry, class_names=('"<a>', *entry.class_names[1:]))
    pictures, text = class_pictures(odd, 0, 5)
    assert text.startswith('5 training samples labelled "<a>,') and "labelled &quot;&lt;a&gt;," in pictures
