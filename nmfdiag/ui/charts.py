"""What is on the screen whatever a page is about: its heading, plots with their exports, and the tabs below."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from nmfdiag.diagnosis.diagnose import Diagnosis, diagnosis_of
from nmfdiag.plots.theme import to_html
from nmfdiag.text import for_markdown
from nmfdiag.ui.rerun import draw_again
from nmfdiag.ui.widgets import formats
from nmfdiag.views.curve_tables import data_table
from nmfdiag.views.provenance import settings
from nmfdiag.views.selection import ALONE, Choice
from nmfdiag.zoo.registry import ZooEntry, entries


def banner(
    title: str,
    subject: str,
    link: Sequence[tuple[str, str]],
    about: Any = None,
    beside: Callable[[], None] | None = None,
) -> None:
    """The question, what it is asked about, the link to this screen, and what the link that led here got wrong.

    Those notes stay as long as the page is ``about`` the same; its subject if nothing is given. ``beside`` draws more next to
    the link.
    """
    row = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom")
    row.title(for_markdown(title), width="content")
    right = row.container(horizontal=True, horizontal_alignment="right", width="content")
    if beside is not None:
        with right:
            beside()
    with right.popover("Link", icon=":material/link:"):
        st.caption("Opens this page with these choices.")
        st.code(f"{st.context.url or ''}?{urlencode(link)}", language=None, wrap_lines=True)
    st.caption(for_markdown(subject))
    now = subject if about is None else about
    if notes := st.session_state.pop("_new_notes", None):
        st.session_state["_notes"] = (now, notes)
    then, notes = st.session_state.get("_notes", (None, []))
    for words in notes if then == now else []:
        st.info(for_markdown(words), icon=":material/info:")


def chart(
    figure: go.Figure,
    choice: Choice,
    results: Mapping[Any, Any] | pd.DataFrame,
    what: str,
    alt: str,
    opens: str = "pages/curves.py",
    beside: Callable[[], None] | None = None,
) -> None:
    """A figure of zoo networks with its exports. A click on a layer opens its curve.

    ``results`` is what the figure was drawn from, or its table; ``opens`` is the page that shows the clicked layer; ``beside``
    draws more next to the exports.
    """

    def data() -> pd.DataFrame:
        return results if isinstance(results, pd.DataFrame) else data_table(results, entries())

    clicked = plot(figure, f"{choice.file_stem}_{what}", data, f"{choice.place}{what}", alt, beside)
    if clicked and clicked[0] in choice.layers:
        wanted = dict(zip(("layer", "batch"), clicked, strict=False))
        if "batch" in wanted:
            wanted["batch"] = replace(choice, batch=wanted["batch"]).batch_option
        if choice.place:  # the network beside becomes the one that the page is about
            recipe = choice.networks[0].recipe
            wanted |= {"data": recipe.dataset, "arch": recipe.arch, "seed": recipe.seed, "p": [recipe.label_noise]}
            wanted |= {"beside": ALONE}
        for key, value in wanted.items():
            st.session_state[f"_clicked_{key}"] = value
        if (st.context.url or "").endswith(f"/{Path(opens).stem}"):
            draw_again()  # switching to the page that is open would empty its URL
        # Without query_params={} Streamlit 1.67 refuses to switch while a bound key is in the URL; the values travel anyway.
        st.switch_page(opens, query_params={})


def plot(
    figure: go.Figure,
    name: str,
    data: Callable[[], pd.DataFrame],
    what: str,
    alt: str,
    beside: Callable[[], None] | None = None,
) -> list[Any]:
    """A figure with its exports: image, HTML, and the data as CSV; returns the custom data of the point that was clicked.

    ``name`` is that of the files, ``what`` tells the figures of a page apart, ``beside`` draws more next to the exports. A click
    is returned once.
    """
    image = st.session_state.get(f"_image_{what}") or "SVG"
    if (figure.layout.legend.y or 0) < 0:  # below the axes, however far their labels reach down at this width
        figure.update_layout(legend={"yref": "container", "y": 0, "yanchor": "bottom"})
    clicks = st.session_state.setdefault("_clicks", 0)
    event: Any = st.plotly_chart(
        figure, key=f"_{what}_{clicks}", on_select="rerun", selection_mode="points", alt=alt,
        config={
            "toImageButtonOptions": {"format": image.lower(), "filename": name, "scale": 2},
            "displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"],
        },
    )  # fmt: skip
    row = st.container(horizontal=True)
    with row.popover("Export", icon=":material/download:"):
        st.segmented_control(
            "The camera on the plot saves", ["SVG", "PNG"], default="SVG", key=f"_image_{what}", required=True
        )
        st.download_button(
            "Data (CSV)", lambda: data().to_csv(index=False).encode(), f"{name}.csv", "text/csv",
            on_click="ignore", key=f"_csv_{what}", icon=":material/table:", width="stretch",
        )  # fmt: skip
        st.download_button(
            "Interactive plot (HTML)", lambda: to_html(figure).encode(), f"{name}.html", "text/html",
            on_click="ignore", key=f"_html_{what}", icon=":material/code:", width="stretch",
        )  # fmt: skip
    if beside is not None:
        with row:
            beside()
    for point in event["selection"]["points"] if event else []:
        if isinstance(clicked := point.get("customdata"), list | tuple):
            # A chart of another key: its selection is empty when the reader is back.
            st.session_state["_clicks"] = clicks + 1
            return list(clicked)
    return []


def report_button(choice: Choice, results: Mapping[Any, Any], *, wanted: int = 0) -> None:
    """Offer the diagnosis of each network of the choice as one HTML file and as JSON; it is made when it is asked for.

    ``wanted`` is how many results there are going to be.
    """
    with st.popover("Report", icon=":material/description:"):
        so_far = f" So far from {len(results)} of {wanted} curves." if len(results) < wanted else ""
        st.caption(f"What the curves say about memorising, beside reference networks, and how sure that is.{so_far}")
        measured = {request.entry for request in results}
        for network in choice.networks:
            for form, kind, make in (
                ("HTML", "text/html", Diagnosis.html),
                ("JSON", "application/json", Diagnosis.json),
            ):
                st.download_button(
                    f"Report ({form}), p = {network.label_noise:g}", partial(_report, results, network, make),
                    f"{network.name}_report.{form.lower()}", kind, on_click="ignore", key=f"_{choice.place}report_{form}_{network.name}",
                    icon=":material/description:", width="stretch", disabled=network.name not in measured,
                )  # fmt: skip


def _report(results: Mapping[Any, Any], network: ZooEntry, make: Callable[[Diagnosis], str]) -> bytes:
    return make(diagnosis_of(results, network)).encode()


def details(how_to_read: str, table: pd.DataFrame, choice: Choice, results: Mapping[Any, Any]) -> None:
    """Below the plot: how to read it, its table, and what it was computed from."""
    tabs("" if choice.place else how_to_read, table, settings(choice, results))


def tabs(how_to_read: str, table: pd.DataFrame, rows: Mapping[str, str]) -> None:
    """The tabs that every page ends with; how to read it is said once where networks are drawn side by side."""
    *reading, numbers, provenance = st.tabs(
        [*(["How to read it"] if how_to_read else []), "Table", "Settings and provenance"]
    )
    for tab in reading:
        tab.markdown(how_to_read)
    numbers.dataframe(table, hide_index=True, column_config=formats(table))
    provenance.dataframe(pd.DataFrame(rows.items(), columns=["what", "value"]), hide_index=True)
