"""The page *Training runs* on planted runs: values, sentences and figures."""

import json
import os
import time
from pathlib import Path

import plotly.graph_objects as go
import pytest
from planted_run_files import HEAD, epoch_line, write_run

from nmfdiag.measures.methods import METHODS
from nmfdiag.monitor.run_reader import MonitoredRun, monitored_runs
from nmfdiag.plots.theme import P_MARKERS, colour_of, to_html
from nmfdiag.views.epochs import ALL
from nmfdiag.views.training_runs import sentences
from nmfdiag.views.training_runs.figures import OWN_COLOURS, live_figure, map_figure
from nmfdiag.views.training_runs.tables import (
    MONITORED_MEASURES,
    Reading,
    epoch_table,
    file_stem,
    has_seeds,
    label_noise_of,
    layer_options,
    layers_of,
    lines_of,
    log_names,
    map_table,
    measured_values,
    reading,
    reading_table,
    run_settings,
    runs_by_label,
    spread_over_runs,
)

RELATIVE = MONITORED_MEASURES["relative"]
HOSTILE = "<b>*x*</b> [y](z) %{x} $q$ `c`"


def read(folder: Path) -> dict[str, MonitoredRun]:
    return runs_by_label(monitored_runs(folder)[0])


def readings_of(runs: dict[str, MonitoredRun], layers: str = ALL) -> list[Reading]:
    return [reading(label, run, RELATIVE, layers, time.time()) for label, run in runs.items()]


def draw(runs: dict[str, MonitoredRun], *, window: int = 1, mean: bool = False, growing: bool = False) -> go.Figure:
    return live_figure(
        lines_of(runs, mean=mean), RELATIVE, readings_of(runs), layers=ALL, window=window, growing=growing
    )


def traces(figure: go.Figure, name: str) -> list[go.Scatter]:
    return [t for t in figure.data if t.name == name and t.x[0] is not None]


def test_a_label_never_passes_to_another_run(tmp_path: Path) -> None:
    for age, name in ((5, "a/seed0"), (9, "b/seed0"), (7, "other/place")):
        path = write_run(tmp_path / Path(name).parent, Path(name).name, age=age)
    path.write_text(path.read_text().replace('"place"', '"seed0"'))
    before = {label: run.path for label, run in read(tmp_path).items()}
    assert set(before) == {"a/seed0", "b/seed0", "seed0"}
    for age, path in ((1, before["b/seed0"]), (0.5, before["seed0"])):
        os.utime(path, (time.time() - age,) * 2)
        assert {label: run.path for label, run in read(tmp_path).items()} == before


def test_a_layer_may_be_called_all_layers(tmp_path: Path) -> None:
    path = write_run(tmp_path, layers="ab")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines[1:]:
        line["curves"]["nmf"]["all layers"] = line["curves"]["nmf"].pop("b") | {"relative": 0.0}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = read(tmp_path)["mine"].run
    own = next(option for option, layer in layer_options(run.layers).items() if layer == "all layers" and option != ALL)
    assert set(measured_values(run, "nmf", "relative", own).values()) == {0.0}
    assert measured_values(run, "nmf", "relative", ALL)[4] == pytest.approx(0.45)
    assert set(map_table("mine", run, RELATIVE).query("layer == 'all layers'")[RELATIVE.title]) == {0.0}


def test_labels_are_unique_and_a_replaced_run_has_its_date(tmp_path: Path) -> None:
    write_run(tmp_path, "mine", age=2)
    write_run(tmp_path, "mine", age=9, file="run-20260101-120000.jsonl")
    copy = write_run(tmp_path, "copy")
    copy.write_text(copy.read_text().replace('"copy"', '"mine"'))
    write_run(tmp_path, "  a\n b  ", age=99)
    assert list(read(tmp_path)) == ["mine", "mine in mine", "mine (2026-01-01 12:00)", "a b"]


def test_the_rule_is_the_monitors_and_a_later_rise_withdraws_it(tmp_path: Path) -> None:
    for name, peak, epochs in (("rising", 9, 8), ("waiting", 4, 8), ("stopped", 4, 9)):
        write_run(tmp_path, name, peak=peak, epochs=epochs)
    by_name = {run.label: run for run in readings_of(read(tmp_path))}
    assert [by_name[n].since for n in ("rising", "waiting", "stopped")] == [0, 4, 5]
    assert [by_name[n].stop for n in ("rising", "waiting", "stopped")] == [None, None, 4]
    again = Reading(label="x", epoch=11, state="finished", values=by_name["stopped"].values | {10: 0.91}, patience=5)
    assert again.stop is None and again.best == 10


def test_skipped_epochs_do_not_count_against_patience(tmp_path: Path) -> None:
    path = write_run(tmp_path, epochs=0)
    lines = [epoch_line(e, 1) if e % 4 == 1 else {"epoch": e, "curves": {}} for e in range(1, 21)]
    path.write_text(path.read_text() + "".join(json.dumps(line) + "\n" for line in lines))
    [run] = readings_of(read(tmp_path))
    assert list(run.values) == [1, 5, 9, 13, 17] and run.since == 4 and run.stop is None and run.epoch == 20
    assert traces(draw(read(tmp_path)), "NMF")[0].x == (1, 5, 9, 13, 17)


