"""Accuracy over rank k (figures 2a, 2b and 3)."""

from nmfdiag.measures.auc_sentences import compared_robustness, robustness
from nmfdiag.measures.methods import METHODS
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import details
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.views.curve_figures import curve_figure
from nmfdiag.views.curve_groups import curves_at_layer, main_curves, main_method, own_curves
from nmfdiag.views.curve_tables import accuracy_table, auc_table
from nmfdiag.views.help_text import help_text
from nmfdiag.views.pair import (
    batches_text,
    figure_by_rank,
    layers_text,
    layers_title,
    line_names,
    one_table,
    pair_sentence,
)
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import entries

page_guard()
choice = sidebar()
place = layers_text(choice)
heading(f"How robust is {place} to compression?", choice)


def draw(choice: Choice) -> None:
    requests = [request for side in choice.sides for request in side.requests(layers=[side.layer])]
    results = live_results.get_results(choice, requests)
    curves = [curves_at_layer(side, results) for side in choice.sides]
    live_results.answer(answer_of(choice, curves, is_complete=len(results) == len(requests)), results, requests)
    is_single = len(curves) == 1
    figures = [
        curve_figure(
            groups,
            layer=layers_title(choice),
            axis=choice.axis,
            batch=batches_text(choice),
            zero=is_single,
            line_name=line_name,
        )
        for groups, line_name in zip(curves, line_names(choice), strict=True)
    ]
    charts.chart(
        figure_by_rank(choice, figures, curves), choice, results, f"{choice.layer}_accuracy-over-rank", f"Accuracy over rank at {place}",
        plotted=lambda: one_table(choice, [accuracy_table(groups) for groups in curves]),
    )  # fmt: skip
    live_results.progress(choice, requests, results)
    tables = [auc_table(own_curves(side, results), entries()) for side in choice.sides]
    details(help_text("curves"), one_table(choice, tables), choice, results)


def answer_of(choice: Choice, curves: list, *, is_complete: bool) -> str:
    """Return the answer on a layer of these networks, or on these beside a second one."""
    by_noise = [main_curves(side, groups) for side, groups in zip(choice.sides, curves, strict=True)]
    if len(curves) == 1:
        method = main_method(choice, [method for _, method in curves[0]])
        return f"{METHODS[method].title}: {robustness(choice.layer, by_noise[0], choice.axis)}"
    by_side = [
        {p: (side.layer, batch_curves) for p, batch_curves in side_curves.items()}
        for side, side_curves in zip(choice.sides, by_noise, strict=True)
    ]
    return pair_sentence(choice, by_side, compared_robustness, is_complete=is_complete)


live_results.together(choice, draw)
