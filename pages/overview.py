"""What this is, the answers on a few networks, and all networks in a table."""

import streamlit as st

from nmfdiag.diagnosis.answers import NOISY
from nmfdiag.jobs.requests import SuspectsRequest
from nmfdiag.jobs.shipped_results import shipped_results
from nmfdiag.measures.memorised import MEMORISED
from nmfdiag.text import percent
from nmfdiag.ui import live_results
from nmfdiag.ui.address import choose
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.network_card import draw_cards
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.views import overview
from nmfdiag.views.help_text import help_text
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import entries

page_guard()
choice = sidebar(without=("layer", "batch", "methods", "axis", "n", "grid", "solver", "beside"))
heading(overview.TITLE, choice, subject=choice.networks_text, compare=False)


def draw() -> None:
    st.markdown(overview.INTRODUCTION)
    label_requests, curve_requests = live_results.label_requests(choice), choice.requests()
    results = live_results.finished_results(choice, [*label_requests, *curve_requests])
    draw_cards(choice, curve_requests, results, live_results.failures(choice, label_requests), has_opinions=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Open these networks", icon=":material/hub:", type="primary"):
            st.switch_page("pages/network.py")
        if st.button("Add a network", icon=":material/upload_file:", help="Your own, trained in PyTorch."):
            st.switch_page("pages/your_network.py")
        if st.button("Watch one train", icon=":material/timeline:", help="About a minute, here."):
            st.switch_page("pages/training_runs.py")
    if label_requests and (missing := [r for r in label_requests if r not in results]):
        live_results.get_results(choice, label_requests, {r: results[r] for r in label_requests if r not in missing})
        live_results.progress(choice, label_requests, {r: results[r] for r in label_requests if r in results})
    draw_table()
    with st.expander("How to read it", icon=":material/help:"):
        st.markdown(help_text("overview", noisy=percent(NOISY), memorised=percent(MEMORISED)))


def draw_table() -> None:
    """Draw the table of all networks; a click opens one."""
    zoo = entries()
    curves = {name: list(shipped_results(entry).curves.values()) for name, entry in zoo.items()}
    requests = {  # only of networks that nothing is shipped of: the user's own
        name: Choice((zoo[name],), next(iter(zoo[name].layers)), methods=(zoo[name].method,)).requests()
        for name in zoo
        if not curves[name]
    }
    labels = [SuspectsRequest(name) for name in requests]
    results = live_results.finished_results(
        choice, [*labels, *(request for batch in requests.values() for request in batch)]
    )
    controls = live_results.controls_of(zoo.values(), results)
    curves |= {
        name: [results[request] for request in batch]
        for name, batch in requests.items()
        if all(request in results for request in batch)
    }
    table = overview.network_table(zoo.values(), controls, curves)
    st.markdown("#### All networks")
    event = st.dataframe(
        table.drop(columns=overview.NAME), hide_index=True, on_select="rerun", selection_mode="single-row", key=f"_all_{st.session_state.get('_opened', 0)}",
        column_config=overview.column_config(st.column_config),
    )  # fmt: skip
    if event["selection"]["rows"]:
        entry = zoo[table[overview.NAME].iloc[event["selection"]["rows"][0]]]
        st.session_state["_opened"] = st.session_state.get("_opened", 0) + 1  # the row is not selected when one is back
        recipe = entry.recipe
        choose({"data": recipe.dataset, "arch": recipe.arch, "seed": recipe.seed, "p": [recipe.label_noise]})
        st.switch_page("pages/network.py")


live_results.draw_safely(draw)
