"""Covers of the support of a layer's activations by rectangles (figure 1)."""

from dataclasses import replace

import streamlit as st

from nmfdiag.jobs.requests import support_requests
from nmfdiag.text import for_markdown
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.address import choose
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.ui.widgets import select_one
from nmfdiag.views.help_text import help_text
from nmfdiag.views.pair import line_names
from nmfdiag.views.selection import EACH_CLASS, Choice
from nmfdiag.views.support.figures import ORDERS, growth_figure, support_figure
from nmfdiag.views.support.sentences import (
    PARTS,
    answer_of,
    batch_name,
    channels_text,
    entry_table,
    halves_text,
    support_settings,
    support_table,
)

PAPER = {"order": "biclusters", "part": "all", "rows": 80}

page_guard()


def select_batch(choice: Choice) -> Choice:
    """Return the choice with one batch, that of the first class where none is named."""
    return replace(choice, batch=choice.names[0]) if choice.batch == EACH_CLASS else choice


choice = select_batch(sidebar(without=("methods", "grid")))
head = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    order = select_one("rows and columns ordered by", ORDERS, "order", segmented=True)
    part = select_one("rectangles by layer cover", list(PARTS), "part", segmented=True)
    rows = select_one("distinct rows at most", [40, 80, 120], "rows", default=1)
    st.button("As in the paper", on_click=choose, args=(PAPER,), help="Figure 1: the support with its rectangle cover.")
with head:
    heading(f"How linear is {choice.layer} on {batch_name(choice)}?", choice)


def draw(choice: Choice) -> None:
    choice = select_batch(choice)
    requests = support_requests(
        choice.networks, choice.layer, class_idx=choice.classes[0], per_class=choice.per_class, rows=rows
    )
    results = live_results.get_results(choice, requests, at_once=False)
    [line_name] = line_names(choice)
    by_noise = {
        n.label_noise: {
            layer: results[request]
            for layer in choice.layers
            for request in requests
            if request in results and (request.entry, request.layer) == (n.name, layer)
        }
        for n in choice.networks
    }
    covers = {p: by_layer[choice.layer] for p, by_layer in by_noise.items() if choice.layer in by_layer}
    if covers:
        live_results.answer(answer_of(covers, choice.layer, batch_name(choice)), results, requests)
        pair = {p: covers[p] for p in (min(covers), max(covers))}
        figure = support_figure(pair, layer=choice.layer, batch=choice.batch_text, order=order, line_name=line_name)
        figure_key, alt = f"{choice.layer}_support", f"Support of {choice.layer} with its largest rectangles"
        charts.chart(figure, choice, entry_table(pair, choice.layer), figure_key, alt)
        picture_note = (
            "The picture has the least and the most noisy network, the plot below all. " if len(by_noise) > 2 else ""
        )
        st.caption(for_markdown(f"{picture_note}{halves_text(pair, line_name)} {channels_text(pair, line_name)}"))
    growth = growth_figure(
        by_noise, choice.layers, part=part, batch=choice.batch_text, n_rows=rows, line_name=line_name
    )
    table = support_table(results, choice)
    charts.chart(growth, choice, table, "rectangles-by-layer", "Rectangles by layer", click_page="pages/support.py")
    live_results.progress(choice, requests, results)
    tabs("" if choice.place else help_text("support"), table, support_settings(choice, results))


live_results.side_by_side(choice, draw)
