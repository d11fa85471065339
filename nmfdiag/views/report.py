"""A diagnosis as one HTML file that needs no network and can be printed."""

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from nmfdiag.measures.reading import span
from nmfdiag.views.diagnosis import Diagnosis
from nmfdiag.views.report_figures import classes_figure, curves_figure, profile_figure

STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 "Source Sans 3", "Source Sans Pro", system-ui, sans-serif; color: #20282b; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.75rem; margin: 0 } h2 { font-size: 1.2rem; margin: 2rem 0 .4rem }
p.answer { font-weight: 600; font-size: 1.1rem } .small { color: #56616e; font-size: .9rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
td, th { border-bottom: 1px solid #d9dfe1; padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; overflow-wrap: anywhere }
td.number { text-align: right }
@media print { body { margin: 0; max-width: none } .plot { break-inside: avoid } }
"""

HOW_TO_READ = """
Each layer's activations on a batch of training samples of one given label are replaced by an approximation of rank k
(non-negative matrix factorisation), and the rest of the network runs on. <b>AuC</b> is the area under accuracy over k, from 0 to 1.
<b>Low</b>: the layer needs many directions for samples of one class, it holds them one by one. <b>High</b>: few directions carry the
class. A network that generalises has high AuC in its deep layers; one that memorises has not. First layers are low-level in any
network. No validation set is used. Method: Collins, Bigdeli, Süsstrunk, <i>Detecting Memorization in ReLU Networks</i>, 2018.
"""


def report_html(diagnosis: Diagnosis, title: str = "") -> str:
    """The whole document.

    Args:
        diagnosis: What it is about.
        title: What the network is called; default its type.

    Returns:
        HTML with plots, their script, style and data inside.
    """
    name = title or str(diagnosis.provenance.get("network", "network"))
    profile, method = diagnosis.profile, diagnosis.method
    methods = list(dict.fromkeys(m.curve.method for m in profile.measured))
    by_method = {m: profile.auc_by_layer(m) for m in methods}
    layers = list(by_method[method])
    lowest, _ = diagnosis.lowest
    curves = [m.curve for m in profile.measured if m.curve.layer == lowest and m.curve.method == method]
    figures = [profile_figure(_escaped(by_method), [escape(layer) for layer in layers], diagnosis.phases)]
    if any(m.class_idx is not None for m in profile.measured):
        figures.append(classes_figure(profile, method, layers))
    figures.append(curves_figure(curves, escape(lowest)))
    found = diagnosis.phases
    parts = (
        ("feature extraction", found.feature_extraction), ("memorisation", found.memorisation), ("clustering", found.clustering)
    )  # fmt: skip
    phases = "; ".join(f"{words}: {span(part)}" for words, part in parts if part) or f"No clear phases: {found.reason}."
    rows = [
        [layer, f"{s.mean:.3f}", f"{1.96 * s.sem:.3f}" if s.n > 1 else "–", str(s.n)]
        for layer, s in by_method[method].items()
    ]
    skipped = [[what, why] for what, why in profile.skipped.items()]
    body = [
        "<h1>Is this network memorising?</h1>",
        f'<p class="small">{escape(name)} · {escape(str(diagnosis.provenance.get("date", "")))}</p>',
        f'<p class="answer">{escape(diagnosis.verdict)}</p>',
        *(f"<p>{escape(remark)}</p>" for remark in diagnosis.remarks),
        f'<div class="plot">{_plot(figures[0])}</div>',
        f"<p>{escape(phases)}</p>",
        *(f'<div class="plot">{_plot(figure)}</div>' for figure in figures[1:]),
        "<h2>How to read it</h2>", f"<p>{HOW_TO_READ}</p>",
        "<h2>Layers</h2>", _table(["layer", "AuC", "± 95 %", "batches"], rows),
        *(["<h2>Left out</h2>", _table(["what", "why"], skipped)] if skipped else []),
        "<h2>Provenance</h2>", _table(["what", "value"], [[k, str(v)] for k, v in diagnosis.provenance.items()]),
    ]  # fmt: skip
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>nmfdiag: {escape(name)}</title>'
        f"<style>{STYLE}</style><script>{get_plotlyjs()}</script></head><body>{''.join(body)}</body></html>\n"
    )


def _escaped(by_method: Mapping[str, Mapping]) -> dict[str, dict]:
    return {method: {escape(layer): s for layer, s in by_layer.items()} for method, by_layer in by_method.items()}


def _plot(figure: go.Figure) -> str:
    return figure.update_layout(template="plotly_white").to_html(include_plotlyjs=False, full_html=False)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(
        "<tr>" + "".join(f"<td{_numeric(cell)}>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{''.join(f'<th>{escape(words)}</th>' for words in head)}</tr>{cells}</table>"


def _numeric(cell: str) -> str:
    return ' class="number"' if cell.replace(".", "", 1).isdigit() else ""
