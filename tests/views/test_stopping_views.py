"""The page *Early stopping* on planted runs: figures, sentences and tables."""

from dataclasses import replace

import plotly.graph_objects as go
import pytest
from planted_histories import layer_values, planted_run

from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stopping import PRIMARY_RULES, RULES
from nmfdiag.plots.modes import to_html
from nmfdiag.plots.theme import colour_of
from nmfdiag.views.epochs import ALL, MEASURES
from nmfdiag.views.stopping import sentences
from nmfdiag.views.stopping.advice import OPEN, REFUTED, SUPPORTED, RecordedGains, advice_text, finding
from nmfdiag.views.stopping.figures import MEAN, RUNS, map_figure, stopping_figure
from nmfdiag.views.stopping.tables import (
    Setting,
    as_in_paper,
    epoch_table,
    every_rule_table,
    map_table,
    measured_series,
    outcomes,
    record_settings,
    rule_table,
    settings_of,
)

ABSOLUTE = MEASURES["absolute"]


def f6(peaks: tuple[int, ...] = (4, 5, 6), **fields: object) -> Setting:
    """Return runs whose test loss is least at epoch 4 and whose AuC is highest at ``peaks``."""
    runs = [planted_run(seed=s, peak=peak, **fields) for s, peak in enumerate(peaks)]  # type: ignore[arg-type]
    [setting] = settings_of("early-stopping", {run.name: run for run in runs}).values()
    return setting


def f9(peaks: tuple[int, ...], end: float) -> Setting:
    """Return few-shot runs that end ``end`` below their best test accuracy."""
    runs = [planted_run("few-shot", seed=s, peak=peak, end=end) for s, peak in enumerate(peaks)]
    [setting] = settings_of("few-shot", {run.name: run for run in runs}).values()
    return setting


def lines(figure: go.Figure, name: str) -> list[go.Scatter]:
    return [t for t in figure.data if t.type == "scatter" and t.mode == "lines" and t.name == name]


def runs_in(figure: go.Figure) -> list[go.Scatter]:
    return [t for t in figure.data if t.mode == "lines" and (t.name or "").startswith("seed ")]


def test_finished_runs_are_grouped_by_all_but_their_seed_in_declared_order() -> None:
    runs = [planted_run(seed=s, label_noise=p) for p in (0.4, 0.0) for s in (1, 0)]
    runs.append(replace(planted_run(seed=2), result={}))
    settings = settings_of("early-stopping", {run.name: run for run in runs})
    assert list(settings) == ["cifar10 cnn, p = 0", "cifar10 cnn, p = 0.4"]
    assert [run.recipe.seed for run in settings["cifar10 cnn, p = 0"].runs] == [0, 1]
    assert as_in_paper("early-stopping", dict(reversed(settings.items()))) == "cifar10 cnn, p = 0"
    assert settings_of("early-stopping", {}) == {}


def test_settings_with_the_same_title_get_a_suffix() -> None:
    wide = planted_run(seed=0)
    wide = replace(wide, name="wide-s0", recipe=replace(wide.recipe, batch_size=7))
    settings = settings_of("early-stopping", {run.name: run for run in (planted_run(seed=0), wide)})
    assert list(settings) == ["cifar10 cnn, p = 0", "cifar10 cnn, p = 0 (wide)"]


def test_only_recorded_measures_and_rules_are_offered() -> None:
    assert f6().measures == list(MEASURES) and set(f6().rules) == set(RULES)
    assert f9((3, 3), 0.0).measures == ["k = 1 accuracy"]
    assert f9((3, 3), 0.0).rules == ["k1", "k1 maximum", "train", "end", "oracle"]
    assert f6().rules[0] == PRIMARY_RULES["early-stopping"]


def test_the_mean_is_over_the_chosen_layers() -> None:
    run = f6().runs[0]
    by_hand = [[line["curves"]["nmf"][layer]["auc"] for line in run.epochs] for layer in ("a", "b", "c")]
    assert measured_series(run, "nmf", "auc", "last third") == measured_series(run, "nmf", "auc", "c") == by_hand[2]
    assert measured_series(run, "nmf", "auc") == pytest.approx([sum(e) / 3 for e in zip(*by_hand, strict=True)])


def test_the_answer_has_epochs_and_costs_and_agrees_with_the_paper_where_close() -> None:
    answer = sentences.stopping_answer(f6((4, 5, 6)))
    assert (
        "maximum at epoch 5.0 ± 0.6, the test loss its minimum at epoch 4.0 ± 0.0: 1.0 ± 0.6 epochs too late" in answer
    )
    assert "3 seeds" in answer and "As in the paper" in answer and "within 2 epochs of it in 3 of 3 runs" in answer
    # The test accuracy falls by .02 an epoch from epoch 4 on, to epoch 12.
    assert "wins 0.140 ± 0.012 of test accuracy against training to the end" in answer
    assert "gives away 0.020 ± 0.012 against the best epoch" in answer


