"""What are these networks, and where do they memorise?"""

import streamlit as st

from nmfdiag.measures.phases import phases
from nmfdiag.measures.reading import comparison, reading
from nmfdiag.views import charts, controls, presets
from nmfdiag.views.figures import METHOD_TITLES, auc_figure
from nmfdiag.views.tables import network_table

controls.page_guard()
choice = controls.sidebar()
controls.heading("Is this network memorising?", choice, presets=presets.OVERVIEW)


def draw() -> None:
    with st.container(horizontal=True):
        for network in choice.networks:
            tested, gap = network.test_accuracy, network.generalization_error
            st.metric(
                f"p = {network.recipe.label_noise:g}: test accuracy",
                "unknown" if tested is None else f"{tested:.2f}",
                f"{network.train_accuracy:.2f} on its probe samples"
                if gap is None
                else f"{-gap:+.2f} against training",
                delta_color="off",
                delta_arrow="off" if gap is None else "auto",
                help="The line is test accuracy over the epochs of training. Nothing below has seen a test sample."
                if network.log
                else "The network was added with its weights: its training is not known, and its test accuracy only with --test.",
                chart_data=[line["test_accuracy"] for line in network.log] or None,
                width=210,
            )
    requests = choice.requests()
    results = controls.computed(choice, requests)
    by_method = choice.auc_spreads(results)
    method = choice.method if choice.method in by_method else next(iter(by_method))
    by_noise = by_method[method]
    if len(by_noise) > 1:
        words = comparison(by_noise)
    else:
        by_layer = next(iter(by_noise.values()))
        at = by_layer.values()
        words = reading(by_layer, phases(list(by_layer), [s.mean for s in at], [s.sem for s in at]))
    controls.answer(f"{METHOD_TITLES[method]}: {words}", results, requests)
    figure = auc_figure(by_method, choice.layers, found=None, batch=choice.batch_words, axis=choice.axis)
    charts.chart(
        figure, choice, results, "auc-by-layer", "AuC by layer, one line for each p",
        beside=lambda: charts.report_button(results, choice.networks, wanted=len(requests)),
    )  # fmt: skip
    controls.progress(choice, requests, results)
    how_to_read = """
Each point: compress this layer's activations to growing rank, run the rest of the network on what is left, and average the accuracy
over the ranks. **High**: few directions carry a class. **A dip that the line of p = 0 does not have**: the layer needs many directions
for one class, the mark of memorisation. The band is one standard error over classes. Click a point to open its curve.

It cannot tell *what* is memorised, and layers at which every line is at 1 say nothing: classes have collapsed there."""
    charts.details(how_to_read, network_table(choice.networks), choice, results)
    st.caption(f"Device: {choice.device}. Cache: {controls.cache_words()}.")


controls.guarded(draw)
