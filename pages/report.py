"""Reports of the sidebar's networks: the answer on each, its downloads, and what they hold."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from nmfdiag.jobs.requests import CurveRequest, SuspectsRequest
from nmfdiag.ui import live_results
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.network_card import draw_cards
from nmfdiag.ui.report_downloads import report_downloads
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.views.help_text import help_text
from nmfdiag.views.report import missing_text, shell_commands
from nmfdiag.zoo.registry import ZooEntry

page_guard()
choice = sidebar(without=("layer", "batch", "methods", "axis", "beside"))
heading("How do I share the answer?", choice, compare=False)


def draw() -> None:
    curve_requests = choice.requests()
    label_requests = [SuspectsRequest(network.name) for network in choice.networks]
    requests: list[CurveRequest | SuspectsRequest] = [*label_requests, *curve_requests]
    results = live_results.finished_results(choice, requests)
    controls = live_results.controls_of(choice.networks, results)
    n_curves = len(curve_requests) // len(choice.networks)

    def draw_downloads(network: ZooEntry, curves: Mapping[CurveRequest, Any]) -> None:
        suspects = results.get(SuspectsRequest(network.name), controls.get(network.name))
        report_downloads(network, curves, suspects, disabled=len(curves) < n_curves)

    failed = live_results.failures(choice, label_requests)
    draw_cards(choice, curve_requests, results, failed, has_opinions=False, extra_control=draw_downloads)
    if text := missing_text(choice.networks, [request for request in requests if request not in results]):
        st.markdown(text)
    live_results.get_results(choice, requests, results, at_once=False)
    live_results.progress(choice, requests, results)


live_results.draw_safely(draw)
st.markdown(help_text("report"))
st.code(shell_commands(choice), language="sh", wrap_lines=True)
