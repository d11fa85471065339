"""Which of the paper's claims hold on our networks; every claim opens its view and the runs behind it."""

import streamlit as st

from nmfdiag.evidence.claims import findings
from nmfdiag.ui import live_results
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import banner
from nmfdiag.ui.widgets import column_formats, select_several, start_run
from nmfdiag.views.evidence import (
    VERDICTS,
    claims_table,
    evidence_answer,
    heading_of,
    how_to_read,
    settings,
    subject,
    units_table,
)


def draw() -> None:
    start_run()
    found = findings()
    with st.sidebar:
        shown = select_several("verdicts", list(VERDICTS), "verdict", list(VERDICTS), help="Which claims are listed.")
    banner("Where is the paper right?", subject(found), [("verdict", verdict) for verdict in shown])
    st.markdown(f"**{evidence_answer(found)}**")
    for number, (claim, finding) in enumerate(found.items()):
        if finding.verdict not in shown:
            continue
        with st.expander(heading_of(claim, finding), key=f"claim_{number}"):
            paper, ours = st.columns(2)
            paper.markdown(f"**The paper** (figure {claim.figure[1:]}): {claim.paper}.")
            ours.markdown(f"**Here**: {finding.measured}.")
            if claim.why:
                st.markdown(claim.why)
            if finding.units:
                table = units_table(finding)
                st.dataframe(table, hide_index=True, column_config=column_formats(table))
            with st.container(horizontal=True, vertical_alignment="center"):
                st.page_link(
                    f"pages/{claim.page}.py",
                    label="Open the view",
                    icon=":material/open_in_new:",
                    query_params=claim.link,
                )
                st.caption(f"A unit is {claim.unit}. Recorded by `{claim.command}`.")
    table = claims_table(found)
    st.download_button(
        "All claims (CSV)", table.to_csv(index=False).encode(), "nmfdiag_claims.csv", "text/csv",
        on_click="ignore", icon=":material/table:",
    )  # fmt: skip
    tabs(how_to_read(), table, settings())


page_guard()
live_results.draw_safely(draw)