def test_values_that_are_not_numbers_and_missing_layers_are_left_out(tmp_path: Path) -> None:
    path = write_run(tmp_path, epochs=3)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["test_loss"] = float("nan")
    del lines[2]["curves"]["nmf"]["b"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = read(tmp_path)["mine"].run
    assert list(measured_values(run, "nmf", "relative", ALL)) == [1, 3] and list(
        measured_values(run, "nmf", "relative", "a")
    ) == [1, 2, 3]
    assert measured_values(run, "nmf", "relative", "c") == {} and log_names([run], "loss") == [
        "test_loss",
        "train_loss",
    ]
    assert "nan" not in to_html(draw(read(tmp_path))).split("Plotly.newPlot")[-1].lower()


def test_seeds_are_averaged_at_the_epochs_that_all_have(tmp_path: Path) -> None:
    for seed, peak, epochs in ((0, 4, 12), (1, 6, 9)):
        write_run(tmp_path, f"net-s{seed}", p=0.4, seed=seed, peak=peak, epochs=epochs)
    write_run(tmp_path, "other")
    runs = read(tmp_path)
    assert has_seeds(list(runs)) and not has_seeds(["net-s0", "other"])
    [net, single] = sorted(lines_of(runs, mean=True), key=lambda line: line.label)
    assert net.label == "net, mean of 2 seeds" and net.p == 0.4 and single.p is None and single.label == "other"
    spreads = spread_over_runs(net, lambda run: measured_values(run, "nmf", "relative", ALL))
    assert list(spreads) == list(range(1, 10)) and spreads[5].mean == pytest.approx(0.88)
    assert spreads[5].sem == pytest.approx(0)
    figure = draw(runs, mean=True)
    bands = [t for t in figure.data if t.fill == "toself"]
    assert len(bands) == 5 and all(t.fillcolor == colour_of(0.4, 0.15) for t in bands)
    assert not [t for t in traces(figure, "stop") if len(t.x) > 1] and len(traces(figure, "stop")) == 1


def test_the_sentences(tmp_path: Path) -> None:
    cases = {"rising": (20, 8), "waiting": (4, 7), "stopped": (4, 12), "first": (1, 12), "none": (4, 0), "one": (1, 1)}
    for name, (peak, epochs) in cases.items():
        write_run(tmp_path, name, peak=peak, epochs=epochs, end_line={"result": {"epochs": epochs}})
    runs = read(tmp_path)
    texts = {
        run.label: sentences.answer(run, {4: 0.76, 12: 0.68} if run.label == "stopped" else {}, "relative", ALL)
        for run in readings_of(runs)
    }
    start = "epoch {} (finished): the relative AuC, mean over all layers, "
    assert texts["rising"] == f"rising, {start.format(8)}is still rising (highest so far, 0.660)."
    assert texts["waiting"].endswith(
        "has not risen since epoch 4 (0.900, now 0.840); 3 looks of the 5 that it takes to stop."
    )
    assert texts["stopped"] == (
        f"stopped, {start.format(12)}has not risen since epoch 4 (0.900, now 0.740); training should have stopped there. "
        "Test accuracy 0.760 there, 0.680 now."
    )
    assert "since epoch 1, its first look (" in texts["first"] and "no epoch has ended yet" in texts["none"]
    assert "first look, 0.900" in texts["one"]
    level = Reading(
        label="x", epoch=9, state="quiet", values={e: 0.9 - (e > 1) * 0.001 for e in range(1, 9)}, patience=5
    )
    sentence = sentences.answer(level, {}, "k = 1 accuracy", "conv1_2")
    assert "(stopped: no line for more than 10 minutes)" in sentence and "level rather than falling" in sentence
    assert r"the k = 1 accuracy of conv1_2 has not risen" in sentence
    assert "has not been measured" in sentences.answer(
        Reading(label="x", epoch=3, state="failed", values={}, patience=5), {}, "absolute", ALL
    )
    assert "for 5 looks" in sentences.rule_text([level], "absolute", ALL)
    assert len(sentences.answers(readings_of(runs), runs, "relative", ALL)) == 5
    assert sentences.answers(readings_of(runs), runs, "relative", ALL)[4].startswith("2 more: ")


def test_panels_share_the_epochs_and_exist_only_for_logged_values(tmp_path: Path) -> None:
    write_run(tmp_path, "all", p=0.4)
    figure = draw(read(tmp_path))
    assert [a.title.text for a in figure.select_yaxes()] == ["loss", "accuracy", "AuC / batch accuracy"]
    [nmf], [random], [test], [training] = (
        traces(figure, name) for name in ("NMF", "random ablation", "test loss", "train loss")
    )
    assert nmf.line.dash == METHODS["nmf"].dash and random.line.dash == METHODS["random"].dash == "dot"
    assert (test.line.dash, training.line.dash) == ("solid", "dash") and nmf.line.color == colour_of(0.4)
    [stop] = traces(figure, "stop")
    assert stop.x == (4,) and len(figure.layout.shapes) == 3  # a line through each panel
    assert any(a.text == "stop: epoch 4" for a in figure.layout.annotations)
    assert figure.layout.xaxis.range == (0.5, 12.5) and draw(read(tmp_path), growing=True).layout.xaxis.range == (
        0.5,
        20.5,
    )
    smooth = draw(read(tmp_path), window=3)
    assert len([t for t in smooth.data if (t.name or "").endswith("raw") and t.opacity < 0.5]) == 6 and traces(
        smooth, "stop"
    )[0].x == (4,)


def test_without_logs_the_measure_is_alone_in_a_colour_of_no_p(tmp_path: Path) -> None:
    write_run(tmp_path, logs=False, peak=20)
    figure = draw(read(tmp_path))
    assert [a.title.text for a in figure.select_yaxes()] == ["AuC / batch accuracy"] and not figure.layout.shapes
    [nmf] = traces(figure, "NMF")
    assert nmf.line.color == "rgba({},{},{},1)".format(*OWN_COLOURS[0])
    assert any(t.name == "mine (p unknown)" for t in figure.data)


def test_a_p_in_the_log_gives_the_colour(tmp_path: Path) -> None:
    path = write_run(tmp_path, epochs=1)
    path.write_text(path.read_text().replace('"epoch": 1', '"epoch": 1, "p": 0.6'))
    assert label_noise_of(read(tmp_path)["mine"].run) == 0.6


def test_overlaid_runs_differ_in_marker_and_name(tmp_path: Path) -> None:
    for i in range(3):
        write_run(tmp_path, f"net{i}", p=0.4, age=10 * (i + 1))
    figure = draw(read(tmp_path))
    assert [t.marker.symbol for t in traces(figure, "NMF")] == list(P_MARKERS[:3])
    assert [t.name for t in figure.data if t.showlegend is None][:3] == [f"net{i} (p = 0.4)" for i in range(3)]


def test_the_map_marks_each_layers_highest_epoch(tmp_path: Path) -> None:
    write_run(tmp_path, peak=4, layers="abc")
    figure = map_figure("mine", read(tmp_path)["mine"].run, RELATIVE)
    heat, points, peaks = figure.data
    assert list(heat.y) == ["a", "b", "c"] and heat.z[0][3] == 0.9 and peaks.x == (4, 4, 4)
    assert points.customdata[0][0] == "a" and len(points.x) == 36


def test_names_from_files_are_text_everywhere(tmp_path: Path) -> None:
    write_run(tmp_path, HOSTILE, epochs=12)
    runs = read(tmp_path)
    [line] = sentences.answers(readings_of(runs), runs, "relative", ALL)
    assert r"\<b\>\*x\*\</b\> \[y\](z) %{x} \$q\$ \`c\`" in line
    figure = draw(runs)
    texts = [
        figure.layout.title.text,
        *(t.name or "" for t in figure.data),
        *(t.hovertemplate or "" for t in figure.data),
    ]
    assert not any("<b>" in text or "%{x} $q$" in text for text in texts) and "&lt;b&gt;" in texts[0]
    assert file_stem(list(runs), "k = 1 accuracy", ALL) == "b-x-b-y-z-x-q-c-_k-1-accuracy_all-layers"
    assert "`" not in sentences.empty_text(Path("a`b")).replace("`$NMFDIAG_RUNS`", "").split("`")[1]


def test_tables_and_settings(tmp_path: Path) -> None:
    write_run(tmp_path, "a-run", p=0.2, age=1)
    write_run(tmp_path, "b", logs=False, epochs=0, age=5)
    runs = read(tmp_path)
    table = reading_table(readings_of(runs), runs)
    assert list(table.run) == ["a-run", "b"] and table["highest at epoch"][0] == 4
    assert table.stop.tolist() == ["yes", "no"]
    assert table["test accuracy there"][0] == pytest.approx(0.76) and table.state.tolist() == ["under way", "under way"]
    epochs = epoch_table(runs, RELATIVE, ALL)
    assert len(epochs) == 12 and epochs["NMF AuC / batch accuracy"].max() == pytest.approx(0.9)
    assert {"train_loss", "test_loss", "test_accuracy"} <= set(epochs)
    assert len(map_table("a-run", runs["a-run"].run, RELATIVE)) == 24
    rows = run_settings(runs)
    assert rows["b: recipe"].startswith("unknown") and "label_noise 0.2" in rows["a-run: recipe"]
    assert rows["b: result"] == "none yet" and "patience 5" in rows["b: probe"]
    assert layers_of([run.run for run in runs.values()]) == ["a", "b"] and HEAD["experiment"] == "monitor"


def test_runs_under_way_are_named() -> None:
    assert sentences.following_text([], "") == ""
    assert sentences.following_text(["a_b"], "a_b") == r"Under way: a_b. This page follows by itself."
    assert sentences.following_text(["a"], "b").startswith("Under way: b (starting), a.")
