"""An explanation of layer, k, AuC and p on real samples and a real layer; its support (figure 1) last."""

from dataclasses import replace

import streamlit as st

from nmfdiag.jobs.requests import SupportRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.text import for_markdown, label_kind, percent
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.mode import page_mode
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.ui.widgets import select_one
from nmfdiag.views import how
from nmfdiag.views.glossary import TERMS
from nmfdiag.views.pair import line_names
from nmfdiag.views.selection import EACH_CLASS, MULTI
from nmfdiag.views.support.figures import support_figure
from nmfdiag.views.support.sentences import entry_table

ROWS = 60

page_guard()
choice = sidebar(without=("methods", "grid", "beside"))
ends = (*choice.networks[:1], *choice.networks[1:][-1:])
batch = choice.names[0] if choice.batch in (EACH_CLASS, MULTI) else choice.batch
choice = replace(choice, networks=ends, batch=batch, methods=choice.methods[:1])
noise_levels = {network.name: network.label_noise for network in choice.networks}
heading("How does it tell learning from memorising?", choice, compare=False)


def draw() -> None:
    head = st.container()
    st.markdown(how.introduction(list(noise_levels.values()), choice.layer))
    requests = choice.requests(layers=[choice.layer])
    results = live_results.get_results(choice, requests)
    curves = dict(sorted((noise_levels[request.entry], curve) for request, curve in results.items()))
    ranks = next(iter(curves.values())).ranks
    k = select_one("k: directions kept", ranks, "kept", default=min(3, len(ranks) - 1), slider=True, help=TERMS["k"])
    with head:
        live_results.answer(how.answer(curves, choice.layer, k), results, requests)
    draw_samples(curves, k)
    st.markdown(f"#### {how.AUC_HEADING}", help=TERMS["AuC"])
    st.markdown(how.AUC)
    figure = how.area_figure(curves, layer=choice.layer, batch=choice.batch_text, axis=choice.axis, k=k)
    charts.chart(figure, choice, how.curve_table(curves), "how-curve", "Accuracy over rank, the area shaded")
    live_results.progress(choice, requests, results)
    st.markdown(for_markdown(how.auc_text(curves, choice.layer, choice.axis)))
    st.markdown(f"#### {how.P_HEADING}", help=TERMS["p"])
    st.markdown(how.P)
    st.markdown(f"#### {how.RECTANGLES_HEADING}")
    st.markdown(how.RECTANGLES)
    live_results.draw_safely(draw_rectangles)
    with st.container(horizontal=True):
        if st.button("See all layers", icon=":material/monitoring:", type="primary"):
            st.switch_page("pages/network.py")
        if st.button("Try your own network", icon=":material/upload_file:"):
            st.switch_page("pages/your_network.py")


def draw_samples(curves: dict[float, CompressionCurve], k: int) -> None:
    """Draw each network's samples of the class, and how many of them are right with k directions."""
    for network, column in zip(choice.networks, st.columns(len(choice.networks), gap="large"), strict=True):
        if network.label_noise in curves:
            share = how.accuracy_at(curves[network.label_noise], k)
            with column:
                st.metric(for_markdown(f"Trained on {label_kind(network.label_noise)}"), f"{percent(share)} right")
                st.html(how.sample_strip(network, choice.classes[0], choice.per_class, share, page_mode()))
    st.caption(
        for_markdown(
            f'These are the samples that are counted: {choice.per_class} of the training samples labelled "{batch}", drawn at random.'
        )
    )


def draw_rectangles() -> None:
    """Draw the support of each network with its largest rectangles, which takes a click: it is computed apart from the curves."""
    requests = [SupportRequest(name, choice.layer, choice.classes[0], choice.per_class, ROWS) for name in noise_levels]
    part = replace(choice, place="rectangles-")
    results = live_results.get_results(part, requests, at_once=False)
    covers = dict(sorted((noise_levels[request.entry], cover) for request, cover in results.items()))
    [line_name] = line_names(choice)
    figure = support_figure(
        covers, layer=choice.layer, batch=choice.batch_text, order="rectangles", line_name=line_name
    )
    data = entry_table(covers, choice.layer)
    charts.chart(figure, choice, data, "how-support", f"Support of {choice.layer} with its largest rectangles")
    st.markdown(for_markdown(how.supports_text(covers, choice.layer)))
    live_results.progress(part, requests, results)


live_results.draw_safely(draw)
