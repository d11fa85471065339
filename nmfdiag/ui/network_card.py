"""The Overview page's cards, one a network."""

from collections.abc import Mapping, Sequence

import streamlit as st

from nmfdiag.diagnosis.comparison_text import check_summary
from nmfdiag.diagnosis.diagnose import diagnosis_of
from nmfdiag.jobs.requests import CurveRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.text import for_markdown
from nmfdiag.views.selection import Choice
from nmfdiag.views.verdict_card import TESTED_HELP, unseen_text, verdict
from nmfdiag.zoo.registry import ZooEntry

WIDTH = 272
"""Of a card, in pixels."""

Results = Mapping[CurveRequest, CompressionCurve]


def draw_cards(choice: Choice, requests: Sequence[CurveRequest], results: Results) -> None:
    """Draw each network's verdict, and below them how reliable such verdicts are."""
    with st.container(horizontal=True):
        reliability = [
            _draw_card(network, [request for request in requests if request.entry == network.name], results)
            for network in choice.networks
        ]
    sentences = " ".join(filter(None, dict.fromkeys(reliability)))
    st.caption(for_markdown(sentences) or "Compared with the zoo's other networks.")


def _draw_card(network: ZooEntry, requests: Sequence[CurveRequest], results: Results) -> str:
    """Draw one card and return how reliable the verdict is; both need all curves of the network."""
    curves = {request: results[request] for request in requests if request in results}
    name, reliability = network.called or f"p = {network.label_noise:g}", ""
    if len(curves) == len(requests):
        diagnosis = diagnosis_of(curves, network)
        card = verdict(diagnosis)
        reliability = check_summary(diagnosis.comparison) if diagnosis.comparison else ""
        answer, doubt = f"**{card.icon} {for_markdown(card.answer)}**\n\n{for_markdown(card.where)}", card.sure
    else:
        answer = "**:material/hourglass_empty: Not known yet**\n\nThe answer comes with the last curve."
        doubt = f"{len(curves)} of {len(requests)} curves are there."
    with st.container(border=True, width=WIDTH, gap="small"):
        st.markdown(f"{for_markdown(name)}\n\n{answer}")
        st.caption(for_markdown(f"{doubt} {unseen_text(network)}"), help=TESTED_HELP)
    return reliability
