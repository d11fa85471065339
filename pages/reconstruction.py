"""How well NMF of one rank rebuilds each layer (figures 10a and 10b)."""

import streamlit as st

from nmfdiag.views import controls
from nmfdiag.views.figures import error_by_rank_figure, error_figure

controls.page_guard()
choice = controls.sidebar()

st.title("How well do k directions rebuild a layer?")
st.caption(choice.subject)


def draw() -> None:
    left, right = st.columns(2)
    relative = (
        left.segmented_control("error", ["relative", "raw"], default="relative", key="error", bind="query-params")
        != "raw"
    )
    k = right.select_slider("rank", [1, 2, 4, 8, 16, 32], value=8, key="k", bind="query-params")
    results = controls.computed(choice, choice.requests(methods=["nmf"]))
    by_noise = controls.spreads(choice, results, "relative" if relative else "raw", k)
    low, high = min(by_noise), max(by_noise)
    layer = max(by_noise[high], key=lambda name: by_noise[high][name].mean)
    words = f"At rank {k} the error is largest at {layer}: {by_noise[high][layer]} for p = {high:g}"
    if low != high and layer in by_noise[low]:
        words += f", against {by_noise[low][layer]} for p = {low:g}"
    controls.answer(f"{words}.")
    figure = error_figure(by_noise, choice.layers, relative=relative, k=k)
    controls.chart(figure, choice, results, "error-by-layer", "Reconstruction error by layer")
    noise = {n.name: n.recipe.label_noise for n in choice.networks}
    of_layer: dict = {}
    for request, curve in results.items():
        if request.layer == choice.layer:
            of_layer.setdefault(noise[request.entry], []).append(curve)
    if of_layer:
        by_rank = error_by_rank_figure(
            dict(sorted(of_layer.items())), layer=choice.layer, relative=relative, log=choice.log
        )
        controls.chart(by_rank, choice, results, f"{choice.layer}_error-by-rank", "Reconstruction error by rank")
    st.markdown(
        "**How to read it.** The raw error follows the scale of the activations: compare networks by the relative one. "
        "Where a layer has no such rank, the largest computed rank below it is used."
    )
    controls.provenance(results)


controls.guarded(draw)
