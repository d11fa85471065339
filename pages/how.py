"""An explanation of k, AuC and p on a real layer: its support (figure 1), its compression, and the area under the curve."""

from dataclasses import replace

import streamlit as st

from nmfdiag.jobs.requests import SupportRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.text import for_markdown
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.ui.widgets import select_one
from nmfdiag.views.how import AREA, COMPRESSION, MATRIX, answer, area_figure, curve_table, rank_text, supports_text
from nmfdiag.views.selection import EACH_CLASS, MULTI
from nmfdiag.views.support.figures import support_figure
from nmfdiag.views.support.sentences import entry_table

ROWS = 60

page_guard()
choice = sidebar(without=("methods", "grid", "beside"))
ends = (*choice.networks[:1], *choice.networks[1:][-1:])
batch = choice.names[0] if choice.batch in (EACH_CLASS, MULTI) else choice.batch
choice = replace(choice, networks=ends, batch=batch, methods=choice.methods[:1])
heading("How does it tell learning from learning by heart?", choice, compare=False)


def draw() -> None:
    supports = [
        SupportRequest(network.name, choice.layer, choice.classes[0], choice.per_class, rows=ROWS)
        for network in choice.networks
    ]
    requests = [*choice.requests(layers=[choice.layer]), *supports]
    results = live_results.get_results(choice, requests)
    noise_levels = {network.name: network.label_noise for network in choice.networks}
    curves = {noise_levels[r.entry]: result for r, result in results.items() if isinstance(result, CompressionCurve)}
    covers = {
        noise_levels[r.entry]: result for r, result in results.items() if not isinstance(result, CompressionCurve)
    }
    curves, covers = dict(sorted(curves.items())), dict(sorted(covers.items()))
    if curves:
        live_results.answer(answer(curves, choice.layer, choice.axis), results, requests)
    live_results.progress(choice, requests, results)
    st.markdown(MATRIX)
    if covers:
        figure = support_figure(covers, layer=choice.layer, batch=choice.batch_text, order="rectangles")
        data = entry_table(covers, choice.layer)
        charts.chart(figure, choice, data, "how-support", f"Support of {choice.layer} with its largest rectangles")
        st.markdown(for_markdown(supports_text(covers, choice.layer, f"the support of class {batch}")))
    st.markdown(COMPRESSION)
    if curves:
        ranks = next(iter(curves.values())).ranks
        k = select_one("directions kept, k", ranks, "kept", default=min(3, len(ranks) - 1), segmented=True)
        st.markdown(rank_text(curves, k))
        figure = area_figure(curves, layer=choice.layer, batch=choice.batch_text, axis=choice.axis, k=k)
        charts.chart(figure, choice, curve_table(curves), "how-curve", "Accuracy over rank, the area shaded")
    st.markdown(AREA)
    with st.container(horizontal=True):
        if st.button("See all layers", icon=":material/monitoring:", type="primary"):
            st.switch_page("pages/overview.py")
        if st.button("Try your own network", icon=":material/upload_file:"):
            st.switch_page("pages/your_network.py")


live_results.draw_safely(draw)
