"""Which labels are wrong: the most suspicious samples of one network, looked at and marked."""

from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st

from nmfdiag.diagnosis.suspects_text import class_sentence, truth_sentence
from nmfdiag.jobs.requests import SuspectsRequest
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.text import for_markdown
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sample_review import Review, draw_review, marks_of, select_sample
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.ui.trust_link import trust_link
from nmfdiag.ui.widgets import column_formats, select_one
from nmfdiag.views.help_text import help_text
from nmfdiag.views.option_names import options_of
from nmfdiag.views.suspects import tables
from nmfdiag.views.suspects.figures import components_figure, precision_recall_figure
from nmfdiag.zoo.pool_rows import true_labels

NOT_HERE = ("layer", "batch", "methods", "grid", "beside", "axis", "n", "solver")
"""Controls of the sidebar that change nothing here."""
LEVEL_HELP = "The network whose samples are listed."
LIST_HELP = "Look wrong: as many as the rate says. Repeated: the same input occurs more than once."
SORT_HELP = "The score, one of its components, or the probability of the suggested label."
N_TABLE = 1000
"""Rows of the table; the export has all."""

page_guard()
choice = sidebar(without=NOT_HERE)
head = st.container()
levels = {f"{n.label_noise:g}": n for n in choice.networks}
level = next(iter(levels))
if len(levels) > 1:
    level = select_one("network of p", list(levels), "level", default=len(levels) // 2, segmented=True, help=LEVEL_HELP)
entry = levels[level]


def draw_heading() -> None:
    subject = f"{replace(choice, networks=(entry,)).networks_text} · training samples"
    with head:
        heading("Which labels are wrong?", choice, subject=subject, compare=False)


def draw() -> None:
    requests = [SuspectsRequest(entry.name)]
    results = live_results.finished_results(choice, requests)
    if controls := live_results.controls_of([entry], results).get(entry.name):
        st.markdown(f"**{for_markdown(controls.noise_rate.statement)}**")
    try:
        results = live_results.get_results(choice, requests, results, at_once=False)
    except live_results.NothingYet:
        draw_heading()
        raise
    suspects = results[requests[0]]
    if text := class_sentence(suspects):
        st.markdown(for_markdown(text))
    for remark in suspects.remarks:
        st.caption(for_markdown(remark))
    trust_link()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        classes = options_of((tables.ALL_CLASSES,), [entry.class_names[c] for c in entry.classes])
        option = select_one("given class", list(classes), "given")
        sort = select_one("sorted by", tables.sort_options(suspects), "sort", help=SORT_HELP)
        list_name = select_one("list", list(tables.LISTS), "list", help=LIST_HELP)
        sample = select_sample(suspects)
    draw_heading()
    name, marks = classes[option], marks_of(requests[0].key)
    class_idx = None if name == tables.ALL_CLASSES else entry.class_names.index(name)
    rows = tables.listed_rows(suspects, sort=sort, list_name=list_name, class_idx=class_idx, marks=marks)
    truth = true_labels(entry)
    draw_review(Review(entry, suspects, rows, list_name, sort, class_idx, marks, truth), sample)
    live_results.progress(choice, requests, results)
    if truth is not None:
        draw_truth(suspects, truth)
    tabs(help_text("suspects"), tables.sample_table(suspects, rows[:N_TABLE], marks), tables.settings(suspects, entry))


def draw_truth(suspects: Suspects, truth: np.ndarray) -> None:
    """Draw how well the score and its components find the labels that are known to be wrong."""
    by_name = tables.qualities(suspects, truth)
    st.markdown(
        f"#### Against the true labels\n\n{for_markdown(truth_sentence(suspects, truth, by_name.get(tables.SCORE)))}"
    )
    if not by_name:
        return
    p, table = entry.label_noise, tables.quality_table(by_name)
    with st.container(key="suspects_truth"):
        left, right = st.columns(2, gap="medium")
    with left:
        figure, alt = (
            precision_recall_figure(suspects, truth, p),
            "Precision over recall of the score and its components",
        )
        charts.plot(
            figure,
            f"{entry.name}_precision-over-recall",
            partial(tables.curve_table, suspects, truth),
            "suspects-pr",
            alt,
        )
    with right:
        figure, alt = components_figure(by_name, p), "AUROC of the score and of its components"
        charts.plot(figure, f"{entry.name}_components", lambda: table, "suspects-components", alt)
    st.dataframe(table, hide_index=True, column_config=column_formats(table))


live_results.draw_safely(draw)
