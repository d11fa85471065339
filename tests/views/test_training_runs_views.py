"""The page *Training runs* on planted runs: values, sentences and figures."""

import json
import os
import time
from pathlib import Path

import plotly.graph_objects as go
import pytest
from planted_run_files import HEAD, epoch_line, write_run

from nmfdiag.measures.methods import METHODS
from nmfdiag.monitor.run_logs import label_noise_of, log_names
from nmfdiag.monitor.run_reader import MonitoredRun, monitored_runs
from nmfdiag.plots.modes import to_html
from nmfdiag.plots.theme import P_MARKERS, colour_of
from nmfdiag.views.epochs import ALL
from nmfdiag.views.stopping.advice import OPEN, REFUTED, SUPPORTED, recorded_gains
from nmfdiag.views.training_runs import sentences
from nmfdiag.views.training_runs.figures import OWN_COLOURS, live_figure, map_figure
from nmfdiag.views.training_runs.tables import (
    MONITORED_MEASURES,
    Reading,
    epoch_table,
    file_stem,
    has_seeds,
    layer_options,
    layers_of,
    lines_of,
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
    [line] = traces(draw(read(tmp_path)), "NMF")
    assert [(x, y is None) for x, y in zip(line.x, line.y, strict=True)][:5] == [
        (1, False), (2, True), (4, True), (5, False), (6, True),
    ]  # fmt: skip
    assert line.mode == "lines+markers" and not line.connectgaps
    heat = map_figure("mine", read(tmp_path)["mine"].run, RELATIVE).data[0]
    assert heat.x[:3] == (1, 2, 4) and heat.z[0][1] is heat.z[0][2] is None and heat.x[-1] == 20


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
    assert not [t for t in traces(figure, "peak") if len(t.x) > 1] and len(traces(figure, "peak")) == 1


def test_the_sentences_about_the_peak(tmp_path: Path) -> None:
    cases = {"rising": (20, 8), "waiting": (4, 7), "stopped": (4, 12), "none": (4, 0), "one": (1, 1)}
    for name, (peak, epochs) in cases.items():
        write_run(tmp_path, name, peak=peak, epochs=epochs, end_line={"result": {"epochs": epochs}})
    runs = read(tmp_path)
    by_name = {run.label: run for run in readings_of(runs)}

    def peak_text(name: str, code: str = SUPPORTED) -> str:
        return sentences.peak_text(by_name[name], runs[name].run, "relative AuC", code)

    assert peak_text("rising") == "Relative AuC is highest now (0.66)." and peak_text("one") == ""
    assert peak_text("waiting") == (
        "Best stop: epoch 4. Relative AuC peaked there (0.90, now 0.84). 3 of 5 checks without a rise. Test accuracy 0.76 there, 0.73 now."
    )
    assert peak_text("stopped") == (
        "Best stop: epoch 4. Relative AuC peaked there (0.90, now 0.74). Test accuracy 0.76 there, 0.68 now."
    )
    assert peak_text("stopped", OPEN).startswith("Best stop, if labels are noisy: epoch 4.")
    assert peak_text("stopped", REFUTED) == "Relative AuC peaked at epoch 4 (0.90, now 0.74)."
    assert (
        sentences.explanation(by_name["none"], runs["none"].run, "relative", ALL, []) == "none: no epoch has ended yet."
    )
    assert sentences.state_lines([by_name["one"]], runs) == ["Finished: can't tell whether it memorises"]
    assert [line.split(":")[0] for line in sentences.state_lines(readings_of(runs), runs)] == list(runs)


def test_a_peak_before_anything_is_learnt_is_no_stop(tmp_path: Path) -> None:
    path = write_run(tmp_path, peak=1, epochs=12)
    path.write_text(path.read_text().replace('"baseline": 0.5', '"baseline": 0.1'))
    [reading], runs = readings_of(read(tmp_path)), read(tmp_path)
    assert reading.stop == 1 and sentences.best_stop(reading, runs["mine"].run) is None
    assert "with only 10 % of the labels right: no epoch to stop at" in sentences.peak_text(
        reading, runs["mine"].run, "relative AuC", OPEN
    )


def test_it_advises_to_stop_only_where_the_noise_at_hand_supports_it(tmp_path: Path) -> None:
    for name, p in (("clean", 0.0), ("between", 0.2), ("noisy", 0.6), ("own", None)):
        write_run(tmp_path, name, p=p)
    runs, recorded = read(tmp_path), recorded_gains("relative")
    texts = {
        run.label: sentences.advice([run], runs, "relative", recorded)[0].split("**")[1] for run in readings_of(runs)
    }
    assert texts == {
        "clean": "Advice only: don't stop by it.",
        "between": "Advice only.",
        "noisy": "Stop, and keep the weights of epoch 4.",
        "own": "Advice only.",
    }
    assert len(sentences.advice(readings_of(runs), runs, "relative", recorded)) == 4


def test_panels_share_the_epochs_and_exist_only_for_logged_values(tmp_path: Path) -> None:
    write_run(tmp_path, "all", p=0.4)
    figure = draw(read(tmp_path))
    assert [a.title.text for a in figure.select_yaxes()] == ["loss", "accuracy", "AuC / batch accuracy"]
    [nmf], [random], [test], [training] = (
        traces(figure, name) for name in ("NMF", "random ablation", "test loss", "train loss")
    )
    assert nmf.line.dash == METHODS["nmf"].dash and random.line.dash == METHODS["random"].dash == "dot"
    assert (test.line.dash, training.line.dash) == ("solid", "dash") and nmf.line.color == colour_of(0.4)
    [stop] = traces(figure, "peak")
    assert stop.x == (4,) and len(figure.layout.shapes) == 3  # a line through each panel
    assert any(a.text == "highest: epoch 4" for a in figure.layout.annotations)
    assert figure.layout.xaxis.range == (0.5, 12.5) and draw(read(tmp_path), growing=True).layout.xaxis.range == (
        0.5,
        20.5,
    )
    smooth = draw(read(tmp_path), window=3)
    assert len([t for t in smooth.data if (t.name or "").endswith("raw") and t.opacity < 0.5]) == 6 and traces(
        smooth, "peak"
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
    line = sentences.explanation(*readings_of(runs), next(iter(runs.values())).run, "relative", ALL, [])
    assert r"\<b\>\*x\*\</b\> \[y\](z) %{x} \$q\$ \`c\`" in line
    figure = draw(runs)
    texts = [
        figure.layout.title.text,
        *(t.name or "" for t in figure.data),
        *(t.hovertemplate or "" for t in figure.data),
    ]
    assert not any("<b>" in text or "%{x} $q$" in text for text in texts) and "&lt;b&gt;" in texts[0]
    assert file_stem(list(runs), "k = 1 accuracy", ALL) == "b-x-b-y-z-x-q-c-_k-1-accuracy_all-layers"
    assert "`" not in sentences.watched_text(Path("a`b")).replace("`$NMFDIAG_RUNS`", "").split("`")[1]


def test_tables_and_settings(tmp_path: Path) -> None:
    write_run(tmp_path, "a-run", p=0.2, age=1)
    write_run(tmp_path, "b", logs=False, epochs=0, age=5)
    runs = read(tmp_path)
    table = reading_table(readings_of(runs), runs)
    assert list(table.run) == ["a-run", "b"] and table["highest at epoch"][0] == 4
    assert table.should_stop.tolist() == ["yes", "no"]
    assert sentences.state_table(readings_of(runs), runs).memorises.tolist() == [
        "Not yet",
        "Too few measurements: 0",
    ]
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
    assert sentences.following_text([], "") == "No active run. Checking every 5 s."
    assert sentences.following_text(["a_b"], "a_b") == "Under way: a_b."
    assert sentences.following_text(["a"], "b").startswith("Under way: b (starting), a.")
