"""Layers that extract features, memorise, and cluster (figure 2c), and the layer where given labels become readable."""

import pandas as pd
import streamlit as st

from nmfdiag.measures.auc_sentences import compared_auc, reading
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.phases import CLUSTERED
from nmfdiag.measures.suspects.probe_depth import SUDDEN, depth_of
from nmfdiag.plots.probe_depth import RINGS, probe_depth_figure
from nmfdiag.text import for_markdown, percent
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.views.curve_figures import auc_figure
from nmfdiag.views.curve_groups import own_curves, spreads_by_side
from nmfdiag.views.help_text import help_text
from nmfdiag.views.pair import (
    batches_text,
    figure_by_layer,
    line_names,
    network_name,
    one_table,
    pair_sentence,
    side_labels,
)
from nmfdiag.views.phases import export_table, phase_table, phases_by_noise, probe_settings, shaded_network
from nmfdiag.views.provenance import settings
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import entries

page_guard()
choice = sidebar()
heading("Which layers memorise?", choice)


def draw(choice: Choice) -> None:
    curve_requests = [request for side in choice.sides for request in side.requests()]
    requests = [*curve_requests, *live_results.label_requests(choice)]
    results = live_results.get_results(choice, requests)
    curves = {request: results[request] for request in curve_requests if request in results}
    controls = live_results.controls_of(choice.all_networks, results)
    depths = {name: depth_of(network_controls) for name, network_controls in controls.items()}
    by_side = spreads_by_side(choice, curves)
    by_noise = [side_spreads.by_noise for side_spreads in by_side]
    phases = [phases_by_noise(groups) for groups in by_noise]
    shaded = shaded_network(choice, phases[0], depths)
    spreads, shaded_phases = by_noise[0].get(shaded.label_noise, {}), phases[0].get(shaded.label_noise)
    if len(choice.sides) > 1:
        sentence = pair_sentence(choice, by_noise, compared_auc, is_complete=len(curves) == len(curve_requests))
    else:
        text = reading(spreads, shaded_phases) if shaded_phases else "not known yet."
        sentence = f"{METHODS[by_side[0].method].title}, {network_name(shaded, choice)}: {text}"
    live_results.answer(sentence, curves, curve_requests)
    for network in (shaded, *choice.all_networks[len(choice.networks) :]):
        text = depths[network.name].text if network.name in depths else "not known yet."
        st.markdown(for_markdown(f"Probe by depth (ours), {network_name(network, choice)}: {text}"))
    depths_by_noise = [
        {n.label_noise: depths[n.name] for n in side.networks if n.name in depths} for side in choice.sides
    ]
    figures = []
    owners = side_labels(choice) if len(choice.sides) > 1 else [""]
    sides = zip(choice.sides, by_side, depths_by_noise, line_names(choice), owners, RINGS, strict=False)
    for side, side_spreads, side_depths, line_name, owner, ring in sides:
        is_shaded = side is choice and len(spreads) == len(choice.layers)
        figure = auc_figure(
            side_spreads.by_method,
            side.layers,
            phases=(shaded.label_noise, shaded_phases) if is_shaded and shaded_phases else None,
            batch=batches_text(choice),
            axis=choice.axis,
            line_name=line_name,
        )
        figures.append(
            probe_depth_figure(figure, side_depths, side.layers, line_name=line_name, ring=ring, owner=owner)
        )

    def data() -> pd.DataFrame:
        return one_table(
            choice,
            [
                export_table(
                    own_curves(side, curves),
                    {n.name: depths[n.name] for n in side.networks if n.name in depths},
                    entries(),
                )
                for side in choice.sides
            ],
        )

    charts.chart(
        figure_by_layer(choice, figures),
        choice,
        data,
        "layer-phases",
        "AuC by layer with phases shaded, and below it the probe's accuracy by layer with its jump ringed",
    )
    live_results.progress(choice, requests, results)
    if curves:
        text = help_text("phases", clustered=CLUSTERED, shaded=network_name(shaded, choice), sudden=percent(SUDDEN))
        rows = settings(choice, curves) | probe_settings(controls.values())
        tables = [phase_table(*side) for side in zip(phases, depths_by_noise, strict=True)]
        tabs(text, one_table(choice, tables), rows)


live_results.together(choice, draw)
