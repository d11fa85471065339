"""The diagnosis of an opened network, drawn as its curves come, with its report and the pages that show more of it."""

from dataclasses import replace
from html import unescape
from typing import Any

import streamlit as st

from nmfdiag.diagnosis.answer_text import SECOND_OPINION
from nmfdiag.diagnosis.comparison_text import certainty_sentences
from nmfdiag.diagnosis.diagnose import Diagnosis, diagnosis_of
from nmfdiag.jobs import open_process
from nmfdiag.jobs.requests import CurveRequest, SuspectsRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.text import for_markdown, for_plot
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.address import choose
from nmfdiag.ui.answers import draw_answers
from nmfdiag.ui.details import tabs
from nmfdiag.ui.report_downloads import report_downloads
from nmfdiag.views import your_network as view
from nmfdiag.views.answers import answers_so_far
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


def draw_diagnosis(choice: Choice, curve_requests: list[CurveRequest], check: dict[str, Any]) -> None:
    """Draw the answers, the figures they rest on, and what can be done with them."""
    entry = choice.networks[0]
    label_request = SuspectsRequest(entry.name)
    requests = [label_request, *curve_requests]
    results = live_results.get_results(choice, requests)
    suspects = results.get(label_request)
    why_not = live_results.failures(choice, [label_request]).get(label_request.key, "")
    curves = {request: results[request] for request in curve_requests if request in results}
    if not curves:
        draw_answers(answers_so_far(suspects and suspects.controls, None, why_not))
        live_results.draw_placeholder(choice)
        live_results.progress(choice, requests, results)
        return
    diagnosis = diagnosis_of(curves, entry, without=open_process.copied_from(entry), suspects=suspects)
    complete = len(curves) == len(curve_requests)
    state = answers_so_far(suspects and suspects.controls, diagnosis if complete else None, why_not)
    draw_answers(state)
    table = view.depth_table(diagnosis)
    figure = view.layers_figure(diagnosis, choice.layers, choice.batch_text)
    clicked = charts.plot(figure, f"{entry.name}_auc-by-layer", lambda: table, "own-layers", "AuC by layer")
    if clicked:
        _switch_page("curves", entry, unescape(clicked[0]))
    live_results.progress(choice, requests, results)
    if complete:  # remarks on a part would be about what is still missing
        for remark in view.remarks(diagnosis):
            st.caption(for_markdown(remark))
        if suspects or why_not:
            _draw_downloads(entry, curves, suspects)
    _draw_map(choice, curves, diagnosis)
    _draw_references(diagnosis, state.opinion if complete else "")
    tabs(help_text("your_network"), table, settings(choice, curves) | check.get("provenance", {}))


def _draw_references(diagnosis: Diagnosis, opinion: str) -> None:
    """Draw the second opinion: the mean over all layers among those of reference networks, and how sure that comparison is."""
    st.markdown(f"#### {SECOND_OPINION}")
    comparison = diagnosis.comparison
    if opinion:
        st.markdown(for_markdown(" ".join(dict.fromkeys([opinion, diagnosis.second_opinion]))))
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


def _draw_downloads(entry: ZooEntry, curves: dict[CurveRequest, CompressionCurve], suspects: Suspects | None) -> None:
    """Draw the buttons of the report, and of other pages with this network."""
    report_downloads(entry, curves, suspects)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("See this network on:", width="content")
        for page, (title, icon) in PAGES.items():
            if st.button(title, icon=icon, type="tertiary", key=f"_to_{page}"):
                _switch_page(page, open_process.opened_networks()[entry.name])


def _switch_page(page: str, entry: ZooEntry, layer: str = "", batch: str = "") -> None:
    """Open another page with this network, layer and batch chosen."""
    batch = Choice((entry,), layer, batch).batch_option if batch else ""
    widget_values = {"data": entry.recipe.dataset, "arch": entry.recipe.arch, "layer": layer, "batch": batch}
    choose({key: value for key, value in widget_values.items() if value})
    st.switch_page(f"pages/{page}.py")
