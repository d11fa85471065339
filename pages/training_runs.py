"""Training runs that a monitor watches, while they run: whether one memorises, and when it should have stopped."""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from nmfdiag.jobs.child_process import State
from nmfdiag.monitor.run_reader import MonitoredRun, monitored_runs, run_files, runs_folder
from nmfdiag.monitor.trainer import TRAINABLE, Trainer, under_way
from nmfdiag.text import for_markdown
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import banner
from nmfdiag.ui.rerun import draw_repeatedly, rerun_page
from nmfdiag.ui.widgets import select_one, select_several, set_widgets, start_run
from nmfdiag.views.stopping.figures import SMOOTHINGS
from nmfdiag.views.training_runs.figures import MOST_RUNS, live_figure, map_figure
from nmfdiag.views.training_runs.sentences import (
    THREE_LINES,
    answers,
    empty_words,
    following_words,
    how_to_read,
    rule_words,
)
from nmfdiag.views.training_runs.tables import (
    MEASURES,
    WATCHED_BY,
    epoch_table,
    file_stem,
    has_seeds,
    labelled,
    layer_options,
    layers_of,
    lines_of,
    map_table,
    reading,
    reading_table,
    run_settings,
)

TITLE = "Is this run memorising yet?"
POLL_SECONDS = 1.0
EACH, MEAN = "each run", "mean and band"
FIRST = "digits-mlp-p0.4-s0"
MEASURE_HELP = "Relative: AuC divided by what the network gets right. The answer goes by the one that is drawn."
TRAIN_HELP = (
    "A small network on scikit-learn's digits, in a process of its own, for about a minute. Its weights are not kept."
)


@st.cache_resource
def trainer() -> Trainer:
    """The one of this server."""
    return Trainer()


def draw() -> None:
    start_run()
    folder = runs_folder()
    seen, training = run_files(folder), trainer().state()
    found, problems = monitored_runs(folder)
    runs = labelled(found)
    if not runs:
        banner(TITLE, f"no run in {folder}", [])
        follow(folder, seen, training, runs)
        st.info(empty_words(folder), icon=":material/info:")
        st.code(THREE_LINES.format(folder=folder), language="python", wrap_lines=True)
        train_now(folder, training)
        tell(problems)
        return
    take_up(runs)
    with st.sidebar:
        picked = select_several("runs", list(runs), "runs", list(runs)[:1], help="Newest first.", most=MOST_RUNS)
        chosen = {label: runs[label] for label in picked}
        first = WATCHED_BY.get(str(chosen[picked[0]].run.probe.get("measure")), "relative")
        measure = select_one("measure", list(MEASURES), "by", default=list(MEASURES).index(first), help=MEASURE_HELP)
        drawable = layer_options(layers_of([each.run for each in chosen.values()]))
        layers = select_one("layers", list(drawable), "layer_of", help="Their mean.")
        train_now(folder, training)
        tell(problems)
    head = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        show = select_one("show", [EACH, MEAN], "runs_as", segmented=True) if has_seeds(picked) else EACH
        smooth = select_one(
            "smoothing", list(SMOOTHINGS), "smooth", segmented=True, help="Of the thick lines, for the eye."
        )
    shown, now = MEASURES[measure], time.time()
    readings = [reading(label, each, shown, layers, now) for label, each in chosen.items()]
    with head:
        link = [*(("runs", label) for label in picked), ("by", measure), ("layer_of", layers), ("smooth", smooth)]
        samples = " or ".join(dict.fromkeys(str(each.run.probe.get("per_class", "?")) for each in chosen.values()))
        subject = f"{', '.join(picked)} · single-class batches of up to {samples} training samples"
        banner(TITLE, subject, [*link, ("runs_as", show)], topic=tuple(picked))
        st.markdown("\n\n".join(f"**{words}**" for words in answers(readings, chosen, measure, layers)))
        st.caption(rule_words(readings, measure, layers))
        follow(folder, seen, training, runs)
    stem = file_stem(picked, measure, layers)
    figure = live_figure(
        lines_of(chosen, mean=show == MEAN), shown, readings, layers=layers, window=SMOOTHINGS[smooth],
        growing=any(each.state == "under way" for each in readings),
    )  # fmt: skip
    charts.plot(figure, f"{stem}_over-epochs", lambda: epoch_table(chosen, shown, layers), "live", TITLE)
    mapped = select_one("map of", picked, "map_of") if len(picked) > 1 else picked[0]
    run = runs[mapped].run
    if run.layers:
        data, alt = (lambda: map_table(mapped, run, shown)), f"{shown.title} of every layer at every epoch"
        clicked = charts.plot(map_figure(mapped, run, shown), f"{stem}_by-layer-and-epoch", data, "live-map", alt)
        if clicked and clicked[0] in run.layers:
            st.session_state["_clicked_layer_of"] = next(o for o in reversed(drawable) if drawable[o] == clicked[0])
            rerun_page()
    tabs(how_to_read(), reading_table(readings, chosen), run_settings(chosen))


def tell(problems: list[str]) -> None:
    for words in problems:
        st.warning(for_markdown(words))


def train_now(folder: Path, training: State) -> None:
    """The choice of a network and the button that trains it; at most one is trained at a time."""
    with st.container(border=True):
        name = select_one("network", TRAINABLE, "recipe", default=TRAINABLE.index(FIRST), help=TRAIN_HELP)
        st.button(
            "Train one now",
            icon=":material/play_arrow:",
            on_click=start,
            args=(name, folder),
            disabled=training.running,
        )
        if training.problem:
            st.error(f"{training.name} was not trained. {for_markdown(training.problem)}")


def start(name: str, folder: Path) -> None:
    """Train a network and show its run as soon as there is one."""
    st.session_state["_take_up"] = (name, time.time())
    live_results.draw_safely(lambda: trainer().start(name, folder))


def take_up(runs: Mapping[str, MonitoredRun]) -> None:
    """Choose the run that the button has started, once it has begun."""
    name, since = st.session_state.get("_take_up", ("", 0.0))
    started = [label for label, each in runs.items() if each.place == name and each.changed >= since]
    if name and started:
        set_widgets({"runs": started[:1]})
        del st.session_state["_take_up"]


def follow(folder: Path, seen: Mapping[Path, Any], training: State, runs: Mapping[str, MonitoredRun]) -> None:
    """One line: what is under way, and Cancel; or that this page no longer looks by itself."""
    growing = {label: each for label, each in runs.items() if under_way(each, time.time())}
    if words := following_words(list(growing), training.name if training.running else ""):
        draw_repeatedly(partial(following, words, folder, dict(seen), training, list(growing.values())), POLL_SECONDS)
    else:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("No run is under way, so this page does not look again by itself.", width="content")
            st.button("Look again", icon=":material/refresh:", type="tertiary")


def following(words: str, folder: Path, seen: dict, training: State, growing: list[MonitoredRun]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(words, width="content")
        if training.running:
            st.button("Cancel", icon=":material/stop:", type="tertiary", on_click=trainer().cancel)
    now = time.time()
    same = run_files(folder) == seen and trainer().state() == training
    if not same or not all(under_way(each, now) for each in growing):
        rerun_page()


page_guard()
live_results.draw_safely(draw)
