"""Plots with their exports, and what a click on one opens."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from nmfdiag.plots.theme import to_html
from nmfdiag.ui.address import choose
from nmfdiag.ui.rerun import rerun_page
from nmfdiag.views.curve_tables import data_table
from nmfdiag.views.selection import ALONE, Choice
from nmfdiag.zoo.registry import entries


def chart(
    figure: go.Figure,
    choice: Choice,
    results: Mapping[Any, Any] | pd.DataFrame | Callable[[], pd.DataFrame],
    figure_key: str,
    alt: str,
    click_page: str = "pages/curves.py",
    extra_control: Callable[[], None] | None = None,
) -> None:
    """Draw a figure of zoo networks with its exports. A click on a layer opens its curve.

    Args:
        figure: Of the choice's networks.
        choice: The sidebar's.
        results: What the figure was drawn from, or its table, or what returns that.
        figure_key: Tells the figures of a page apart; part of the names of exported files.
        alt: Describes the figure to readers who don't see it.
        click_page: Shows the clicked layer.
        extra_control: Draws next to the exports.
    """

    def data() -> pd.DataFrame:
        if callable(results):
            return results()
        return results if isinstance(results, pd.DataFrame) else data_table(results, entries())

    clicked = plot(figure, f"{choice.file_stem}_{figure_key}", data, f"{choice.place}{figure_key}", alt, extra_control)
    if clicked and clicked[0] in choice.layers:
        widget_values = dict(zip(("layer", "batch"), clicked, strict=False))
        if "batch" in widget_values:
            widget_values["batch"] = replace(choice, batch=widget_values["batch"]).batch_option
        if choice.place:  # the network on the right becomes the page's own
            recipe = choice.networks[0].recipe
            widget_values |= {
                "data": recipe.dataset,
                "arch": recipe.arch,
                "seed": recipe.seed,
                "p": [recipe.label_noise],
            }
            widget_values |= {"beside": ALONE}
        choose(widget_values)
        if st.session_state["_page"] == Path(click_page).stem:
            rerun_page()
        st.switch_page(click_page)


def plot(
    figure: go.Figure,
    name: str,
    data: Callable[[], pd.DataFrame],
    figure_key: str,
    alt: str,
    extra_control: Callable[[], None] | None = None,
) -> list[Any]:
    """Draw a figure with its exports: image, HTML, and the data as CSV.

    Args:
        figure: To be drawn.
        name: Of the exported files, without extension.
        data: Returns the table to export.
        figure_key: Tells the figures of a page apart.
        alt: Describes the figure to readers who don't see it.
        extra_control: Draws next to the exports.

    Returns:
        The custom data of the clicked point, once for each click; empty without a click.
    """
    image = st.session_state.get(f"_image_{figure_key}") or "SVG"
    if (figure.layout.legend.y or 0) < 0:  # below the axes, however far their labels reach down at this width
        figure.update_layout(legend={"yref": "container", "y": 0, "yanchor": "bottom"})
    clicks = st.session_state.setdefault("_clicks", 0)
    event: Any = st.plotly_chart(
        figure, key=f"_{figure_key}_{clicks}", on_select="rerun", selection_mode="points", alt=alt,
        config={
            "toImageButtonOptions": {"format": image.lower(), "filename": name, "scale": 2},
            "displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"],
        },
    )  # fmt: skip
    row = st.container(horizontal=True)
    with row.popover("Export", icon=":material/download:"):
        st.segmented_control(
            "The camera on the plot saves", ["SVG", "PNG"], default="SVG", key=f"_image_{figure_key}", required=True
        )
        st.download_button(
            "Data (CSV)", lambda: data().to_csv(index=False).encode(), f"{name}.csv", "text/csv",
            on_click="ignore", key=f"_csv_{figure_key}", icon=":material/table:", width="stretch",
        )  # fmt: skip
        st.download_button(
            "Interactive plot (HTML)", lambda: to_html(figure).encode(), f"{name}.html", "text/html",
            on_click="ignore", key=f"_html_{figure_key}", icon=":material/code:", width="stretch",
        )  # fmt: skip
    if extra_control is not None:
        with row:
            extra_control()
    for point in event["selection"]["points"] if event else []:
        if isinstance(clicked := point.get("customdata"), list | tuple):
            # A chart of another key: its selection is empty when the reader is back.
            st.session_state["_clicks"] = clicks + 1
            return list(clicked)
    return []
