"""Index of the paper's claims and of ours: the verdict of our networks, and for each claim its view and the runs behind it."""

import streamlit as st

from nmfdiag.evidence.claim import Claim
from nmfdiag.evidence.claims import findings
from nmfdiag.evidence.findings import Finding
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.address import start_run
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import banner
from nmfdiag.ui.widgets import column_formats, select_several, with_ticks
from nmfdiag.views import evidence as view

COLUMNS = (1.3, 8, 1.2)
"""Widths of a claim's verdict, of the claim, and of its source."""


def draw() -> None:
    start_run()
    claim_findings = findings()
    with st.sidebar:
        verdicts = select_several(
            "verdicts", list(view.VERDICTS), "verdict", list(view.VERDICTS), help="Which claims are listed."
        )
    banner("Which of the paper's claims hold here?", view.subject(claim_findings))
    first, *further = view.count_sentences(claim_findings)
    st.markdown(f"**{first}** {' '.join(further)}")
    table = view.claims_table(claim_findings)
    charts.plot(
        view.count_figure(claim_findings), "nmfdiag_claims", lambda: table, "claims", "Claims by their verdict, in two groups",
    )  # fmt: skip
    if failing := view.failing_text(claim_findings):
        st.caption(failing)
    for title, group in view.groups(claim_findings).items():
        listed = {claim: finding for claim, finding in group.items() if finding.verdict in verdicts}
        if listed:
            st.subheader(title, anchor=False)
            with st.container(key=f"claims_{title}"):
                for claim, finding in listed.items():
                    draw_claim(claim, finding)
    tabs(view.how_to_read(), table, view.settings())


def draw_claim(claim: Claim, finding: Finding) -> None:
    """Draw a claim's line: its verdict, what is behind it, and where it is from."""
    verdict, line, origin = st.columns(COLUMNS, vertical_alignment="top")
    verdict.markdown(view.badge(finding))
    origin.caption(view.source(claim))
    with line.expander(view.claim_line(claim, finding), key=f"claim_{claim.figure}_{claim.claim}"):
        left, right = st.columns(2)
        left.markdown(view.paper_text(claim))
        right.markdown(f"**Here**: {finding.measured}.")
        if claim.why:
            st.markdown(claim.why)
        if finding.units:
            table = view.units_table(finding)
            st.dataframe(with_ticks(table), hide_index=True, column_config=column_formats(table))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.page_link(
                f"pages/{claim.page}.py", label="Open the view", icon=":material/open_in_new:", query_params=claim.link
            )
            st.caption(f"A unit is {claim.unit}. Recorded by `{claim.command}`.")


page_guard()
live_results.draw_safely(draw)
