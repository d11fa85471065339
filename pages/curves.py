"""How much accuracy is left at rank k (figures 2a, 2b and 3)."""

import streamlit as st

from nmfdiag.measures.reading import comparison
from nmfdiag.views import controls
from nmfdiag.views.figures import curve_figure
from nmfdiag.views.tables import auc_table
from nmfdiag.zoo.registry import entries

controls.page_guard()
choice = controls.sidebar()

st.title(f"How robust is {choice.layer} to compression?")
st.caption(choice.subject)


def draw() -> None:
    results = controls.computed(choice, choice.requests(layers=[choice.layer]))
    noise = {n.name: n.recipe.label_noise for n in choice.networks}
    curves: dict = {}
    for request, curve in results.items():
        curves.setdefault((noise[request.entry], request.method), []).append(curve)
    by_noise = controls.spreads(choice, results, method=choice.methods[0])
    if len(by_noise) > 1:
        controls.answer(comparison(by_noise))
    figure = curve_figure(dict(sorted(curves.items())), layer=choice.layer, log=choice.log, batch=choice.batch)
    controls.chart(figure, choice, results, f"{choice.layer}_k-vs-accuracy", f"Accuracy over rank at {choice.layer}")
    st.markdown(
        "**How to read it.** Solid NMF, dashed PCA, dotted random ablation; colour is p. The band is one standard error over "
        "classes, the thin dashes are the uncompressed accuracy, open markers are ranks at which NMF did not converge. "
        "Rank 0 (all channels zero) is in the table: a constant answer is right for one class."
    )
    table = auc_table(results, entries())
    st.dataframe(table.round(3), hide_index=True)
    controls.provenance(results)


controls.guarded(draw)
