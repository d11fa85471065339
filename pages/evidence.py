"""The paper's claims and what our networks show; every claim opens its view and the runs behind it."""

import streamlit as st

from nmfdiag.evidence.claims import findings
from nmfdiag.ui import live_results
from nmfdiag.ui.address import start_run
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import banner
from nmfdiag.ui.widgets import column_formats, select_several
from nmfdiag.views.evidence import (
    VERDICTS,
    claims_table,
    evidence_answer,
    heading_of,
    how_to_read,
    paper_text,
    settings,
    subject,
    units_table,
)


def draw() -> None:
    start_run()
    claim_findings = findings()
    with st.sidebar:
        verdicts = select_several(
            "verdicts", list(VERDICTS), "verdict", list(VERDICTS), help="Which claims are listed."
        )
    banner("Where is the paper right?", subject(claim_findings), [("verdict", verdict) for verdict in verdicts])
    st.markdown(f"**{evidence_answer(claim_findings)}**")
    for number, (claim, finding) in enumerate(claim_findings.items()):
        if finding.verdict not in verdicts:
            continue
        with st.expander(heading_of(claim, finding), key=f"claim_{number}"):
            left, right = st.columns(2)
            left.markdown(paper_text(claim))
            right.markdown(f"**Here**: {finding.measured}.")
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
    table = claims_table(claim_findings)
    st.download_button(
        "All claims (CSV)", table.to_csv(index=False).encode(), "nmfdiag_claims.csv", "text/csv",
        on_click="ignore", icon=":material/table:",
    )  # fmt: skip
    tabs(how_to_read(), table, settings())


page_guard()
live_results.draw_safely(draw)
