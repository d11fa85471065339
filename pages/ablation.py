"""What a network loses with k directions of a layer removed (figure 7)."""

from dataclasses import replace

import streamlit as st

from nmfdiag.measures.ablation import ablation_auc
from nmfdiag.views import charts, controls, waiting
from nmfdiag.views.ablation_figures import REMOVED, ablation_auc_figure, ablation_figure, ablation_table
from nmfdiag.views.ablation_words import HOW_TO_READ, ablation_answer, ablation_by_layer
from nmfdiag.views.choice import EACH_CLASS, Choice, methods_of
from nmfdiag.views.widgets import give, several

PAPER_HELP = "Figure 7: all three, on a batch of each class, over linear k."

controls.page_guard()
asked = controls.sidebar(without=["methods"])
fitting = methods_of(asked.networks[0])
paper = {"removed": list(fitting), "batch": str(EACH_CLASS), "axis": "linear"}
head = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    methods = several("remove", fitting, "removed", fitting, format_func=REMOVED.__getitem__)
    st.button("As in the paper", on_click=give, args=(paper,), help=PAPER_HELP)
choice = replace(asked, methods=tuple(m for m in fitting if m in methods))
with head:
    link = [("removed", REMOVED[m]) for m in choice.methods]
    controls.heading("Which directions does the network need?", asked, link)


def draw(choice: Choice) -> None:
    requests = choice.ablations()
    results = waiting.computed(choice, requests)
    at_layer = choice.by_class(results, choice.layer)
    waiting.answer(ablation_answer(choice.layer, at_layer, choice.axis), results, requests)
    if at_layer:
        figure = ablation_figure(at_layer, layer=choice.layer, axis=choice.axis, batch=choice.batch_words)
        what = f"{choice.layer}_accuracy-without-directions"
        charts.chart(figure, choice, results, what, f"Accuracy without k directions at {choice.layer}")
    waiting.progress(choice, requests, results)
    st.markdown(ablation_by_layer({layer: choice.by_class(results, layer) for layer in choice.layers}, choice.axis))
    by_method = choice.auc_spreads(results, ablation_auc)
    figure = ablation_auc_figure(by_method, choice.layers, axis=choice.axis, batch=choice.batch_words)
    alt = "AuC with directions removed, by layer"
    charts.chart(figure, choice, results, "ablation-auc-by-layer", alt, opens="pages/ablation.py")
    charts.details(HOW_TO_READ, ablation_table(choice, results), choice, results)


waiting.side_by_side(choice, draw)
