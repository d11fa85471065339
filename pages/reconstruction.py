"""Reconstruction error of every layer at one rank (figure 10)."""

import streamlit as st

from nmfdiag.measures.methods import METHODS
from nmfdiag.text import label_text
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import details
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.ui.widgets import select_one
from nmfdiag.views.curve_figures import error_by_rank_figure, error_figure
from nmfdiag.views.curve_groups import curves_at_layer, spreads_by_layer
from nmfdiag.views.curve_tables import accuracy_table, error_table
from nmfdiag.views.glossary import TERMS
from nmfdiag.views.help_text import help_text
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


def draw(choice: Choice) -> None:
    relative = kind == "relative"
    requests = choice.requests()
    results = live_results.get_results(choice, requests)
    method = choice.method if choice.method in {r.method for r in results} else next(iter(results)).method
    by_noise = spreads_by_layer(choice, results, lambda curve: curve.error_near(k, relative=relative), method)
    low, high = min(by_noise), max(by_noise)
    layer = max(by_noise[high], key=lambda name: by_noise[high][name].mean)
    sentence = f"{METHODS[method].title} with k = {k} misses most at {layer}: "
    sentence += f"{kind} error {by_noise[high][layer].mean:.2g} with {label_text(high)}"
    if low != high and layer in by_noise[low]:
        sentence += f", {by_noise[low][layer].mean:.2g} with {label_text(low)}"
    live_results.answer(f"{sentence}.", results, requests)
    figure = error_figure(by_noise, choice.layers, relative=relative, k=k, batch=choice.batch_text)
    alt = "Reconstruction error by layer"
    charts.chart(figure, choice, results, f"{kind}-error-by-layer", alt, plotted=lambda: error_table(by_noise))
    live_results.progress(choice, requests, results)
    curves = {p: batch_curves for (p, m), batch_curves in curves_at_layer(choice, results).items() if m == method}
    if curves:
        by_rank = error_by_rank_figure(curves, layer=choice.layer, relative=relative, axis=choice.axis)
        figure_key = f"{choice.layer}_{kind}-error-by-rank"
        charts.chart(
            by_rank, choice, results, figure_key, f"Reconstruction error by rank at {choice.layer}",
            plotted=lambda: accuracy_table({(p, method): batch_curves for p, batch_curves in curves.items()}),
        )  # fmt: skip
    details(help_text("reconstruction"), error_table(by_noise), choice, results)


live_results.side_by_side(choice, draw)
