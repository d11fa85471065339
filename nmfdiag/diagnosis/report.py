"""A diagnosis as one printable HTML file that needs no internet connection; text and layout are in ``report.html.j2``."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from nmfdiag.diagnosis.answer_text import (
    QUESTION_TEXTS,
    answers_to_show,
    dip_name,
    error_figure,
    second_opinion_text,
    share_figure,
)
from nmfdiag.diagnosis.answers import LABELS, NOT_MEASURED, UNKNOWN, WHERE, Answer
from nmfdiag.diagnosis.class_ranking import ClassReading, class_readings
from nmfdiag.diagnosis.class_text import class_name, class_text, classes_text, is_lower
from nmfdiag.diagnosis.comparison import Comparison
from nmfdiag.diagnosis.comparison_text import certainty_sentences, layers_text
from nmfdiag.diagnosis.expected_error import ExpectedError
from nmfdiag.diagnosis.reliability import trust_text
from nmfdiag.diagnosis.remarks import error_bar_text
from nmfdiag.diagnosis.report_figures import classes_figure, curves_figure, profile_figure, reference_figure
from nmfdiag.diagnosis.suspects_section import SuspectsSection
from nmfdiag.measures.layer_profile import LayerProfile
from nmfdiag.measures.suspects.probe_depth import ProbeDepth
from nmfdiag.plots.modes import look
from nmfdiag.plots.probe_depth import probe_depth_figure
from nmfdiag.text import span
from nmfdiag.zoo.registry import UNKNOWN as UNKNOWN_NOISE

MOST_ROWS, MOST_SENTENCES = 60, 3
"""Rows of the table of classes, and sentences on classes, at most."""
NUMBER = re.compile(r"[+−-]?[\d.,]+( ± [\d.,]+)?%?|–")
Table = tuple[list[str], list[list[str]]]


def report_html(
    record: Mapping[str, Any],
    profile: LayerProfile,
    comparison: Comparison | None = None,
    class_names: Sequence[str] = (),
    suspects: SuspectsSection | None = None,
    depth: ProbeDepth | None = None,
) -> str:
    """Return the whole document.

    Args:
        record: The diagnosis, as returned by :meth:`nmfdiag.diagnosis.diagnose.Diagnosis.to_dict`.
        profile: Its curves.
        comparison: Its comparison with reference networks.
        class_names: Names by class, if known.
        suspects: Its section on samples whose label looks wrong; None for a report without one.
        depth: Where the given labels become readable; None where that was not measured.

    Returns:
        HTML that includes the plots, their script, style and data.
    """
    method = profile.main_method
    readings, phases = class_readings(profile, method), profile.phases(method)
    name = record["title"] or str(record["provenance"].get("network", "network"))
    by_method = {m: profile.auc_by_layer(m) for m in dict.fromkeys([method, *profile.methods])}
    layers = [layer for layer in profile.layers if any(layer in by_layer for by_layer in by_method.values())]
    least_linear = profile.lowest[0]
    curves = [m.curve for m in profile.measured if (m.curve.layer, m.curve.method) == (least_linear, method)]
    compared = comparison if comparison and comparison.place else None
    has_classes = any(m.class_idx is not None for m in profile.measured)
    spans = "; ".join(
        f"{phase.replace('_', ' ')}: {span(record['phases'][phase])}"
        for phase in ("feature_extraction", "memorisation", "clustering")
        if record["phases"][phase]
    )
    environment = Environment(
        loader=PackageLoader("nmfdiag.diagnosis", ""), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    answer_by_name = {key: Answer(**answer) for key, answer in record["answers"].items()}
    layers_plot = profile_figure(by_method, layers, phases, comparison, dip=dip_name(answer_by_name))
    error = ExpectedError(**record["expected_error"]) if record["expected_error"] else None
    has_answers = any(answer.text != NOT_MEASURED for answer in answer_by_name.values())
    return environment.get_template("report.html.j2").render(
        record=record,
        answers=_answer_sections(answer_by_name) if has_answers else [],
        expected_error=error_figure(error),
        trust=trust_text(),
        opinion=second_opinion_text(record["code"], comparison) if has_answers else "",
        labels_are_judged=has_answers and answer_by_name[LABELS].code != UNKNOWN,
        suspects=suspects,
        name=name,
        plotly_script=get_plotlyjs(),
        numeric_columns=_numeric_columns,
        profile_plot=_plot_html(probe_depth_figure(layers_plot, {UNKNOWN_NOISE: depth}, layers, line_name=lambda _: "this network, probe") if depth else layers_plot),
        phases=f"Phases by the paper's reading, {spans}. They are named after the shape of the curve, in a network that generalises, too." if spans else f"No clear phases: {phases.reason}.",
        layers_beside=layers_text(compared) if compared else "",
        reference_plot=_plot_html(reference_figure(compared, name)) if compared else "",
        certainty=[*certainty_sentences(compared), *compared.remarks] if compared else [],
        classes_plot=_plot_html(classes_figure(profile, method, list(by_method[method]), readings, class_names)) if has_classes else "",
        classes_summary=classes_text(readings, class_names),
        lowest_classes=[class_text(r, class_names) for r in readings[:MOST_SENTENCES] if is_lower(r)],
        class_table=_class_table(readings[:MOST_ROWS], class_names),
        classes_left_out=max(0, len(readings) - MOST_ROWS),
        curves_plot=_plot_html(curves_figure(curves, least_linear)),
        error_bars=error_bar_text(profile, method),
        layer_table=_layer_table(profile, method, comparison),
    )  # fmt: skip


def _answer_sections(answer_by_name: Mapping[str, Answer]) -> list[dict[str, Any]]:
    """Return question, figure, sentence, evidence and limits of each answer that is shown."""
    return [
        {"question": QUESTION_TEXTS[name], "figure": "" if name == WHERE else share_figure(answer), "answer": answer}
        for name, answer in answers_to_show(answer_by_name).items()
    ]


def _class_table(readings: Sequence[ClassReading], class_names: Sequence[str]) -> Table:
    has_intervals = any(r.auc.n > 1 for r in readings[:1])
    interval = ["± 95 %"] if has_intervals else []
    head = ["class", "name", "AuC", *interval, "to the mean", "lower at", "lowest at", "AuC there", "samples"]
    rows = [
        [
            str(r.class_idx),
            class_name(r.class_idx, class_names),
            f"{r.auc.mean:.3f}",
            *([f"{r.auc.half_width:.3f}" if r.auc.n > 1 else "–"] if has_intervals else []),
            f"{r.gap.mean:+.3f}".replace("-", "−"),
            f"{r.below} of {r.layers}",
            r.lowest[0],
            f"{r.lowest[1]:.3f}",
            str(r.n_samples),
        ]
        for r in readings
    ]
    return head, rows


def _layer_table(profile: LayerProfile, method: str, comparison: Comparison | None) -> Table:
    places = {place.layer: place for place in comparison.layers} if comparison else {}
    head = ["layer", "AuC", "± 95 %", "batches", *(["clean references", "random references"] if places else [])]
    rows = []
    for layer, auc in profile.auc_by_layer(method).items():
        place = places.get(layer)
        ranges = [f"{low:.2f} to {high:.2f}" for low, high in (place.clean, place.random)] if place else ["–", "–"]
        half_width = f"{auc.half_width:.3f}" if auc.n > 1 else "–"
        rows.append([layer, f"{auc.mean:.3f}", half_width, str(auc.n), *(ranges if places else [])])
    return head, rows


def _plot_html(figure: go.Figure) -> str:
    config = {"responsive": True, "displaylogo": False}
    html: str = to_html(look(figure), config=config, include_plotlyjs=False, full_html=False, validate=False)
    return html


def _numeric_columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bool]:
    """Return which columns hold numbers only, to be aligned right."""
    return [bool(rows) and all(NUMBER.fullmatch(str(row[i])) for row in rows) for i in range(len(head))]
