"""The answers on each network, and AuC by layer with its phases (figure 2c)."""

import streamlit as st

from nmfdiag.diagnosis.answers import NOISY
from nmfdiag.jobs.requests import CurveRequest
from nmfdiag.measures.auc_sentences import compared_auc, comparison, least_linear
from nmfdiag.measures.memorised import MEMORISED
from nmfdiag.measures.methods import METHODS
from nmfdiag.text import percent
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import details
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.network_card import draw_cards
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.ui.widgets import select_one
from nmfdiag.views.curve_figures import auc_figure
from nmfdiag.views.curve_groups import Curves, own_curves, spreads_by_side
from nmfdiag.views.curve_tables import auc_table, network_table
from nmfdiag.views.glossary import TERMS
from nmfdiag.views.help_text import help_text
from nmfdiag.views.pair import batches_text, figure_by_layer, line_names, one_table, pair_sentence
from nmfdiag.views.phases import phases_by_noise
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import entries

NO_PHASES, PHASES = SHADES = "lines only", "phases shaded"

page_guard()
choice = sidebar()
heading("Is this network memorising?", choice)


def draw(choice: Choice) -> None:
    curve_requests = [request for side in choice.sides for request in side.requests()]
    label_requests = live_results.label_requests(choice)
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
            one_table(choice, [network_table(side.networks) for side in choice.sides]),
            choice,
            curves,
        )
    st.caption(f"Device: {choice.device}. Cache: {live_results.cache_size()}.")


def draw_curves(choice: Choice, requests: list[CurveRequest], curves: Curves) -> None:
    """Draw AuC by layer."""
    by_side = spreads_by_side(choice, curves)
    by_noise = [spreads.by_noise for spreads in by_side]
    if len(by_noise) > 1:
        sentence = pair_sentence(choice, by_noise, compared_auc, is_complete=len(curves) == len(requests))
    else:
        sentence = comparison(by_noise[0]) if len(by_noise[0]) > 1 else least_linear(next(iter(by_noise[0].values())))
        sentence = f"{METHODS[by_side[0].method].title}: {sentence}"
    live_results.answer(sentence, curves, requests)
    shade = select_one("plot", SHADES, "shade", segmented=True, help=TERMS["layer phases"])
    phases = phases_by_noise(by_noise[0])
    most_noisy = max(phases, default=0.0)
    is_shaded = shade == PHASES and len(by_noise[0].get(most_noisy, ())) == len(choice.layers)
    figures = [
        auc_figure(
            spreads.by_method,
            side.layers,
            phases=(most_noisy, phases[most_noisy]) if is_shaded and side is choice else None,
            batch=batches_text(choice),
            axis=choice.axis,
            line_name=line_name,
        )
        for side, spreads, line_name in zip(choice.sides, by_side, line_names(choice), strict=True)
    ]
    tables = [auc_table(own_curves(side, curves), entries()) for side in choice.sides]
    charts.chart(
        figure_by_layer(choice, figures), choice, curves, "auc-by-layer", "AuC by layer, one line for each p",
        plotted=lambda: one_table(choice, tables),
    )  # fmt: skip


live_results.together(choice, draw)
