"""Training a network from the page, and finding and following the runs that are under way."""

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
from nmfdiag.views.training_runs.sentences import following_text

POLL_SECONDS, POLL_SECONDS_UNDER_WAY = 5.0, 1.0
DEFAULT_RECIPE = "digits-mlp-p0.4-s0"
TRAIN_TEXT = "Trains a small network on scikit-learn's digits and shows live when it begins to memorise: about a minute, more on a busy machine. p is the share of its labels that are random."
TRAIN_HELP = "It runs in a separate process, and its weights are discarded."


@st.cache_resource
def trainer() -> Trainer:
    """Return the server's only trainer."""
    return Trainer()


def offer_training(folder: Path, training: State, problems: Sequence[str], *, primary: bool = False) -> None:
    """Draw the button that trains a network, at most one at a time, and below it the problems of runs that can't be read."""
    with st.container(border=True):
        if primary:
            st.markdown(TRAIN_TEXT)
        with st.container(horizontal=primary, vertical_alignment="bottom"):
            default = TRAINABLE.index(DEFAULT_RECIPE)
            name = st.selectbox(
                "network",
                TRAINABLE,
                default,
                key="_recipe",
                help=TRAIN_HELP if primary else f"{TRAIN_TEXT} {TRAIN_HELP}",
            )
            st.button(
                "Train one now",
                icon=":material/play_arrow:",
                type="primary" if primary else "secondary",
                on_click=_start,
                args=(name, folder),
                disabled=training.running,
            )
        if training.problem:
            st.error(f"{training.name} was not trained. {for_markdown(training.problem)}")
    for problem in problems:
        st.warning(for_markdown(problem))


def select_new_run(runs: Mapping[str, MonitoredRun]) -> None:
    """Select the run that the button has started, once its file is there, or one that began elsewhere while the newest run was shown."""
    state = st.session_state
    earlier, state["_runs_seen"] = state.get("_runs_seen"), list(runs)
    name, start_time = state.get("_take_up", ("", 0.0))
    labels = [label for label, run in runs.items() if run.place == name and run.changed >= start_time]
    if name and labels:
        choose({"runs": labels[:1]})
        del state["_take_up"]
        return
    last, new_labels = state["_kept"].get("runs"), [label for label in runs if label not in (earlier or runs)]
    if new_labels and last is not None and last.is_default:
        choose({"runs": new_labels[:1]})


def follow(
    folder: Path, files: Mapping[Path, Any], training: State, runs: Mapping[str, MonitoredRun], labels: Sequence[str]
) -> None:
    """Draw one line: what is under way, with Cancel and a way to the runs that are not shown; and look for new runs while the page is open."""
    growing = {label: run for label, run in runs.items() if under_way(run, time.time())}
    line = following_text(list(growing), training.name if training.running else "")
    hidden = [label for label in growing if label not in labels]
    draw_progress = partial(_draw_progress, line, folder, dict(files), training, list(growing.values()), hidden)
    draw_repeatedly(draw_progress, POLL_SECONDS_UNDER_WAY if growing or training.running else POLL_SECONDS)


def _start(name: str, folder: Path) -> None:
    st.session_state["_take_up"] = (name, time.time())
    live_results.draw_safely(lambda: trainer().start(name, folder))


def _draw_progress(
    line: str, folder: Path, files: dict, training: State, growing: list[MonitoredRun], hidden: list[str]
) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(line, width="content")
        for label in hidden[:3]:
            st.button(f"Show {for_markdown(label)}", type="tertiary", on_click=choose, args=({"runs": [label]},))
        if training.running:
            st.button("Cancel", icon=":material/stop:", type="tertiary", on_click=trainer().cancel)
    now = time.time()
    unchanged = run_files(folder) == files and trainer().state() == training
    if not unchanged or not all(under_way(run, now) for run in growing):
        rerun_page()
