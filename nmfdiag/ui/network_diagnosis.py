"""The diagnosis of an opened network, drawn as its curves come, with its report and the pages that show more of it."""

from dataclasses import replace
from html import unescape
from typing import Any

import streamlit as st

from nmfdiag.diagnosis.comparison_text import certainty_sentences
from nmfdiag.diagnosis.diagnose import Diagnosis, diagnosis_of
from nmfdiag.jobs import open_process
from nmfdiag.text import for_markdown, for_plot
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import tabs
from nmfdiag.views import your_network as view
from nmfdiag.views.classes.tables import single_class_curves
from nmfdiag.views.help_text import help_text
from nmfdiag.views.provenance import settings
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import ZooEntry

PAGES = {
    "curves": ("k vs accuracy", ":material/show_chart:"),
    "classes": ("Classes", ":material/category:"),
    "suspects": ("Suspects", ":material/flag:"),
    "phases": ("Layer phases", ":material/layers:"),
    "ablation": ("Ablation", ":material/content_cut:"),
    "support": ("Support", ":material/apps:"),
}


def draw_diagnosis(choice: Choice, requests: list[Any], check: dict[str, Any]) -> None:
    """Draw the verdict, the figures it rests on, and what can be done with it."""
    entry = choice.networks[0]
    results = live_results.get_results(choice, requests)
    # The example is a copy of a reference network.
    without = (open_process.EXAMPLE,) if entry.name == open_process.EXAMPLE_NAME else ()
    diagnosis = diagnosis_of(results, entry, without=without)
    live_results.answer(diagnosis.verdict, results, requests)
    table = view.depth_table(diagnosis)
    figure = view.layers_figure(diagnosis, choice.layers, choice.batch_text)
    clicked = charts.plot(figure, f"{entry.name}_auc-by-layer", lambda: table, "own-layers", "AuC by layer")
    if clicked:
        _switch_page("curves", entry, unescape(clicked[0]))
    live_results.progress(choice, requests, results)
    if len(results) == len(requests):  # remarks on a part would be about what is still missing
        for remark in view.remarks(diagnosis):
            st.caption(for_markdown(remark))
        _draw_downloads(diagnosis)
    _draw_map(choice, results, diagnosis)
    _draw_references(diagnosis)
    tabs(help_text("your_network"), table, settings(choice, results) | check.get("provenance", {}))


def _draw_references(diagnosis: Diagnosis) -> None:
    """Draw the mean over all layers among those of reference networks, and how sure that comparison is."""
    comparison = diagnosis.comparison
    if comparison is None or comparison.place is None:
        return
    table = view.reference_table(comparison)
    figure, alt = view.beside_figure(comparison, diagnosis.name), "Mean AuC of reference networks by p"
    charts.plot(figure, f"{diagnosis.name}_references", lambda: table, "own-references", alt)
    with st.expander("How sure is the comparison?", icon=":material/help:"):
        st.markdown("\n".join(f"- {for_markdown(sentence)}" for sentence in certainty_sentences(comparison)))


def _draw_map(choice: Choice, results: Any, diagnosis: Diagnosis) -> None:
    """Draw the map of classes and layers; a click opens the curve."""
    entry = choice.networks[0]
    names = {for_plot(name): name for name in entry.class_names}
    lowest = diagnosis.classes[0] if diagnosis.classes else None
    layer, class_idx = (lowest.lowest[0], lowest.class_idx) if lowest else (choice.layer, next(iter(results)).class_idx)
    escaped = replace(choice, networks=(replace(entry, class_names=tuple(names)),), layer=layer)
    figure = view.cells_figure(single_class_curves(escaped, results), entry.name, class_idx=class_idx)
    to_frame, alt = diagnosis.profile.to_frame, "AuC by class and layer"
    clicked = charts.plot(figure, f"{entry.name}_auc-by-class", to_frame, "own-cells", alt)
    if clicked:
        _switch_page("curves", entry, clicked[0], names.get(clicked[1], ""))


def _draw_downloads(diagnosis: Diagnosis) -> None:
    """Draw the buttons of the report, and of other pages with this network."""
    with st.container(horizontal=True, vertical_alignment="center"):
        stem = f"{diagnosis.name}_diagnosis"
        st.download_button(
            "Report (HTML)", lambda: diagnosis.html().encode(), f"{stem}.html", "text/html", on_click="ignore",
            icon=":material/description:", type="primary",
        )  # fmt: skip
        st.download_button(
            "Numbers (JSON)", lambda: diagnosis.json().encode(), f"{stem}.json", "application/json", on_click="ignore",
            icon=":material/data_object:",
        )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("See this network on:", width="content")
        for page, (title, icon) in PAGES.items():
            if st.button(title, icon=icon, type="tertiary", key=f"_to_{page}"):
                _switch_page(page, open_process.opened_networks()[diagnosis.name])


def _switch_page(page: str, entry: ZooEntry, layer: str = "", batch: str = "") -> None:
    """Open another page with this network, layer and batch chosen."""
    batch = Choice((entry,), layer, batch).batch_option if batch else ""
    widget_values = {"data": entry.recipe.dataset, "arch": entry.recipe.arch, "layer": layer, "batch": batch}
    for key, value in widget_values.items():
        st.session_state[f"_clicked_{key}"] = value or None
    st.switch_page(f"pages/{page}.py", query_params={})