def test_the_answer_reports_disagreement_with_the_paper() -> None:
    far = sentences.stopping_answer(f6((11, 12, 12)))
    assert "not found here: within 2 epochs of it in 0 of 3 runs" in far and "As in the paper" not in far
    assert "in part" in sentences.stopping_answer(f6((4, 5, 12))) and "too early" in sentences.stopping_answer(
        f6((1, 2, 2))
    )
    assert "the same epoch in every run" in sentences.stopping_answer(f6((4, 4)))
    alone = sentences.stopping_answer(f6((12,)))
    assert "at epoch 12, " in alone and "one seed, so no spread" in alone and "±" not in alone


def test_few_shot_is_about_the_gain_over_the_end() -> None:
    won = sentences.stopping_answer(f9((4, 4, 5), 0.16))
    assert "As in the paper, it beats training to the end: better in 3, worse in 0 of 3 runs" in won
    lost = sentences.stopping_answer(f9((2, 1, 2), 0.0))
    assert "here it does not, it is worse: better in 0, worse in 3 of 3 runs" in lost and "loses" in lost
    assert "the best epoch has 0.000 ± 0.000 over the end" in lost
    assert "not clear" in sentences.stopping_answer(f9((4, 2), 0.16))


def test_the_headline_has_one_number() -> None:
    assert sentences.headline(f6((4, 5, 6))).endswith(
        "is highest wins 14.0 ± 1.2 points of test accuracy against training to the end."
    )
    assert "first peaks loses" in sentences.headline(f9((2, 1, 2), 0.0)) and "±" not in sentences.headline(f6((12,)))


def test_the_record_supports_stopping_from_the_noise_on_at_which_every_run_gained() -> None:
    recorded = [
        RecordedGains("a", 0.0, (-0.1, -0.2)),
        RecordedGains("b", 0.2, (0.1, -0.1)),
        RecordedGains("a", 0.4, (0.1,)),
    ]
    assert [finding(p, recorded) for p in (None, 0.0, 0.1, 0.2, 0.4, 1.0)] == [
        OPEN,
        REFUTED,
        OPEN,
        OPEN,
        SUPPORTED,
        SUPPORTED,
    ]
    assert finding(1.0, [*recorded, RecordedGains("a", 0.8, (-0.1,))]) == OPEN and finding(0.4, []) == OPEN
    assert "lost test accuracy (2 runs) with clean labels" in advice_text(0.0, 4, recorded, "AuC")
    assert "won and lost" in advice_text(None, 4, recorded, "AuC") and "No run is recorded" in advice_text(
        0.4, 4, [], "AuC"
    )


def test_a_measure_without_values_stops_nowhere() -> None:
    setting = f6()
    epochs = tuple(e | {"curves": {"nmf": {"a": {"auc": 0.5}, "b": {}, "c": {}}}} for e in setting.runs[0].epochs)
    setting = replace(setting, runs=(replace(setting.runs[0], epochs=epochs),))
    assert "stops nowhere" in sentences.stopping_answer(setting) and outcomes(setting, "auc") == []
    assert len(outcomes(setting, "auc", "a")) == 1 and "no value" in sentences.drawn_text(setting, ABSOLUTE, "b")
    assert len(stopping_figure(setting, ABSOLUTE, layers="b", window=1, show=RUNS).data) > 0
    assert rule_table(setting, "b").set_index("rule").loc["NMF AuC, maximum (declared)", "kept"] == "never"
    assert isinstance(sentences.caveats(setting), str)


def test_the_drawn_measure_is_reported_beside_the_declared_rule() -> None:
    setting = f6()
    assert sentences.drawn_text(setting, ABSOLUTE, ALL) == ""
    text = sentences.drawn_text(setting, MEASURES["relative"], "c")
    assert text.startswith("As drawn, c: relative NMF AuC, maximum, at epoch ") and "not the declared rule" in text
    assert "seed 0: 0, seed 1: +1, seed 2: +2" in sentences.per_run(setting, "auc", ALL)


def test_the_caveats_report_correlation_with_accuracy_and_saturation() -> None:
    assert "with the uncompressed accuracy on the same batches" in sentences.caveats(
        f6()
    ) and "highest" not in sentences.caveats(f6())
    run = planted_run("few-shot", peak=3)
    flat = [
        e | {"curves": {"nmf": {x: layer_values(min(1, i / 3)) for x in "abc"}}} for i, e in enumerate(run.epochs, 1)
    ]
    saturated = replace(f9((3,), 0.0), runs=(replace(run, epochs=tuple(flat)),))
    assert "It is at its highest in 10 of 12 epochs" in sentences.caveats(saturated)


