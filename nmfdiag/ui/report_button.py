"""The Overview page's button that offers reports of its networks."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from nmfdiag.diagnosis.diagnose import diagnosis_of
from nmfdiag.diagnosis.suspects_section import zoo_section
from nmfdiag.measures.suspects.controls import Controls
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import ZooEntry

HTML, JSON = "HTML", "JSON"
Scored = Mapping[str, Suspects | Controls]
"""What is known of the labels, by network."""
MEDIA_TYPES = {HTML: "text/html", JSON: "application/json"}


def report_button(choice: Choice, curves: Mapping[Any, Any], scored: Scored, n_requests: int) -> None:
    """Offer the diagnosis of each network as one HTML file and as JSON, made from the results so far when it is clicked.

    Args:
        choice: The sidebar's.
        curves: The curves so far.
        scored: The suspects so far, or their controls, by network.
        n_requests: How many curves there will be.
    """
    with st.popover("Report", icon=":material/description:"):
        st.caption(
            "The answers, what they rest on and can't see, the curves and the second opinion; once *Suspects* was opened, the labels that look wrong, too."
            + _so_far(len(curves), n_requests, [n.name for n in choice.networks if n.name not in scored])
        )
        entries = {request.entry for request in curves}
        for network in choice.networks:
            for form, media_type in MEDIA_TYPES.items():
                st.download_button(
                    f"Report ({form}), p = {network.label_noise:g}",
                    partial(report_file, curves, network, scored.get(network.name), form),
                    f"{network.name}_report.{form.lower()}", media_type, on_click="ignore", key=f"_{choice.place}report_{form}_{network.name}",
                    icon=":material/description:", width="stretch", disabled=network.name not in entries,
                )  # fmt: skip


def report_file(
    curves: Mapping[Any, Any],
    network: ZooEntry,
    suspects: Suspects | Controls | None,
    form: str = HTML,
    without: Sequence[str] = (),
) -> bytes:
    """Return the report of one network.

    Args:
        curves: Its curves by request, among others'.
        network: The network.
        suspects: What it says about the labels of its samples, which are listed then, or its controls; None leaves the answers open.
        form: :data:`HTML` or :data:`JSON`.
        without: Further reference networks to leave out of the comparison.
    """
    diagnosis = diagnosis_of(curves, network, without=without, suspects=suspects)
    if form == JSON:
        return diagnosis.json().encode()
    return diagnosis.html(zoo_section(network, suspects) if isinstance(suspects, Suspects) else None).encode()


def _so_far(n_curves: int, n_requests: int, not_scored: Sequence[str]) -> str:
    """Return what is still missing; empty for nothing."""
    missing = [f"So far from {n_curves} of {n_requests} curves."] if n_curves < n_requests else []
    missing += ["Labels are not scored yet: those answers are open."] if not_scored else []
    return " ".join(["", *missing])
