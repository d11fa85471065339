"""Downloads of a network's report."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from nmfdiag.diagnosis.diagnose import diagnosis_of
from nmfdiag.diagnosis.suspects_section import zoo_section
from nmfdiag.jobs.open_process import copied_from
from nmfdiag.measures.suspects.controls import Controls
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.zoo.registry import ZooEntry

HTML, JSON = "HTML", "JSON"
BUTTONS = {
    HTML: ("Report (HTML)", "text/html", ":material/description:"),
    JSON: ("Numbers (JSON)", "application/json", ":material/data_object:"),
}
"""Label, media type and icon of each form."""


def report_downloads(
    network: ZooEntry, curves: Mapping[Any, Any], suspects: Suspects | Controls | None, *, disabled: bool = False
) -> None:
    """Draw a button for each form of a network's report, which is made when one is clicked; see :func:`report_file`."""
    with st.container(horizontal=True, vertical_alignment="center"):
        for form, (label, media_type, icon) in BUTTONS.items():
            st.download_button(
                label, partial(report_file, curves, network, suspects, form), f"{network.name}_report.{form.lower()}", media_type,
                on_click="ignore", icon=icon, type="primary" if form == HTML else "secondary", disabled=disabled, key=f"_report_{form}_{network.name}",
            )  # fmt: skip


def report_file(
    curves: Mapping[Any, Any], network: ZooEntry, suspects: Suspects | Controls | None, form: str = HTML
) -> bytes:
    """Return the report of one network.

    Args:
        curves: Its curves by request, among others'.
        network: The network.
        suspects: What it says about the labels of its samples, which are listed then, or its controls; None leaves the answers open.
        form: :data:`HTML` or :data:`JSON`.
    """
    diagnosis = diagnosis_of(curves, network, without=copied_from(network), suspects=suspects)
    if form == JSON:
        return diagnosis.json().encode()
    return diagnosis.html(zoo_section(network, suspects) if isinstance(suspects, Suspects) else None).encode()
