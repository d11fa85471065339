"""Accuracy over rank k (figures 2a, 2b and 3)."""

from nmfdiag.measures.auc_sentences import robustness
from nmfdiag.measures.methods import METHODS
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import details
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.views.curve_figures import curve_figure
from nmfdiag.views.curve_groups import curves_at_layer
from nmfdiag.views.curve_tables import accuracy_table, auc_table
from nmfdiag.views.help_text import help_text
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import entries

page_guard()
choice = sidebar()
heading(f"How robust is {choice.layer} to compression?", choice)


def largest_rank() -> int:
    """Return the largest rank of two networks side by side, so that their axes are equal; 0 for one network."""
    sides = [choice, choice.counterpart] if choice.counterpart else []
    results = [live_results.finished_results(side, side.requests(layers=[side.layer])) for side in sides]
    return max((k for curves in results for curve in curves.values() for k in curve.ranks), default=0)


def draw(choice: Choice) -> None:
    requests = choice.requests(layers=[choice.layer])
    results = live_results.get_results(choice, requests)
    curves = curves_at_layer(choice, results)
    methods = {method for _, method in curves}
    method = choice.method if choice.method in methods else methods.pop()
    sentence = robustness(
        choice.layer, {p: batch_curves for (p, m), batch_curves in curves.items() if m == method}, choice.axis
    )
    live_results.answer(f"{METHODS[method].title}: {sentence}", results, requests)
    figure = curve_figure(curves, layer=choice.layer, axis=choice.axis, batch=choice.batch_text, largest=largest_rank())
    alt = f"Accuracy over rank at {choice.layer}"
    figure_key = f"{choice.layer}_accuracy-over-rank"
    charts.chart(figure, choice, results, figure_key, alt, plotted=lambda: accuracy_table(curves))
    live_results.progress(choice, requests, results)
    details(help_text("curves"), auc_table(results, entries()), choice, results)


live_results.side_by_side(choice, draw)
