"""Accuracy of a network without k directions of a layer (figure 7)."""

from dataclasses import replace

import streamlit as st

from nmfdiag.measures.ablation import ablation_auc
from nmfdiag.measures.methods import METHODS
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.address import choose
from nmfdiag.ui.details import details
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.ui.widgets import select_one, select_several
from nmfdiag.views.ablation import (
    ablation_answer,
    ablation_auc_figure,
    ablation_by_layer,
    ablation_figure,
    ablation_table,
    without_table,
)
from nmfdiag.views.curve_groups import auc_spreads, curves_by_class
from nmfdiag.views.help_text import help_text
from nmfdiag.views.pair import line_names
from nmfdiag.views.selection import EACH_CLASS, Choice, methods_of

LEAST_AND_MOST, ALL_LEVELS = "least and most noisy", "every p"
ENDS_OR_ALL = (LEAST_AND_MOST, ALL_LEVELS)
LINES_HELP = "Of the sidebar's p: the lowest and the highest, or all that are chosen there."
PAPER_HELP = "Figure 7: all three, on a batch of each class, over linear k."

page_guard()
sidebar_choice = sidebar(without=["methods"])
all_methods = methods_of(sidebar_choice.networks[0])
default = [method for method in all_methods if method == "random"] or list(all_methods[:1])
paper = {"removed": list(all_methods), "lines": ALL_LEVELS, "batch": str(EACH_CLASS), "axis": "linear"}
head = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    methods = select_several(
        "remove", all_methods, "removed", default, format_func=lambda method: METHODS[method].removed
    )
    lines = ALL_LEVELS
    if len(sidebar_choice.networks) > 2:
        lines = select_one("networks", list(ENDS_OR_ALL), "lines", segmented=True, help=LINES_HELP)
    st.button("As in the paper", on_click=choose, args=(paper,), help=PAPER_HELP)
choice = replace(sidebar_choice, methods=tuple(m for m in all_methods if m in methods))
if lines != ALL_LEVELS:
    choice = replace(choice, networks=(*choice.networks[:1], *choice.networks[1:][-1:]))
with head:
    heading("Does losing directions hurt a memorising network more?", sidebar_choice)


def draw(choice: Choice) -> None:
    requests = choice.ablations()
    results = live_results.get_results(choice, requests, at_once=False)
    curves = curves_by_class(choice, results, choice.layer)
    [line_name] = line_names(choice)
    live_results.answer(ablation_answer(choice.layer, curves, choice.axis), results, requests)
    if curves:
        figure = ablation_figure(
            curves, layer=choice.layer, axis=choice.axis, batch=choice.batch_text, line_name=line_name
        )
        figure_key = f"{choice.layer}_accuracy-without-directions"
        alt = f"Accuracy without k directions at {choice.layer}"
        charts.chart(figure, choice, results, figure_key, alt, plotted=lambda: without_table(curves))
    live_results.progress(choice, requests, results)
    if len(results) == len(requests):
        by_layer = {layer: curves_by_class(choice, results, layer) for layer in choice.layers}
        st.markdown(ablation_by_layer(by_layer, choice.axis))
    by_method = auc_spreads(choice, results, ablation_auc)
    figure = ablation_auc_figure(
        by_method, choice.layers, axis=choice.axis, batch=choice.batch_text, line_name=line_name
    )
    alt = "AuC with directions removed, by layer"
    charts.chart(
        figure, choice, results, "ablation-auc-by-layer", alt, click_page="pages/ablation.py",
        plotted=lambda: ablation_table(choice, results),
    )  # fmt: skip
    details(help_text("ablation"), ablation_table(choice, results), choice, results)


live_results.side_by_side(choice, draw)
