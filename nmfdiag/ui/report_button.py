"""The Overview page's button that offers reports of its networks."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import streamlit as st

from nmfdiag.diagnosis.diagnose import Diagnosis, diagnosis_of
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import ZooEntry


def report_button(choice: Choice, results: Mapping[Any, Any], n_requests: int) -> None:
    """Offer the diagnosis of each network as one HTML file and as JSON, made from the results so far when it is clicked."""
    with st.popover("Report", icon=":material/description:"):
        so_far = f" So far from {len(results)} of {n_requests} curves." if len(results) < n_requests else ""
        st.caption(f"What the curves say about memorising, beside reference networks, and how sure that is.{so_far}")
        entries = {request.entry for request in results}
        for network in choice.networks:
            for form, media_type, render in (
                ("HTML", "text/html", Diagnosis.html),
                ("JSON", "application/json", Diagnosis.json),
            ):
                st.download_button(
                    f"Report ({form}), p = {network.label_noise:g}", partial(report_file, results, network, render),
                    f"{network.name}_report.{form.lower()}", media_type, on_click="ignore", key=f"_{choice.place}report_{form}_{network.name}",
                    icon=":material/description:", width="stretch", disabled=network.name not in entries,
                )  # fmt: skip


def report_file(results: Mapping[Any, Any], network: ZooEntry, render: Callable[[Diagnosis], str]) -> bytes:
    """Return the report of one network, as ``render`` writes it."""
    return render(diagnosis_of(results, network)).encode()
