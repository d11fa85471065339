"""The verdict on each network, and AuC by layer (figure 2c)."""

import streamlit as st

from nmfdiag.measures.auc_sentences import comparison, reading
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.phases import phases
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import details
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.network_card import draw_cards
from nmfdiag.ui.report_button import report_button
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.views import presets
from nmfdiag.views.curve_figures import auc_figure
from nmfdiag.views.curve_groups import auc_spreads
from nmfdiag.views.curve_tables import network_table
from nmfdiag.views.help_text import help_text
from nmfdiag.views.selection import Choice

page_guard()
choice = sidebar()
heading("Is this network memorising?", choice, presets=presets.OVERVIEW)


def draw(choice: Choice) -> None:
    requests = choice.requests()
    results = live_results.finished_results(choice, requests)
    draw_cards(choice, requests, results)
    live_results.get_results(choice, requests, results)
    by_method = auc_spreads(choice, results)
    method = choice.method if choice.method in by_method else next(iter(by_method))
    by_noise = by_method[method]
    if len(by_noise) > 1:
        sentence = comparison(by_noise)
    else:
        by_layer = next(iter(by_noise.values()))
        spreads = by_layer.values()
        sentence = reading(by_layer, phases(list(by_layer), [s.mean for s in spreads], [s.sem for s in spreads]))
    live_results.answer(f"{METHODS[method].title}: {sentence}", results, requests)
    figure = auc_figure(by_method, choice.layers, phases=None, batch=choice.batch_text, axis=choice.axis)
    charts.chart(
        figure, choice, results, "auc-by-layer", "AuC by layer, one line for each p",
        extra_control=lambda: report_button(choice, results, len(requests)),
    )  # fmt: skip
    live_results.progress(choice, requests, results)
    details(help_text("overview"), network_table(choice.networks), choice, results)
    st.caption(f"Device: {choice.device}. Cache: {live_results.cache_size()}.")


live_results.side_by_side(choice, draw)
