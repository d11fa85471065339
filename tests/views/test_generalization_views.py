"""The page *Generalisation* on planted networks: figures and tables."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
from planted_networks import LAYERS, make_correlation, planted_records, verdict
from scipy import stats

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.methods import METHODS, PAPER_METHODS
from nmfdiag.plots.modes import to_html
from nmfdiag.plots.theme import colour_of, marker_of
from nmfdiag.views.generalization import sentences
from nmfdiag.views.generalization.figures import FAINT, definitions_figure, layers_figure, scatter_figure
from nmfdiag.views.generalization.tables import (
    COMPARED,
    STATISTICS,
    Selection,
    Verdict,
    definition_table,
    layer_table,
    network_table,
    select,
    verdicts,
)
from nmfdiag.zoo.experiments import DEFINITIONS, PRIMARY, Definition


def trace(figure: go.Figure, name: str, panel: int = 1) -> go.Scatter:
    axis = "x" if panel == 1 else f"x{panel}"
    return next(t for t in figure.data if t.name == name and (t.xaxis or "x") == axis)


def test_correlations_are_scipys_over_all_and_within() -> None:
    selection = select(planted_records())
    verdict = selection.verdict()
    for method, correlation in verdict.by_method.items():
        oracle = stats.pearsonr(selection.areas(method), selection.errors).statistic
        assert correlation.r == pytest.approx(oracle) and correlation.low < correlation.r < correlation.high
        assert correlation.n == 96
    assert verdict.leads["pca"].value == pytest.approx(verdict.by_method["nmf"].r - verdict.by_method["pca"].r)
    within = replace(selection, compared=COMPARED[2])
    residues = [np.array(within.deviations(v)) for v in (within.areas("nmf"), within.errors)]
    assert within.verdict().by_method["nmf"].r == pytest.approx(np.corrcoef(*residues)[0, 1])
    assert len(set(within.groups)) == 12 and len(set(replace(selection, compared=COMPARED[1]).groups)) == 2
    assert sum(residues[0]) == pytest.approx(0) and selection.deviations([1.0] * 96) == [1.0] * 96


def test_another_definition_and_spearman() -> None:
    selection, definition = select(planted_records()), Definition("last third", "log", "multi")
    verdict = selection.verdict("spearman", definition)
    assert verdict.by_method["pca"].r == pytest.approx(
        stats.spearmanr(selection.areas("pca", definition), selection.errors).statistic
    )
    assert verdict.by_method["pca"].r != selection.verdict("spearman").by_method["pca"].r


def test_the_strongest_is_the_most_negative() -> None:
    assert select(planted_records()).verdict().strongest == "nmf"
    assert verdict(make_correlation(-0.3)).strongest == "pca" and verdict(make_correlation(0.9)).strongest == "pca"
    assert verdict(make_correlation(None)).strongest is None
    positive = Verdict(PRIMARY, "pearson", dict.fromkeys(PAPER_METHODS, make_correlation(0.5, 0.4, 0.6)), {})
    assert positive.strongest is None


def test_networks_are_selected_by_data_set_and_fit() -> None:
    records = planted_records(unfitted=10)
    assert len(select(records).records) == 96 and len(select(records, fits="that fit").records) == 86
    assert {r.recipe.dataset for r in select(records, dataset="fashion_mnist").records} == {"fashion_mnist"}
    with pytest.raises(NmfdiagError, match="No network of fashion_mnist is recorded so far"):
        select(planted_records(20), dataset="fashion_mnist")
    with pytest.raises(NmfdiagError, match="None of these 8 networks fits"):
        select(planted_records(8, unfitted=8), fits="that fit")


def test_the_scatter_has_one_panel_per_method_on_shared_axes() -> None:
    selection = select(planted_records(unfitted=3))
    figure, verdict = scatter_figure(selection, ringed="g17"), selection.verdict()
    titles = [note.text for note in figure.layout.annotations]
    assert [title.split("</b>")[0] for title in titles] == ["<b>NMF", "<b>PCA", "<b>Random ablation"]
    coefficients = [f"r = {sentences.signed(verdict.by_method[method].r)}" for method in PAPER_METHODS]
    assert all(r in title for r, title in zip(coefficients, titles, strict=True))
    for panel, method in enumerate(PAPER_METHODS, 1):
        points = [t for t in figure.data if (t.name or "").startswith("p = ") and t.xaxis == f"x{panel}".rstrip("1")]
        assert sum(len(t.x) for t in points) == 96
        positions = {row[0]: (x, y) for t in points for x, y, row in zip(t.x, t.y, t.customdata, strict=True)}
        i = [r.name for r in selection.records].index("g17")
        assert positions["g17"] == pytest.approx((selection.areas(method)[i], selection.errors[i]))
        ring = trace(figure, "g17", panel)
        assert (ring.x[0], ring.y[0]) == pytest.approx(positions["g17"])
        line = next(t for t in figure.data if t.mode == "lines" and t.line.dash == METHODS[method].dash)
        slope, intercept = np.polyfit(selection.areas(method), selection.errors, 1)
        assert list(line.y) == pytest.approx([intercept + slope * x for x in line.x])
    assert figure.layout.yaxis2.matches == figure.layout.yaxis3.matches == "y"
    assert {figure.layout[axis].matches for axis in ("xaxis", "xaxis2", "xaxis3")} == {"x"}
    assert "plotly" in to_html(figure)


def test_colour_is_p_open_is_the_other_data_set_and_faint_did_not_fit() -> None:
    figure = scatter_figure(select(planted_records(unfitted=3)))
    clean = trace(figure, "p = 0")
    assert clean.marker.color == colour_of(0.0) and set(clean.marker.symbol) == {"circle", "circle-open"}
    styles = {
        row[0]: (s, o) for s, o, row in zip(clean.marker.symbol, clean.marker.opacity, clean.customdata, strict=True)
    }
    assert styles["g00"] == ("circle", FAINT) and styles["g06"] == ("circle", 1) and styles["g48"] == ("circle-open", 1)
    assert "did not fit its labels" in clean.customdata[0][1] and "did not fit" not in clean.customdata[1][1]
    assert set(trace(figure, "p = 1").marker.symbol) == {marker_of(1.0), marker_of(1.0) + "-open"}
    names = [t.name for t in figure.data if t.showlegend is not False]
    assert names[-3:] == ["digits", "fashion_mnist", "small and faint: did not fit"] and len(names) == 9
    plain = [t.name for t in scatter_figure(select(planted_records(48))).data if t.showlegend is not False]
    assert len(plain) == 6  # one data set and all fit: nothing to explain


def test_within_groups_the_scatter_draws_the_correlated_values() -> None:
    selection = select(planted_records(), compared=COMPARED[2])
    figure = scatter_figure(selection)
    points = [x for t in figure.data if (t.name or "").startswith("p = ") and t.xaxis == "x" for x in t.x]
    assert sorted(points) == pytest.approx(sorted(selection.deviations(selection.areas("nmf"))))
    assert "less its group's mean" in figure.layout.xaxis.title.text and figure.layout.xaxis.range is None


def test_few_networks_are_drawn_without_a_line() -> None:
    for n in (1, 2):
        figure = scatter_figure(select(planted_records(n)))
        assert not [t for t in figure.data if t.mode == "lines"]
        assert "undefined" in figure.layout.annotations[0].text
        answer = sentences.title_answer(select(planted_records(n)))
        assert answer.startswith("It can't be said: it needs 3 networks")


def test_definitions_are_drawn_with_intervals_and_the_primary_one_on_top() -> None:
    results = verdicts(select(planted_records(24)))
    figure = definitions_figure(results, "spearman")
    assert len(figure.layout.yaxis.ticktext) == len(DEFINITIONS)
    assert figure.layout.yaxis.ticktext[0].startswith("<b>") and "(primary)" in figure.layout.yaxis.ticktext[0]
    assert sum("primary" in text for text in figure.layout.yaxis.ticktext) == 1
    primary = next(v for v in results if v.definition == PRIMARY and v.statistic == "spearman")
    nmf = trace(figure, "NMF")
    assert nmf.x[0] == primary.by_method["nmf"].r and nmf.y[0] < 0 < trace(figure, "Random ablation").y[0]
    ends = next(t for t in figure.data if t.mode == "lines" and t.legendgroup == "nmf")
    assert tuple(ends.x[:2]) == (primary.by_method["nmf"].low, primary.by_method["nmf"].high)
    assert "Spearman ρ" in figure.layout.title.text
    assert len({nmf.marker.symbol, trace(figure, "PCA").marker.symbol}) == 2


def test_the_table_of_definitions_is_complete_and_marks_the_primary_one() -> None:
    results = verdicts(select(planted_records(24)))
    table = definition_table(results)
    assert len(table) == len(DEFINITIONS) * len(PAPER_METHODS) * len(STATISTICS)
    assert table["primary"].sum() == len(PAPER_METHODS) * len(STATISTICS)
    per = table.groupby(["layers", "rank axis", "batches", "statistic"])
    assert (per["strongest"].sum() == 1).all()
    for _, rows in per:
        assert rows.loc[rows["strongest"], "coefficient"].item() == rows["coefficient"].min()
        nmf = rows.loc[rows["method"] == "NMF", "coefficient"].item()
        differences = rows[rows["method"] != "NMF"]
        assert differences["NMF minus it"].to_numpy() == pytest.approx(nmf - differences["coefficient"].to_numpy())
    assert table.loc[table["method"] == "NMF", "NMF minus it"].isna().all()


def test_tables_of_networks_and_layers() -> None:
    selection = select(planted_records(unfitted=4))
    table = network_table(selection)
    assert len(table) == 96 and table["fits"].sum() == 92
    assert table["NMF AuC"].tolist() == pytest.approx(list(selection.areas("nmf")))
    assert (table["train accuracy"] - table["test accuracy"]).tolist() == pytest.approx(
        table["generalisation gap"].tolist()
    )
    assert {"width", "convs", "n train", "weight decay", "batch size", "learning rate", "shift"} <= set(table)
    layers = layer_table(selection.records[0], Definition("last third"))
    assert len(layers) == 9 and layers.loc[layers["counts"], "layer"].unique().tolist() == ["conv3_1"]


def test_the_layers_of_a_network() -> None:
    record = next(iter(planted_records().values()))
    record.auc["multi"]["pca"]["log"] = [0.1, 0.2, 0.3]
    figure = layers_figure(record, Definition("middle third", "log", "multi"))
    assert list(trace(figure, "PCA").y) == [0.1, 0.2, 0.3] and list(trace(figure, "PCA").x) == LAYERS
    assert [t.line.dash for t in figure.data[:3]] == [METHODS[m].dash for m in PAPER_METHODS]
    shaded = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert [(s.x0, s.x1) for s in shaded] == [(0.5, 1.5)] and "log k" in figure.layout.yaxis.title.text
    assert not [s for s in layers_figure(record, PRIMARY).layout.shapes if s.type == "rect"]


def test_a_selection_keeps_its_other_choices_when_it_is_narrowed() -> None:
    selection = Selection(tuple(planted_records(unfitted=2).values()), DEFINITIONS[3], COMPARED[1])
    assert (selection.fitted.definition, selection.fitted.compared) == (DEFINITIONS[3], COMPARED[1])
    assert len(selection.fitted.records) == 94
