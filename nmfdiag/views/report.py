"""A diagnosis as one HTML file that needs no network and can be printed."""

import re
from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from nmfdiag.measures.reading import span
from nmfdiag.views.diagnosis import Diagnosis
from nmfdiag.views.diagnosis_words import class_name, class_words, classes_words, error_bar_words, is_lower
from nmfdiag.views.reference_words import layers_words, sure_words
from nmfdiag.views.report_figures import classes_figure, curves_figure, profile_figure, reference_figure

MOST_ROWS, MOST_SENTENCES = 60, 3
NUMBER = re.compile(r"[+−-]?[\d.,]+( ± [\d.,]+)?%?|–")
STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 "Source Sans 3", "Source Sans Pro", system-ui, sans-serif; color: #20282b; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 } h2 { font-size: 1.2rem; margin: 2rem 0 .4rem; break-after: avoid }
h1, h2, p, li { overflow-wrap: anywhere }
p.answer { font-weight: 500; font-size: 1.15rem } .small { color: #56616e; font-size: .9rem }
ul { padding-left: 1.2rem } li { margin: .2rem 0 }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; font-size: .9rem }
td, th { border-bottom: 1px solid #d9dfe1; padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; overflow-wrap: anywhere }
.number { text-align: right; white-space: nowrap }
@page { margin: 15mm }
@media print {
  body { margin: 0; max-width: none; padding: 0; font-size: 11pt; -webkit-print-color-adjust: exact; print-color-adjust: exact }
  .plot, tr, li { break-inside: avoid } .wide { overflow: visible } .modebar { display: none }
}
"""
PRINT = """
<script>
const plots = () => document.querySelectorAll('.plotly-graph-div');
addEventListener('beforeprint', () => plots().forEach(plot => Plotly.relayout(plot, {autosize: false, width: 660})));
addEventListener('afterprint', () => plots().forEach(plot => Plotly.relayout(plot, {autosize: true, width: null})));
</script>
"""
"""A printed page is narrower than a window: plots are drawn anew for it."""

HOW_TO_READ = """
Each layer's activations on a batch of training samples of one given label are replaced by an approximation of rank k
(non-negative matrix factorisation), and the rest of the network runs on. <b>AuC</b> is the area under accuracy over k, from 0 to 1.
<b>Low</b>: the layer needs many directions for samples of one class, it holds them one by one. <b>High</b>: few directions carry the
class. A network that generalises has high AuC in its deep layers; one that memorises has not. First layers are low-level in any
network. No validation set is used. Method: Collins, Bigdeli, Süsstrunk, <i>Detecting Memorization in ReLU Networks</i>, 2018.
"""
HOW_TO_READ_REFERENCES = """
References are networks that this project trained itself until they fit their labels, of which a share p had been replaced by random
ones: p = 0 is clean, at p = 1 nothing but memorising fits. The shaded bands reach from the lowest to the highest of them at the same
relative depth. They are small networks of ten classes: another architecture, data set or training may move AuC without any
memorising.
"""


def report_html(diagnosis: Diagnosis, title: str = "") -> str:
    """The whole document.

    Args:
        diagnosis: What it is about.
        title: What the network is called; default is the diagnosis's own title.

    Returns:
        HTML with plots, their script, style and data inside.
    """
    name = title or diagnosis.name
    body = [
        "<h1>Is this network memorising?</h1>",
        f'<p class="small">{escape(name)} · {escape(str(diagnosis.provenance.get("date", "")))}</p>',
        f'<p class="answer">{escape(diagnosis.verdict)}</p>',
        _list(diagnosis.remarks),
        *_layers(diagnosis),
        *_references(diagnosis, name),
        *_classes(diagnosis),
        "<h2>Accuracy over rank</h2>",
        _curves(diagnosis),
        "<h2>How to read it</h2>",
        f"<p>{HOW_TO_READ}</p>",
        f"<p>{escape(error_bar_words(diagnosis.profile, diagnosis.method))}</p>",
        "<h2>Layers</h2>",
        _layer_table(diagnosis),
        *_left_out(diagnosis),
        "<h2>Provenance</h2>",
        _table(["what", "value"], [[key, str(value)] for key, value in diagnosis.provenance.items()]),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>nmfdiag: {escape(name)}</title><style>{STYLE}</style><script>{get_plotlyjs()}</script></head>"
        f"<body>{''.join(body)}{PRINT}</body></html>\n"
    )


def _layers(diagnosis: Diagnosis) -> list[str]:
    """AuC by layer, and the phases."""
    profile = diagnosis.profile
    methods = list(dict.fromkeys([diagnosis.method, *(m.curve.method for m in profile.measured)]))
    by_method = {method: profile.auc_by_layer(method) for method in methods}
    layers = [layer for layer in profile.layers if any(layer in at for at in by_method.values())]
    found = diagnosis.phases
    named = (
        ("feature extraction", found.feature_extraction), ("memorisation", found.memorisation), ("clustering", found.clustering)
    )  # fmt: skip
    spans = "; ".join(f"{words}: {span(part)}" for words, part in named if part)
    phases = f"Phases by the paper's reading, {spans}." if spans else f"No clear phases: {found.reason}."
    return [_plot(profile_figure(by_method, layers, found, diagnosis.comparison)), f"<p>{escape(phases)}</p>"]


def _references(diagnosis: Diagnosis, name: str) -> list[str]:
    """Where it lies among networks whose p is known, or why that can't be said."""
    comparison = diagnosis.comparison
    if comparison is None:
        return []
    heading = "<h2>Beside networks whose labels are known</h2>"
    if comparison.place is None:
        return [heading, f"<p>Not compared. {escape(comparison.reason)}</p>"]
    return [
        heading,
        f"<p>{escape(layers_words(comparison))}</p>",
        _plot(reference_figure(comparison, name)),
        f"<p>{HOW_TO_READ_REFERENCES}</p>",
        "<p>How sure it is:</p>",
        _list([*sure_words(comparison), *comparison.remarks]),
    ]


def _classes(diagnosis: Diagnosis) -> list[str]:
    """Which classes are memorised most."""
    profile, readings, names = diagnosis.profile, diagnosis.classes, diagnosis.class_names
    if all(m.class_idx is None for m in profile.measured):
        return []
    layers = list(profile.auc_by_layer(diagnosis.method))
    plot = _plot(classes_figure(profile, diagnosis.method, layers, readings, names))
    if not readings:
        return ["<h2>Classes</h2>", "<p>No layer tells the classes apart.</p>", plot]
    drawn = readings[0].auc.n > 1
    head = [
        "class",
        "name",
        "AuC",
        *(["± 95 %"] if drawn else []),
        "to the mean",
        "lower at",
        "lowest at",
        "AuC there",
        "samples",
    ]
    rows = [
        [
            str(r.class_idx),
            class_name(r.class_idx, names),
            f"{r.auc.mean:.3f}",
            *([f"{r.auc.half_width:.3f}" if r.auc.n > 1 else "–"] if drawn else []),
            f"{r.gap.mean:+.3f}".replace("-", "−"),
            f"{r.below} of {r.layers}",
            r.lowest[0],
            f"{r.lowest[1]:.3f}",
            str(r.n_samples),
        ]
        for r in readings[:MOST_ROWS]
    ]
    left = [f"<p>{len(readings) - MOST_ROWS} more classes are in the JSON.</p>"] if len(readings) > MOST_ROWS else []
    lowest = [class_words(r, names) for r in readings[:MOST_SENTENCES] if is_lower(r)]
    return [
        "<h2>Which classes are memorised most?</h2>",
        f"<p>{escape(classes_words(readings, names))}</p>",
        _list(lowest),
        plot,
        _table(head, rows),
        *left,
    ]


def _curves(diagnosis: Diagnosis) -> str:
    """Accuracy over rank at the least linear layer."""
    layer, _ = diagnosis.lowest
    at = (layer, diagnosis.method)
    return _plot(
        curves_figure([m.curve for m in diagnosis.profile.measured if (m.curve.layer, m.curve.method) == at], layer)
    )


def _layer_table(diagnosis: Diagnosis) -> str:
    comparison = diagnosis.comparison
    beside = {at.layer: at for at in comparison.layers} if comparison else {}
    head = ["layer", "AuC", "± 95 %", "batches", *(["clean references", "random references"] if beside else [])]
    rows = []
    for layer, s in diagnosis.profile.auc_by_layer(diagnosis.method).items():
        at = beside.get(layer)
        ranges = [f"{low:.2f} to {high:.2f}" for low, high in (at.clean, at.random)] if at else ["–", "–"]
        rows.append(
            [layer, f"{s.mean:.3f}", f"{s.half_width:.3f}" if s.n > 1 else "–", str(s.n), *(ranges if beside else [])]
        )
    return _table(head, rows)


def _left_out(diagnosis: Diagnosis) -> list[str]:
    skipped = [[what, why] for what, why in diagnosis.profile.skipped.items()]
    return ["<h2>Left out</h2>", _table(["what", "why"], skipped)] if skipped else []


def _plot(figure: go.Figure) -> str:
    html = figure.update_layout(template="plotly_white").to_html(
        include_plotlyjs=False, full_html=False, config={"responsive": True, "displaylogo": False}
    )
    return f'<div class="plot">{html}</div>'


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(words)}</li>' for words in sentences)}</ul>" if sentences else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; columns of numbers are aligned right."""
    numeric = [bool(rows) and all(NUMBER.fullmatch(row[i]) for row in rows) for i in range(len(head))]
    marks = [' class="number"' if number else "" for number in numeric]
    top = "".join(f"<th{mark}>{escape(words)}</th>" for words, mark in zip(head, marks, strict=True))
    cells = "".join(
        "<tr>" + "".join(f"<td{mark}>{escape(cell)}</td>" for cell, mark in zip(row, marks, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{cells}</tbody></table></div>'
