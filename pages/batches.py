"""Linearity on single-class and on multi-class batches, in every data set and architecture (figure 4)."""

from dataclasses import replace

import streamlit as st

from nmfdiag.jobs.requests import GRIDS
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import GRID_HELP, sidebar
from nmfdiag.ui.widgets import select_one, select_several
from nmfdiag.views.batches import batches_answer, batches_figure, batches_table, chance_text, subject
from nmfdiag.views.help_text import help_text
from nmfdiag.views.provenance import settings
from nmfdiag.views.selection import BOTH, families, fitted, methods_of
from nmfdiag.zoo.registry import entries

FIRST_SHOWN = 4
FAMILIES_HELP = "The sidebar's own, and those with the smallest inputs. All of them are the paper's figure: minutes, the first time."

page_guard()
sidebar_choice = sidebar(without=["layer", "batch", "methods", "grid", "beside"])
by_family = {choice.family: choice for choice in families(replace(sidebar_choice, batch=BOTH), entries())}
head = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    family_names = select_several(
        "shown", list(by_family), "families", list(by_family)[:FIRST_SHOWN], help=FAMILIES_HELP
    )
    method = select_one("compressed by", methods_of(sidebar_choice.networks[0]), "by", segmented=True)
    grid = select_one("rank grid", GRIDS, "ranks_on", default=GRIDS.index("coarse"), segmented=True, help=GRID_HELP)
choices = [fitted(replace(choice, grid=grid), method) for name, choice in by_family.items() if name in family_names]
all_networks = replace(choices[0], networks=tuple(network for choice in choices for network in choice.networks))
with head:
    heading("Are layers more linear on one class than on a mixture?", sidebar_choice, subject(choices), compare=False)


def draw() -> None:
    requests = [request for choice in choices for request in choice.requests()]
    results = live_results.get_results(all_networks, requests, at_once=False)
    live_results.answer(batches_answer(choices, results), results, requests)
    figure = batches_figure(choices, results, current=sidebar_choice.family)
    alt = "AuC by layer on single-class and on multi-class batches, one column a data set and architecture"
    charts.chart(
        figure,
        all_networks,
        results,
        "single-against-multi-class",
        alt,
        plotted=lambda: batches_table(choices, results),
    )
    live_results.progress(all_networks, requests, results)
    st.markdown(chance_text(choices, results))
    tabs(help_text("batches"), batches_table(choices, results), settings(all_networks, results))


live_results.draw_safely(draw)
