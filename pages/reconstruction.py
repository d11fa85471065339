"""Reconstruction error of every layer at one rank (figure 10)."""

from functools import partial

import streamlit as st

from nmfdiag.measures.auc_sentences import compared_errors, largest_error
from nmfdiag.measures.methods import METHODS
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import details
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.ui.widgets import select_one
from nmfdiag.views.curve_figures import error_by_rank_figure, error_figure
from nmfdiag.views.curve_groups import Curves, curves_at_layer, main_curves, own_curves, spreads_by_side
from nmfdiag.views.curve_tables import accuracy_table, error_table
from nmfdiag.views.glossary import TERMS
from nmfdiag.views.help_text import help_text
from nmfdiag.views.pair import (
    batches_text,
    figure_by_layer,
    figure_by_rank,
    layers_text,
    layers_title,
    line_names,
    one_table,
    pair_sentence,
)
from nmfdiag.views.selection import Choice

page_guard()
choice = sidebar()
head = st.container()
left, right = st.columns(2)
with left:
    kind = select_one("error", ["relative", "raw"], "error", segmented=True)
with right:
    k = select_one("k: directions kept", [1, 2, 4, 8, 16, 32], "k", default=3, slider=True, help=TERMS["k"])
with head:
    heading("How well do k directions rebuild a layer?", choice)
relative = kind == "relative"


def draw(choice: Choice) -> None:
    requests = [request for side in choice.sides for request in side.requests()]
    results = live_results.get_results(choice, requests)
    by_side = spreads_by_side(choice, results, lambda curve, _axis: curve.error_near(k, relative=relative))
    by_noise = [spreads.by_noise for spreads in by_side]
    if len(by_noise) == 1:
        sentence = largest_error(METHODS[by_side[0].method].title, k, kind, by_noise[0])
    else:
        ranks = {tuple(sorted({c.full_rank for c in own_curves(side, results).values()})) for side in choice.sides}
        compare = partial(compared_errors, k, kind, len(ranks) == 1)
        sentence = pair_sentence(choice, by_noise, compare, is_complete=len(results) == len(requests))
    live_results.answer(sentence, results, requests)
    figures = [
        error_figure(errors, side.layers, relative=relative, k=k, batch=batches_text(choice), line_name=line_name)
        for side, errors, line_name in zip(choice.sides, by_noise, line_names(choice), strict=True)
    ]
    table = one_table(choice, [error_table(errors) for errors in by_noise])
    figure, alt = figure_by_layer(choice, figures), "Reconstruction error by layer"
    charts.chart(figure, choice, results, f"{kind}-error-by-layer", alt, plotted=lambda: table)
    live_results.progress(choice, requests, results)
    draw_by_rank(choice, results)
    details(help_text("reconstruction"), table, choice, results)


def draw_by_rank(choice: Choice, results: Curves) -> None:
    """Draw the error over the rank at the choice's layer."""
    curves = [main_curves(side, curves_at_layer(side, results)) for side in choice.sides]
    if not any(curves):
        return
    place = layers_text(choice)
    figures = [
        error_by_rank_figure(
            by_noise, layer=layers_title(choice), relative=relative, axis=choice.axis, line_name=line_name
        )
        for by_noise, line_name in zip(curves, line_names(choice), strict=True)
    ]
    charts.chart(
        figure_by_rank(choice, figures, curves), choice, results, f"{choice.layer}_{kind}-error-by-rank", f"Reconstruction error by rank at {place}",
        plotted=lambda: one_table(choice, [accuracy_table({(p, side.method): c for p, c in by_noise.items()}) for side, by_noise in zip(choice.sides, curves, strict=True)]),
    )  # fmt: skip


live_results.together(choice, draw)
