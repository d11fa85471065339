"""Layers that extract features, memorise, and cluster (figure 2c), and the layer where given labels become readable."""

import streamlit as st

from nmfdiag.measures.auc_sentences import reading
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.phases import CLUSTERED, phases
from nmfdiag.measures.suspects.probe_depth import SUDDEN, depth_of
from nmfdiag.plots.probe_depth import probe_depth_figure
from nmfdiag.text import for_markdown, percent
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.views.curve_figures import auc_figure
from nmfdiag.views.curve_groups import auc_spreads
from nmfdiag.views.help_text import help_text
from nmfdiag.views.phases import export_table, phase_table, probe_settings
from nmfdiag.views.provenance import settings
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import entries

page_guard()
choice = sidebar()
heading("Which layers memorise?", choice)


def draw(choice: Choice) -> None:
    curve_requests = choice.requests()
    requests = [*curve_requests, *live_results.label_requests(choice)]
    results = live_results.get_results(choice, requests)
    curves = {request: results[request] for request in curve_requests if request in results}
    controls = live_results.controls_of(choice.networks, results)
    depths = {name: depth_of(network_controls) for name, network_controls in controls.items()}
    depths_by_noise = {n.label_noise: depths[n.name] for n in choice.networks if n.name in depths}
    by_method = auc_spreads(choice, curves)
    method = choice.method if choice.method in by_method else next(iter(by_method), choice.method)
    by_noise = by_method.get(method, {})
    by_noise_phases = {
        p: phases(list(by_layer), [s.mean for s in by_layer.values()], [s.sem for s in by_layer.values()])
        for p, by_layer in by_noise.items()
    }
    shaded_noise = max(
        (p for p in by_noise_phases if by_noise_phases[p].clear), default=max(by_noise_phases or depths_by_noise)
    )
    auc_text = "not known yet."
    if shaded_noise in by_noise:
        auc_text = reading(by_noise[shaded_noise], by_noise_phases[shaded_noise])
    live_results.answer(f"{METHODS[method].title}, p = {shaded_noise:g}: {auc_text}", curves, curve_requests)
    depth = depths_by_noise.get(shaded_noise)
    st.markdown(
        for_markdown(f"Probe by depth (ours), p = {shaded_noise:g}: {depth.text if depth else 'not known yet.'}")
    )
    complete = len(by_noise.get(shaded_noise, ())) == len(choice.layers)
    figure = auc_figure(
        by_method,
        choice.layers,
        phases=by_noise_phases[shaded_noise] if complete else None,
        batch=choice.batch_text,
        axis=choice.axis,
    )
    charts.chart(
        probe_depth_figure(figure, depths_by_noise, choice.layers),
        choice,
        lambda: export_table(curves, depths, entries()),
        "layer-phases",
        "AuC by layer with phases shaded, and below it the probe's accuracy by layer with its jump ringed",
    )
    live_results.progress(choice, requests, results)
    if curves:
        text = help_text("phases", clustered=CLUSTERED, p=shaded_noise, sudden=percent(SUDDEN))
        rows = settings(choice, curves) | probe_settings(controls.values())
        tabs("" if choice.place else text, phase_table(by_noise_phases, depths_by_noise), rows)


live_results.side_by_side(choice, draw)
