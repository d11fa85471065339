"""The answers on each network, and AuC by layer with its phases (figure 2c)."""

import streamlit as st

from nmfdiag.diagnosis.answers import MEMORISED, NOISY
from nmfdiag.jobs.requests import CurveRequest
from nmfdiag.measures.auc_sentences import comparison, least_linear
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.phases import phases
from nmfdiag.text import percent
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import details
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.network_card import draw_cards
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.ui.widgets import select_one
from nmfdiag.views.curve_figures import auc_figure
from nmfdiag.views.curve_groups import Curves, auc_spreads
from nmfdiag.views.curve_tables import network_table
from nmfdiag.views.glossary import TERMS
from nmfdiag.views.help_text import help_text
from nmfdiag.views.selection import Choice

NO_PHASES, PHASES = SHADES = "lines only", "phases shaded"

page_guard()
choice = sidebar()
heading("Is this network memorising?", choice)


def draw(choice: Choice) -> None:
    curve_requests, label_requests = choice.requests(), live_results.label_requests(choice)
    requests = [*label_requests, *curve_requests]  # the answers first
    results = live_results.finished_results(choice, requests)
    draw_cards(choice, curve_requests, results, live_results.failures(choice, label_requests))
    live_results.get_results(choice, requests, results)
    curves = {request: results[request] for request in curve_requests if request in results}
    if curves:
        draw_curves(choice, curve_requests, curves)
    else:
        live_results.draw_placeholder(choice)
    live_results.progress(choice, requests, results)
    if curves:
        details(
            help_text("network", noisy=percent(NOISY), memorised=percent(MEMORISED)),
            network_table(choice.networks),
            choice,
            curves,
        )
    st.caption(f"Device: {choice.device}. Cache: {live_results.cache_size()}.")


def draw_curves(choice: Choice, requests: list[CurveRequest], curves: Curves) -> None:
    """Draw AuC by layer."""
    by_method = auc_spreads(choice, curves)
    method = choice.method if choice.method in by_method else next(iter(by_method))
    by_noise = by_method[method]
    sentence = comparison(by_noise) if len(by_noise) > 1 else least_linear(next(iter(by_noise.values())))
    live_results.answer(f"{METHODS[method].title}: {sentence}", curves, requests)
    shade = "" if choice.place else select_one("plot", SHADES, "shade", segmented=True, help=TERMS["layer phases"])
    spreads = by_noise[max(by_noise)]
    shaded = None
    if shade == PHASES and len(spreads) == len(choice.layers):
        shaded = phases(list(spreads), [s.mean for s in spreads.values()], [s.sem for s in spreads.values()])
    figure = auc_figure(by_method, choice.layers, phases=shaded, batch=choice.batch_text, axis=choice.axis)
    charts.chart(figure, choice, curves, "auc-by-layer", "AuC by layer, one line for each p")


live_results.side_by_side(choice, draw)