def test_lagging_running_averages_are_reported() -> None:
    run = planted_run("few-shot")
    fitted = tuple(e | {"train_accuracy": 1.0 if e["epoch"] > 2 else 0.5} for e in run.epochs)
    setting = replace(f9((5,), 0.0), runs=(replace(run, epochs=fitted),))
    lowest = min(v for v in measured_series(setting.runs[0], "nmf", "baseline")[3:] if v is not None)
    assert f"still gets up to {1 - lowest:.2f} less of the probe batches right" in sentences.caveats(setting)
    assert "running averages" not in sentences.caveats(f9((5,), 0.0))  # it was never fitted


def test_missing_runs_come_with_the_command() -> None:
    runs = {run.name: run for run in (planted_run(seed=0), replace(planted_run(seed=1), result={}))}
    text = sentences.missing_text("early-stopping", runs, f6())
    assert text.startswith("1 of the 12 declared runs") and "`nmfdiag record early-stopping`" in text
    assert "cifar10-cnn-p0-s1 (epoch 12)" in text
    assert sentences.missing_text("few-shot", {}, None).startswith("No finished run of few-shot (F9) is recorded.")


def test_other_settings_are_reported_by_the_declared_rule() -> None:
    runs = [planted_run(seed=s, label_noise=p, peak=8) for p in (0.0, 0.4) for s in (0, 1)]
    settings = settings_of("early-stopping", {run.name: run for run in runs})
    text = sentences.others_text(settings, "cifar10 cnn, p = 0")
    assert "cifar10 cnn, p = 0.4: +4.0 ± 0.0 epochs, wins 0.080 ± 0.000 of test accuracy (2 runs)" in text
    assert "p = 0:" not in text and sentences.others_text({"only": f6()}, "only") == ""


def test_the_panels_share_epochs_and_colour_means_p_and_line_style_the_method() -> None:
    figure = stopping_figure(f6(label_noise=0.4), ABSOLUTE, layers=ALL, window=1, show=RUNS)
    nmf, random = lines(figure, "NMF"), lines(figure, "random ablation")
    assert [t.line.dash for t in (*nmf, *random)] == [METHODS["nmf"].dash, METHODS["random"].dash]
    assert {t.line.color for t in (*nmf, *random, *runs_in(figure))} == {colour_of(0.4)}
    assert len(runs_in(figure)) == 3 * 4 and all(t.line.width < nmf[0].line.width for t in runs_in(figure))
    assert figure.layout.xaxis.matches == figure.layout.xaxis2.matches == "x3" and len(figure.layout.annotations) == 2
    assert {shape.x0 for shape in figure.layout.shapes} == {4, 5}
    assert figure.layout.yaxis2.range == (-0.03, 1.05) and figure.layout.yaxis.rangemode == "tozero"
    stops = [t for t in figure.data if t.name == "kept by the rule"]
    assert [list(t.x) for t in stops] == [[4, 5, 6]] * 3
    assert list(stops[0].y) == [run.series("test_loss")[e - 1] for run, e in zip(f6().runs, (4, 5, 6), strict=True)]
    assert "plotly" in to_html(figure)


def test_the_mean_comes_with_a_band_in_its_own_panel() -> None:
    figure = stopping_figure(f6(), ABSOLUTE, layers=ALL, window=1, show=MEAN)
    bands = [t for t in figure.data if t.fill == "toself"]
    assert {t.yaxis or "y" for t in bands} == {"y", "y2", "y3"} and not runs_in(figure)
    [mean] = lines(figure, "NMF")
    expected = [sum(v) / 3 for v in zip(*(measured_series(run, "nmf", "auc") for run in f6().runs), strict=True)]
    assert list(mean.y) == pytest.approx(expected)


@pytest.mark.parametrize("show", [RUNS, MEAN])
def test_smoothing_draws_beside_the_raw_line_and_moves_no_stop(show: str) -> None:
    raw = stopping_figure(f6(), ABSOLUTE, layers=ALL, window=1, show=show)
    smooth = stopping_figure(f6(), ABSOLUTE, layers=ALL, window=5, show=show)
    [before], [after], [faint] = lines(raw, "NMF"), lines(smooth, "NMF"), lines(smooth, "NMF, raw")
    assert list(faint.y) == list(before.y) != list(after.y) and faint.opacity < 0.5
    assert [s.x0 for s in raw.layout.shapes] == [s.x0 for s in smooth.layout.shapes]


