"""Which layers extract features, which memorise, which cluster (figure 2c)."""

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
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import known

page_guard()
choice = sidebar()
heading("Which layers memorise?", choice, presets=presets.PHASES)


def draw(choice: Choice) -> None:
    requests = choice.requests()
    results = live_results.get_results(choice, requests)
    by_method = auc_spreads(choice, results)
    method = choice.method if choice.method in by_method else next(iter(by_method))
    by_noise = by_method[method]
    found = {
        p: phases(list(by_layer), [s.mean for s in by_layer.values()], [s.sem for s in by_layer.values()])
        for p, by_layer in by_noise.items()
    }
    shaded = max((p for p in found if found[p].clear), default=max(found))
    words = f"{METHODS[method].title}, p = {shaded:g}: {reading(by_noise[shaded], found[shaded])}"
    live_results.answer(words, results, requests)
    whole = len(by_noise[shaded]) == len(choice.layers)
    figure = auc_figure(
        by_method, choice.layers, found=found[shaded] if whole else None, batch=choice.batch_words, axis=choice.axis
    )
    charts.chart(figure, choice, results, "layer-phases", "AuC by layer with phases shaded")
    live_results.progress(choice, requests, results)
    how_to_read = f"""
**Figure 2c**, with the paper's three phases shaded. **Clustering**: the last layers whose AuC is at least {CLUSTERED}; one class needs hardly any rank there. **Memorisation**: from the
lowest AuC before that to where clustering begins. **Feature extraction**: what comes before. A dip that is smaller than its
uncertainty is no phase, and then the answer says so. The shading is that of p = {shaded:g}. Click a layer to open its curve.

The rule is ours, made to say the same for every network; the paper names its phases by eye. Where memorisation sits depends on how
much there is to memorise: with few training images it is found in earlier layers."""
    rows = [
        {
            "p": known(p),
            "feature extraction": ", ".join(one.feature_extraction),
            "memorisation": ", ".join(one.memorisation),
            "clustering": ", ".join(one.clustering),
            "no clear phases because": one.reason,
        }
        for p, one in found.items()
    ]
    details(how_to_read, pd.DataFrame(rows), choice, results)


live_results.side_by_side(choice, draw)
