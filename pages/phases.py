"""Layers that extract features, memorise, and cluster (figure 2c)."""

import pandas as pd

from nmfdiag.measures.auc_sentences import reading
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.phases import CLUSTERED, phases
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import details
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.views import presets
from nmfdiag.views.curve_figures import auc_figure
from nmfdiag.views.curve_groups import auc_spreads
from nmfdiag.views.help_text import help_text
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import known_noise

page_guard()
choice = sidebar()
heading("Which layers memorise?", choice, presets=presets.PHASES)


def draw(choice: Choice) -> None:
    requests = choice.requests()
    results = live_results.get_results(choice, requests)
    by_method = auc_spreads(choice, results)
    method = choice.method if choice.method in by_method else next(iter(by_method))
    by_noise = by_method[method]
    by_noise_phases = {
        p: phases(list(by_layer), [s.mean for s in by_layer.values()], [s.sem for s in by_layer.values()])
        for p, by_layer in by_noise.items()
    }
    shaded_noise = max((p for p in by_noise_phases if by_noise_phases[p].clear), default=max(by_noise_phases))
    sentence = f"{METHODS[method].title}, p = {shaded_noise:g}: {reading(by_noise[shaded_noise], by_noise_phases[shaded_noise])}"
    live_results.answer(sentence, results, requests)
    complete = len(by_noise[shaded_noise]) == len(choice.layers)
    figure = auc_figure(
        by_method,
        choice.layers,
        phases=by_noise_phases[shaded_noise] if complete else None,
        batch=choice.batch_text,
        axis=choice.axis,
    )
    charts.chart(figure, choice, results, "layer-phases", "AuC by layer with phases shaded")
    live_results.progress(choice, requests, results)
    rows = [
        {
            "p": known_noise(p),
            "feature extraction": ", ".join(layer_phases.feature_extraction),
            "memorisation": ", ".join(layer_phases.memorisation),
            "clustering": ", ".join(layer_phases.clustering),
            "no clear phases because": layer_phases.reason,
        }
        for p, layer_phases in by_noise_phases.items()
    ]
    details(help_text("phases", clustered=CLUSTERED, p=shaded_noise), pd.DataFrame(rows), choice, results)


live_results.side_by_side(choice, draw)
