"""Plots with their exports, and what a click on one opens."""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from nmfdiag.plots.equal_axes import equal_axes
from nmfdiag.plots.modes import to_html
from nmfdiag.ui.address import choose
from nmfdiag.ui.image_export import image_buttons
from nmfdiag.ui.mode import in_page_mode
from nmfdiag.ui.rerun import rerun_page
from nmfdiag.views.curve_tables import auc_table, data_table
from nmfdiag.views.selection import ALONE, Choice
from nmfdiag.zoo.registry import entries


@contextmanager
def equal_charts(draw_safely: Callable[[Callable[[], None]], None]) -> Iterator[None]:
    """Draw the charts of a block in their places once all of them are made, with equal axes.

    Args:
        draw_safely: Draws one, and shows an error as a message in its place.
    """
    state = st.session_state
    waiting = state["_waiting_charts"] = []
    try:
        yield
    finally:
        del state["_waiting_charts"]
    equal_axes([figure for figure, *_ in waiting])
    for _, container, draw in waiting:
        with container:
            draw_safely(draw)


def chart(
    figure: go.Figure,
    choice: Choice,
    results: Mapping[Any, Any] | pd.DataFrame | Callable[[], pd.DataFrame],
    figure_key: str,
    alt: str,
    click_page: str = "pages/curves.py",
    plotted: Callable[[], pd.DataFrame] | None = None,
) -> None:
    """Draw a figure of zoo networks with its exports. A click on a layer opens its curve.

    Args:
        figure: Of the choice's networks.
        choice: The sidebar's.
        results: What the figure was drawn from, or its table, or what returns that.
        figure_key: Tells the figures of a page apart; part of the names of exported files.
        alt: Describes the figure to readers who don't see it.
        click_page: Shows the clicked layer.
        plotted: Returns the quantity that is drawn, where ``results`` are what it was computed from; of curves it is their AuC.
    """
    draw = partial(_draw_chart, figure, choice, results, figure_key, alt, click_page, plotted)
    waiting = st.session_state.get("_waiting_charts")
    if waiting is None:
        draw()
    else:
        waiting.append((figure, st.container(), draw))


def _draw_chart(
    figure: go.Figure,
    choice: Choice,
    results: Mapping[Any, Any] | pd.DataFrame | Callable[[], pd.DataFrame],
    figure_key: str,
    alt: str,
    click_page: str,
    plotted: Callable[[], pd.DataFrame] | None,
) -> None:
    def data() -> pd.DataFrame:
        if callable(results):
            return results()
        return results if isinstance(results, pd.DataFrame) else data_table(results, entries())

    tables = {"Data (CSV)": data}
    if plotted is None and isinstance(results, Mapping) and next(iter(results)).unit == "curves":
        plotted = partial(auc_table, results, entries())
    if plotted is not None:
        tables = {"Data (CSV)": plotted, "Every curve (CSV)": data}
    clicked = plot(figure, f"{choice.file_stem}_{figure_key}", tables, f"{choice.place}{figure_key}", alt)
    if clicked and clicked[0] not in choice.layers and choice.counterpart:  # a layer of the second network
        clicked = [layer for layer in choice.layers if replace(choice, layer=layer).sides[1].layer == clicked[0]]
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
    data: Callable[[], pd.DataFrame] | Mapping[str, Callable[[], pd.DataFrame]],
    figure_key: str,
    alt: str,
    extra_control: Callable[[], None] | None = None,
) -> list[Any]:
    """Draw a figure with its exports: image, the data as CSV, and HTML.

    Args:
        figure: To be drawn.
        name: Of the exported files, without extension.
        data: Returns the table to export; of several tables each by the title of its button, the quantity that is drawn first.
        figure_key: Tells the figures of a page apart.
        alt: Describes the figure to readers who don't see it.
        extra_control: Draws next to the exports.

    Returns:
        The custom data of the clicked point, once for each click; empty without a click.
    """
    clicks = st.session_state.setdefault("_clicks", 0)
    key = f"_{figure_key}_{clicks}"
    event: Any = st.plotly_chart(
        in_page_mode(figure), key=key, on_select="rerun", selection_mode="points", alt=alt, theme=None,
        config={"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"]},
    )  # fmt: skip
    row = st.container(horizontal=True)
    with row.popover("Export", icon=":material/download:"):
        image_buttons(key, name)
        tables = data if isinstance(data, Mapping) else {"Data (CSV)": data}
        for i, (title, table) in enumerate(tables.items()):
            st.download_button(
                title, partial(_csv, table), f"{name}{'_curves' * i}.csv", "text/csv",
                on_click="ignore", key=f"_csv{i or ''}_{figure_key}", icon=":material/table:", width="stretch",
            )  # fmt: skip
        st.download_button(
            "Interactive plot (HTML)", lambda: to_html(figure, font_face()).encode(), f"{name}.html", "text/html",
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


@cache
def font_face() -> str:
    """Return the page's font as a style for an HTML file; empty if this Streamlit has none of that name."""
    folder = Path(st.__file__).parent / "static" / "static" / "media"
    for font in folder.glob("SourceSansVF-Upright*.woff2"):
        source = f"data:font/woff2;base64,{base64.b64encode(font.read_bytes()).decode()}"
        face = (
            f'@font-face {{ font-family: "Source Sans"; font-weight: 200 900; src: url("{source}") format("woff2") }}'
        )
        return f"<style>{face}</style>"
    return ""


def _csv(table: Callable[[], pd.DataFrame]) -> bytes:
    return table().to_csv(index=False).encode()