def test_one_run_is_one_line_and_runs_of_unequal_length_are_averaged_as_far_as_both_go() -> None:
    alone = stopping_figure(f6((5,)), ABSOLUTE, layers=ALL, window=3, show=MEAN)
    assert not runs_in(alone) and not [t for t in alone.data if t.fill] and lines(alone, "NMF")
    setting = f6((4, 5))
    short = replace(setting.runs[1], epochs=setting.runs[1].epochs[:7])
    figure = stopping_figure(replace(setting, runs=(setting.runs[0], short)), ABSOLUTE, layers=ALL, window=1, show=RUNS)
    assert list(lines(figure, "NMF")[0].x) == list(range(1, 8))
    assert sorted({len(t.x) for t in runs_in(figure)}) == [7, 12]


def test_relative_values_have_room_above_one_and_no_control_where_none_was_recorded() -> None:
    figure = stopping_figure(f6(), MEASURES["relative"], layers="a", window=1, show=MEAN)
    assert figure.layout.yaxis3.range[1] >= 1.25 and "uncompressed batch" not in {t.name for t in figure.data}
    fitted = stopping_figure(f6(), MEASURES["on fitted samples"], layers=ALL, window=1, show=MEAN)
    assert lines(fitted, "NMF") and not lines(fitted, "random")


def test_the_map_has_layers_as_rows_and_marks_where_each_turns() -> None:
    setting = f6((4, 5, 6))
    cells, points, peaks, _ = map_figure(setting, ABSOLUTE).data
    assert list(cells.y) == ["a", "b", "c"] and list(cells.x) == list(range(1, 13))
    table = map_table(setting, ABSOLUTE)
    assert cells.z[1][6] == table[(table.layer == "b") & (table.epoch == 7)]["AuC"].item()
    assert list(peaks.x) == [max(range(12), key=row.__getitem__) + 1 for row in cells.z] and list(peaks.y) == [
        "a",
        "b",
        "c",
    ]
    assert points.customdata[0][0] == "a" and len(points.x) == 36 and points.marker.opacity == 0


def test_the_table_has_every_rule_and_marks_the_declared_one() -> None:
    table = rule_table(f6(), ALL).set_index("rule")
    assert len(table) == len(RULES) and "layers" not in table
    declared = table.loc["NMF AuC, maximum (declared)"]
    assert (declared["kept"], declared["decided"], declared["from least loss"]) == (
        "5.0 ± 0.6",
        "at the end",
        "+1.0 ± 0.6",
    )
    assert (declared["below best"], declared["gain over end"]) == ("0.020 ± 0.012", "+0.140 ± 0.012")
    assert (declared["better : worse"], declared["runs"]) == ("3 : 0", "3")
    assert table.loc["train to the end", "gain over end"] == "+0.000 ± 0.000"
    assert table.loc["test loss, minimum (oracle)", "samples"] == "test"


def test_over_other_layers_only_the_declared_row_is_marked_as_declared() -> None:
    table = rule_table(f6(), "last third")
    assert list(table[table.rule.str.contains("declared")].layers) == [ALL] and len(table) == len(RULES) + 1
    assert set(table.layers) == {ALL, "last third", "–"}


def test_a_rule_that_never_stops_has_a_row() -> None:
    row = rule_table(f6(), ALL).set_index("rule").loc["training accuracy first ≥ 0.98"]
    assert (row["kept"], row["runs"], row["test accuracy"]) == ("never", "0", "–")


def test_the_tables_for_export() -> None:
    setting = f6()
    rules = every_rule_table(setting)
    declared = rules[rules.rule.str.contains("declared")]
    assert len(declared) == 1 and declared["epoch kept"].item() == 5.0
    assert declared["from least test loss"].item() == 1.0
    assert declared["from least test loss ±"].item() == pytest.approx(1 / 3**0.5)
    assert every_rule_table(f6((4,)))["test accuracy ±"].isna().all()
    epochs = epoch_table(setting, ABSOLUTE, "b")
    assert len(epochs) == 36 and list(epochs[epochs.seed == 1]["NMF AuC"]) == measured_series(
        setting.runs[1], "nmf", "auc", "b"
    )


def test_settings_have_recipe_probe_versions_machine_and_command() -> None:
    rows = record_settings(f6())
    assert rows["command"] == "nmfdiag record early-stopping" and "learning_rate 0.002" in rows["training"]
    assert rows["network"] == "cifar10 cnn, p = 0, width 8" and "[" not in "".join(rows.values())
    assert rows["torch"] == "2" and rows["processor"] == "x" and "per_class 25" in rows["probe"]


@pytest.mark.parametrize("experiment", sentences.TITLES)
def test_the_help_says_that_no_rule_was_picked_after_the_fact(experiment: str) -> None:
    text = sentences.how_to_read(experiment)
    assert "none picked after seeing the answer" in text and "cannot tell" in text
