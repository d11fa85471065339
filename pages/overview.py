"""What are these networks, and where do they memorise?"""

from collections.abc import Mapping, Sequence

import streamlit as st

from nmfdiag.diagnosis.comparison_text import told_words
from nmfdiag.diagnosis.diagnose import diagnosis_of
from nmfdiag.jobs.requests import CurveRequest
from nmfdiag.measures.auc_sentences import comparison, reading
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.phases import phases
from nmfdiag.text import for_markdown
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import details
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.report_button import report_button
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.views import presets
from nmfdiag.views.curve_figures import auc_figure
from nmfdiag.views.curve_groups import auc_spreads
from nmfdiag.views.curve_tables import network_table
from nmfdiag.views.selection import Choice
from nmfdiag.views.verdict_card import TESTED_HELP, unseen_words, verdict
from nmfdiag.zoo.registry import ZooEntry

CARD = 272
"""Pixels."""

page_guard()
choice = sidebar()
heading("Is this network memorising?", choice, presets=presets.OVERVIEW)


def card(network: ZooEntry, requests: Sequence[CurveRequest], results: Mapping[CurveRequest, CompressionCurve]) -> str:
    """Is one network memorising, where, how sure; of a part of its curves that can't be said yet.

    Returns what such answers are worth, which is the same for all networks of a kind.
    """
    found = {request: results[request] for request in requests if request in results}
    worth = ""
    with st.container(border=True, width=CARD, gap="small"):
        name = network.called or f"p = {network.label_noise:g}"
        if len(found) == len(requests):
            diagnosis = diagnosis_of(found, network)
            said = verdict(diagnosis)
            worth = told_words(diagnosis.comparison) if diagnosis.comparison else ""
            st.markdown(
                f"{for_markdown(name)}\n\n**{said.icon} {for_markdown(said.answer)}**\n\n{for_markdown(said.where)}"
            )
            doubt = said.sure
        else:
            st.markdown(
                f"{for_markdown(name)}\n\n**:material/hourglass_empty: Not known yet**\n\nThe answer comes with the last curve."
            )
            doubt = f"{len(found)} of {len(requests)} curves are there."
        st.caption(for_markdown(f"{doubt} {unseen_words(network)}"), help=TESTED_HELP)
    return worth


def draw(choice: Choice) -> None:
    requests = choice.requests()
    results = live_results.finished_results(choice, requests)
    with st.container(horizontal=True):
        worth = {
            card(network, [request for request in requests if request.entry == network.name], results)
            for network in choice.networks
        }
    st.caption(for_markdown(" ".join(filter(None, worth))) or "Compared with the zoo's other networks.")
    live_results.get_results(choice, requests, results)
    by_method = auc_spreads(choice, results)
    method = choice.method if choice.method in by_method else next(iter(by_method))
    by_noise = by_method[method]
    if len(by_noise) > 1:
        words = comparison(by_noise)
    else:
        by_layer = next(iter(by_noise.values()))
        at = by_layer.values()
        words = reading(by_layer, phases(list(by_layer), [s.mean for s in at], [s.sem for s in at]))
    live_results.answer(f"{METHODS[method].title}: {words}", results, requests)
    figure = auc_figure(by_method, choice.layers, found=None, batch=choice.batch_words, axis=choice.axis)
    charts.chart(
        figure, choice, results, "auc-by-layer", "AuC by layer, one line for each p",
        extra_control=lambda: report_button(choice, results, len(requests)),
    )  # fmt: skip
    live_results.progress(choice, requests, results)
    how_to_read = """
**Figure 2c**, and above it what it comes to beside reference networks. Each point: compress this layer's activations to growing rank, run the rest of the network on what is left, and average the accuracy
over the ranks. **High**: few directions carry a class. **A dip that the line of p = 0 does not have**: the layer needs many directions
for one class, the mark of memorisation. The band is one standard error over classes. Click a point to open its curve.

It cannot tell *what* is memorised, and layers at which every line is at 1 say nothing: classes have collapsed there."""
    details(how_to_read, network_table(choice.networks), choice, results)
    st.caption(f"Device: {choice.device}. Cache: {live_results.cache_words()}.")


live_results.side_by_side(choice, draw)
