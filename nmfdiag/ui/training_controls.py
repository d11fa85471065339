"""Training a network from the page, and following the runs that are under way."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from nmfdiag.jobs.child_process import State
from nmfdiag.monitor.run_reader import MonitoredRun, run_files
from nmfdiag.monitor.trainer import TRAINABLE, Trainer, under_way
from nmfdiag.text import for_markdown
from nmfdiag.ui import live_results
from nmfdiag.ui.address import choose
from nmfdiag.ui.rerun import draw_repeatedly, rerun_page
from nmfdiag.ui.widgets import select_one
from nmfdiag.views.training_runs.sentences import following_text

POLL_SECONDS = 1.0
DEFAULT_RECIPE = "digits-mlp-p0.4-s0"
TRAIN_HELP = (
    "A small network on scikit-learn's digits, in a process of its own, for about a minute. Its weights are not kept."
)


@st.cache_resource
def trainer() -> Trainer:
    """Return the server's only trainer."""
    return Trainer()


def offer_training(folder: Path, training: State, problems: Sequence[str]) -> None:
    """Draw the button that trains a network, at most one at a time, and below it the problems of runs that can't be read."""
    with st.container(border=True):
        name = select_one("network", TRAINABLE, "recipe", default=TRAINABLE.index(DEFAULT_RECIPE), help=TRAIN_HELP)
        st.button(
            "Train one now",
            icon=":material/play_arrow:",
            on_click=_start,
            args=(name, folder),
            disabled=training.running,
        )
        if training.problem:
            st.error(f"{training.name} was not trained. {for_markdown(training.problem)}")
    for problem in problems:
        st.warning(for_markdown(problem))


def select_started_run(runs: Mapping[str, MonitoredRun]) -> None:
    """Select the run that the button has started, once its file is there."""
    name, start_time = st.session_state.get("_take_up", ("", 0.0))
    labels = [label for label, run in runs.items() if run.place == name and run.changed >= start_time]
    if name and labels:
        choose({"runs": labels[:1]})
        del st.session_state["_take_up"]


def follow(folder: Path, files: Mapping[Path, Any], training: State, runs: Mapping[str, MonitoredRun]) -> None:
    """Draw one line: what is under way and Cancel, or that this page no longer refreshes automatically."""
    growing = {label: run for label, run in runs.items() if under_way(run, time.time())}
    if line := following_text(list(growing), training.name if training.running else ""):
        draw_progress = partial(_draw_progress, line, folder, dict(files), training, list(growing.values()))
        draw_repeatedly(draw_progress, POLL_SECONDS)
    else:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("No run is under way, so this page does not look again by itself.", width="content")
            st.button("Look again", icon=":material/refresh:", type="tertiary")


def _start(name: str, folder: Path) -> None:
    st.session_state["_take_up"] = (name, time.time())
    live_results.draw_safely(lambda: trainer().start(name, folder))


def _draw_progress(line: str, folder: Path, files: dict, training: State, growing: list[MonitoredRun]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(line, width="content")
        if training.running:
            st.button("Cancel", icon=":material/stop:", type="tertiary", on_click=trainer().cancel)
    now = time.time()
    unchanged = run_files(folder) == files and trainer().state() == training
    if not unchanged or not all(under_way(run, now) for run in growing):
        rerun_page()
