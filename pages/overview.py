"""What are these networks, and where do they memorise?"""

import streamlit as st

from nmfdiag.measures.phases import phases
from nmfdiag.measures.reading import comparison, reading
from nmfdiag.views import controls
from nmfdiag.views.figures import auc_figure

controls.page_guard()
choice = controls.sidebar()

st.title("Is this network memorising?")
st.caption(choice.subject)


def draw() -> None:
    for network, column in zip(choice.networks, st.columns(len(choice.networks)), strict=True):
        column.metric(
            f"p = {network.recipe.label_noise:g}: test accuracy",
            f"{network.test_accuracy:.2f}",
            f"{network.test_accuracy - network.train_accuracy:+.2f} against training",
            delta_color="off",
            help=f"{network.n_parameters:,} parameters, {network.recipe.n_train:,} training samples, "
            f"{len(network.log)} epochs; training accuracy on the given labels {network.train_accuracy:.3f}.",
        )
    results = controls.computed(choice, choice.requests(methods=["nmf"]))
    by_noise = controls.spreads(choice, results)
    worst = max(by_noise)
    layers = [layer for layer in choice.layers if layer in by_noise[worst]]
    at = [by_noise[worst][layer] for layer in layers]
    found = phases(layers, [s.mean for s in at], [s.sem for s in at])
    controls.answer(comparison(by_noise) if len(by_noise) > 1 else reading(by_noise[worst], found))
    figure = auc_figure(by_noise, choice.layers, found=None, batch=choice.batch)
    controls.chart(figure, choice, results, "auc-by-layer", "AuC by layer, one line for each p")
    st.markdown(
        "**How to read it.** Each point: compress this layer's activations by NMF of growing rank and average the accuracy "
        "that is left. High: few directions carry a class. A line that dips where the p = 0 line does not: the layer needs "
        "many directions for one class, the mark of memorisation. Click a point to open its curve."
    )
    stats = controls.jobs(choice.device).cache.stats()
    st.caption(f"Device: {choice.device}. Cache: {stats['curves']:,} curves, {stats['bytes'] / 2**20:.1f} MiB.")
    controls.provenance(results)


controls.guarded(draw)
