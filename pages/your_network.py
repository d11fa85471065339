"""Your own network: opened, checked against the one that you trained, and diagnosed."""

import streamlit as st

from nmfdiag.jobs import open_process
from nmfdiag.jobs.requests import GRIDS, SuspectsRequest
from nmfdiag.ui import live_results
from nmfdiag.ui.address import start_run
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import banner
from nmfdiag.ui.network_check import draw_check, draw_details, offer_removal
from nmfdiag.ui.network_diagnosis import draw_diagnosis
from nmfdiag.ui.network_opening import draw_opening, opener, select_network
from nmfdiag.ui.sidebar import GRID_HELP
from nmfdiag.ui.widgets import select_one
from nmfdiag.views import your_network as view
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import ZooEntry

TITLE = "Does my network memorise?"


def draw() -> None:
    start_run()
    state, networks = opener().state(), open_process.opened_networks()
    if entry := select_network(state, networks):
        draw_network(entry)
    else:
        banner(TITLE, view.SUBJECT)
        draw_opening(state, networks)


def draw_network(entry: ZooEntry) -> None:
    """Draw the check of a network, or its diagnosis once that was asked for."""
    with st.sidebar:
        n = select_one("samples a batch", [10, 20, 30, 50], "n", default=1)
        with st.expander("More", icon=":material/tune:"):
            grid = select_one("rank grid", GRIDS, "grid", help=GRID_HELP)
            device = select_one("device", ["auto", "cpu"], "device", help="auto: the GPU where there is one.")
        offer_removal(entry, device)
    per_class, first = min(n, entry.pool_per_class or n), next(iter(entry.layers))
    choice = Choice((entry,), first, methods=(entry.method,), per_class=per_class, grid=grid, device=device)
    check = open_process.check_of(entry)
    banner(TITLE, view.subject(entry, check.get("preflight", {})), topic=entry.name)
    requests, queue = choice.requests(), live_results.jobs(device)
    requested = st.session_state.get("_diagnose") == requests
    if (
        requested
        or queue.busy([SuspectsRequest(entry.name), *requests])
        or len(queue.results(requests)) == len(requests)
    ):
        draw_diagnosis(choice, requests, check)
    else:
        draw_check(entry, check, per_class)
        doubtful = view.is_doubtful(check.get("preflight", {}).get("accuracy", entry.pool_accuracy), check)
        st.button(
            "Diagnose anyway" if doubtful else "Diagnose", type="secondary" if doubtful else "primary", icon=":material/troubleshoot:",
            on_click=st.session_state.update, args=({"_diagnose": requests},),
        )  # fmt: skip
        st.caption(view.cost(len(requests), per_class))
    draw_details(entry, check)


page_guard()
live_results.draw_safely(draw)
