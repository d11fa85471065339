"""Training runs with a monitor, while they run: whether one memorises, and when it should have stopped."""

import time
from functools import partial

import streamlit as st

from nmfdiag.monitor.run_reader import monitored_runs, run_files, runs_folder
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.address import choose, start_run
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import banner
from nmfdiag.ui.rerun import rerun_page
from nmfdiag.ui.training_controls import follow, offer_training, select_new_run, trainer
from nmfdiag.ui.widgets import select_one, select_several
from nmfdiag.views.epochs import SMOOTHINGS
from nmfdiag.views.stopping.advice import gains_table, recorded_gains
from nmfdiag.views.training_runs import sentences, tables
from nmfdiag.views.training_runs.figures import MOST_RUNS, live_figure, map_figure

TITLE = "Is this run memorising yet?"
EACH, MEAN = "each run", "mean and band"
MEASURE_HELP = "Relative: AuC divided by what the network gets right. The first line does not depend on it."
SMOOTH_HELP = "Of the thick lines, for the eye."


def draw() -> None:
    start_run()
    folder = runs_folder()
    files, training = run_files(folder), trainer().state()
    monitored, problems = monitored_runs(folder)
    runs = tables.runs_by_label(monitored)
    select_new_run(runs)
    if not runs:
        banner(TITLE, f"No runs in {folder}/ yet")
        offer_training(folder, training, problems, primary=True)
        follow(folder, files, training, runs, [])
        st.markdown(sentences.watched_text(folder))
        st.code(sentences.THREE_LINES.format(folder=folder), language="python", wrap_lines=True)
        return
    with st.sidebar:
        labels = select_several(
            "runs", list(runs), "runs", list(runs)[:1], help="Newest first.", max_selections=MOST_RUNS
        )
        selected = {label: runs[label] for label in labels}
        measures = list(tables.MONITORED_MEASURES)
        default = tables.WATCHED_BY.get(str(selected[labels[0]].run.probe.get("measure")), "relative")
        measure_name = select_one("measure", measures, "by", default=measures.index(default), help=MEASURE_HELP)
        layer_names = tables.layer_options(tables.layers_of([monitored.run for monitored in selected.values()]))
        layers = select_one("layers", list(layer_names), "layer_of", help="Their mean.")
        offer_training(folder, training, problems)
    head = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        show = select_one("show", [EACH, MEAN], "runs_as", segmented=True) if tables.has_seeds(labels) else EACH
        smoothing = select_one("smoothing", list(SMOOTHINGS), "smooth", segmented=True, help=SMOOTH_HELP)
    measure, now = tables.MONITORED_MEASURES[measure_name], time.time()
    readings = [tables.reading(label, monitored, measure, layers, now) for label, monitored in selected.items()]
    with head:
        samples = " or ".join(dict.fromkeys(str(m.run.probe.get("per_class", "?")) for m in selected.values()))
        subject = f"{', '.join(labels)} · single-class batches of up to {samples} training samples"
        banner(TITLE, subject, topic=tuple(labels))
        recorded = recorded_gains(measure.rule)
        for line, reading in zip(sentences.state_lines(readings, selected), readings, strict=True):
            st.markdown(f"**{line}**")
            st.caption(sentences.explanation(reading, selected[reading.label].run, measure_name, layers, recorded))
        follow(folder, files, training, runs, labels)
    stem = tables.file_stem(labels, measure_name, layers)
    figure = live_figure(
        tables.lines_of(selected, mean=show == MEAN), measure, readings, layers=layers, window=SMOOTHINGS[smoothing],
        growing=any(reading.state == "under way" for reading in readings),
    )  # fmt: skip
    charts.plot(figure, f"{stem}_over-epochs", lambda: tables.epoch_table(selected, measure, layers), "live", TITLE)
    advice = sentences.advice(readings, selected, measure_name, recorded)
    st.info("\n\n".join([*advice, gains_table(recorded)] if recorded else advice))
    label = select_one("map of", labels, "map_of") if len(labels) > 1 else labels[0]
    run = runs[label].run
    if run.layers:
        data, alt = partial(tables.map_table, label, run, measure), f"{measure.title} of every layer at every epoch"
        clicked = charts.plot(map_figure(label, run, measure), f"{stem}_by-layer-and-epoch", data, "live-map", alt)
        if clicked and clicked[0] in run.layers:
            option = next(option for option in reversed(layer_names) if layer_names[option] == clicked[0])
            choose({"layer_of": option})
            rerun_page()
    tabs(sentences.how_to_read(), sentences.state_table(readings, selected), tables.run_settings(selected))


page_guard()
live_results.draw_safely(draw)
