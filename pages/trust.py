"""How often the answers are right, on networks whose truth is known."""

import streamlit as st

from nmfdiag.diagnosis.reliability import QUANTITIES, calibration, weakness_text
from nmfdiag.evidence.jury_records import DEVELOPMENT, HALVES, JURY, jury_table
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.address import start_run
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import banner
from nmfdiag.ui.widgets import select_one
from nmfdiag.views.trust import sentences, tables
from nmfdiag.views.trust.figures import calibration_figure

TITLE = "How far can you trust this?"
HALF_HELP = "Judged: no threshold was chosen on these networks. Development: thresholds were chosen on them."
WIDTH = 460
"""Of a table of counts, in pixels."""


def draw() -> None:
    start_run()
    record = jury_table()
    if record.empty:
        banner(TITLE, "networks whose truth is known")
        st.info(sentences.NOTHING, icon=":material/info:")
        return
    with st.sidebar:
        halves = [half for half in HALVES if half in set(record["half"])]
        half = select_one("half of the jury", halves, "half", segmented=True, help=HALF_HELP)
        title = select_one("answer drawn", list(QUANTITIES), "drawn")
    table, quantity = record[record["half"] == half], QUANTITIES[title]
    banner(TITLE, sentences.subject(table, half))
    st.markdown(f"**{sentences.headline(table)}**")
    if half == DEVELOPMENT:
        st.warning(sentences.OPTIMISTIC, icon=":material/info:")
    st.dataframe(tables.answers_table(table), hide_index=True)
    st.caption(sentences.BRACKETS)
    st.markdown(" ".join(filter(None, [weakness_text(table), sentences.WHERE_UNJUDGED])))
    points = calibration(table, quantity)
    figure = calibration_figure(points, quantity, f"{half} half, {len(points)} networks")
    stem = f"trust_{half}_{title.replace(' ', '-')}"
    charts.plot(figure, stem, lambda: points, "calibration", f"{quantity.title} of each network over the truth")
    if missing := sentences.missing_text(table, quantity):
        st.caption(missing)
    with st.container(horizontal=True):
        for caption, counts in (
            ("What they are called, by p", tables.codes_by_level(table)),
            ("By kind of errors, p of 0.2 and more", tables.codes_by_kind(table)),
        ):
            with st.container(width=WIDTH):
                st.markdown(f"**{caption}**")
                st.dataframe(counts, hide_index=True)
    st.markdown("**How far estimates are off**")
    st.dataframe(tables.estimates_table(table), hide_index=True)
    st.markdown("**Where it is right: kinds of errors, data sets, architectures, training**")
    formats = {"by": st.column_config.TextColumn(width=110)}
    st.dataframe(tables.groups_table(table), hide_index=True, height="content", column_config=formats)
    st.download_button(
        "All networks (CSV)", lambda: record.to_csv(index=False).encode(), f"nmfdiag_{JURY}", "text/csv",
        on_click="ignore", icon=":material/table:",
    )  # fmt: skip
    tabs(sentences.how_to_read(), table, sentences.settings(record))


page_guard()
live_results.draw_safely(draw)
