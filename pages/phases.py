"""Which layers extract features, which memorise, which cluster (figure 2c)."""

import streamlit as st

from nmfdiag.measures.phases import CLUSTERED, phases
from nmfdiag.measures.reading import reading
from nmfdiag.views import controls
from nmfdiag.views.figures import auc_figure

controls.page_guard()
choice = controls.sidebar()

st.title("Which layers memorise?")
st.caption(choice.subject)


def draw() -> None:
    results = controls.computed(choice, choice.requests(methods=["nmf"]))
    by_noise = controls.spreads(choice, results)
    whole = [p for p in by_noise if len(by_noise[p]) == len(choice.layers)]
    shaded = max(whole or by_noise)
    lines = {}
    for p, by_layer in by_noise.items():
        layers = [layer for layer in choice.layers if layer in by_layer]
        at = [by_layer[layer] for layer in layers]
        lines[p] = phases(layers, [s.mean for s in at], [s.sem for s in at])
    controls.answer(f"p = {shaded:g}: {reading(by_noise[shaded], lines[shaded])}")
    figure = auc_figure(by_noise, choice.layers, found=lines[shaded], batch=choice.batch)
    controls.chart(figure, choice, results, "layer-phases", "AuC by layer with phases shaded")
    st.markdown(
        f"**How to read it.** Clustering: the last layers whose AuC is at least {CLUSTERED}. Memorisation: from the lowest AuC "
        f"before that to where clustering begins. Feature extraction: what comes before. The shading is that of p = {shaded:g}. "
        "Click a layer to open its curve."
    )
    with st.expander("Phases of every p"):
        rows = [
            {
                "p": p,
                "feature extraction": ", ".join(found.feature_extraction),
                "memorisation": ", ".join(found.memorisation),
                "clustering": ", ".join(found.clustering),
                "no clear phases because": found.reason,
            }
            for p, found in lines.items()
        ]
        st.dataframe(rows, hide_index=True)
    controls.provenance(results)


controls.guarded(draw)
