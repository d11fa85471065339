"""AuC by class: the classes that a network memorises, and how well AuC predicts their test accuracy (figure 8)."""

from functools import partial

import streamlit as st

from nmfdiag.text import for_markdown
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import details
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.ui.widgets import select_one
from nmfdiag.views.classes.figures import class_curve_figure, map_figure, scatter_figure
from nmfdiag.views.classes.samples import class_pictures
from nmfdiag.views.classes.sentences import classes_answer, correlations_text, denoising_text
from nmfdiag.views.classes.tables import (
    LOWEST,
    class_of,
    correlation_table,
    curves_of,
    map_table,
    note,
    over_classes,
    point_table,
    single_class_curves,
)
from nmfdiag.views.curve_tables import curve_table
from nmfdiag.views.glossary import TERMS
from nmfdiag.views.help_text import help_text
from nmfdiag.views.option_names import options_of
from nmfdiag.views.pair import line_names
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import ZooEntry, entries

CLASS_HELP = "Whose curves are drawn: the one with the lowest AuC at the sidebar's layer, or one by name."

page_guard()
sidebar_choice = sidebar()
choice = over_classes(sidebar_choice)
head = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    levels = {f"{n.label_noise:g}": n for n in choice.networks}
    level = next(iter(levels))
    if not choice.networks[0].called:
        level = select_one(
            "map of p",
            list(levels),
            "map",
            default=len(levels) - 1,
            segmented=True,
            help=f"The network whose classes are mapped. {TERMS['p']}",
        )
    by_sidebar = sidebar_choice.batch in choice.names
    class_options = options_of((LOWEST,), choice.names)
    option = "" if by_sidebar else select_one("curves of class", list(class_options), "class", help=CLASS_HELP)
    class_name = class_options.get(option, sidebar_choice.batch)
with head:
    heading("Which classes are memorised?", sidebar_choice if by_sidebar else choice)
    if sidebar_note := note(sidebar_choice):
        st.info(for_markdown(sidebar_note), icon=":material/info:")


def draw(choice: Choice) -> None:
    by_noise = {n.label_noise: n for n in choice.networks}
    network = by_noise.get(levels[level].label_noise, choice.networks[0])
    p = network.label_noise
    requests = sorted(choice.requests(), key=lambda request: request.entry != network.name)  # the mapped one first
    results = live_results.get_results(choice, requests)
    curves = single_class_curves(choice, results)
    [line_name] = line_names(choice)
    class_idx = class_of(class_name if class_name in choice.names else LOWEST, curves, p)
    name = curves.names[class_idx]
    live_results.answer(classes_answer(curves, p, choice.layer, class_idx), results, requests)
    alt = f"AuC of every class and layer: {line_name(p)}"
    figure_key = "auc-by-class" if network.called else f"auc-by-class_p{p:g}"
    figure = map_figure(curves, p, class_idx=class_idx, line_name=line_name)
    charts.chart(figure, choice, map_table(curves, p), figure_key, alt)
    live_results.progress(choice, requests, results)
    by_noise_curves = {
        q: by_layer[choice.layer][class_idx]
        for q, by_layer in curves.curves.items()
        if class_idx in by_layer.get(choice.layer, {})
    }
    live_results.draw_safely(partial(draw_samples, network, class_idx, choice.per_class))
    class_results = curves_of(choice, results, class_idx)
    figure = class_curve_figure(curves, results, class_idx=class_idx, line_name=line_name)
    charts.chart(
        figure, choice, lambda: curve_table(class_results, entries()),
        f"{choice.layer}_accuracy-over-rank_{name}", f"Accuracy over rank, class {name}",
    )  # fmt: skip
    if denoising := denoising_text(by_noise_curves, name, choice.layer, curves.method, line_name):
        st.markdown(for_markdown(denoising))
    if network.test_accuracy is not None:
        figure = scatter_figure(curves, class_idx=class_idx, line_name=line_name)
        points = point_table(curves, choice.layer)
        figure_key, alt = f"{choice.layer}_test-accuracy-over-auc", "Test accuracy by class over AuC"
        charts.chart(figure, choice, points, figure_key, alt)
    st.markdown(for_markdown(correlations_text(curves, p, choice.layer)))
    details(help_text("classes"), correlation_table(curves), choice, results)


def draw_samples(network: ZooEntry, class_idx: int, per_class: int) -> None:
    pictures, text = class_pictures(network, class_idx, per_class)
    st.html(pictures)
    st.caption(for_markdown(f"{text}."))


live_results.side_by_side(choice, draw)
