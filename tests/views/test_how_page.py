"""The page *How it works*: picture, curve and sentences are of the chosen layer, and k changes the sentence."""

from typing import Any

import pytest
from headless_pages import SMALL, open_page, plots, run_until, settled
from streamlit.testing.v1 import AppTest

from nmfdiag.data.batch_rows import rows_of_class
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.text import percent
from nmfdiag.views.how import accuracy_at, answer, area_figure, auc_text, curve_table, sample_strip
from nmfdiag.zoo.pool_rows import given_labels
from nmfdiag.zoo.registry import lookup


def curve(accuracy: list[float], n: int = 20) -> CompressionCurve:
    ranks = [1, 2, 4]
    return CompressionCurve(
        "fc1", "nmf", ranks, accuracy, [0.5, 0.25, 0.0], [5.0, 2.5, 0.0], [True] * 3, 1.0, 0.0, 0.0, 4, (20, 8), n
    )


def visit(**link: Any) -> AppTest:
    return settled(open_page("how", **{"arch": "mlp", "p": ["0", "0.4", "1"], "n": "10", "layer": "fc1", **link}))


def n_heatmaps(app: AppTest) -> int:
    return sum(trace["type"] == "heatmap" for trace in plots(app)[-1]["data"])


def test_the_page_shows_the_layer_and_moves_with_k() -> None:
    app = open_page("how", **{**SMALL, "batch": "6", "seed": "1"})  # of no other test
    assert n_heatmaps(app) == 0
    app = run_until(visit(batch="3"), lambda app: n_heatmaps(app) == 2)
    assert not app.exception and not app.error
    assert any("p = 0, 1" in c.value and "class 3, 10 samples" in c.value for c in app.caption)
    area, _ = plots(app)
    assert [t["name"].split(":")[0] for t in area["data"]] == ["clean labels", "random labels"]
    assert app.markdown[0].value.startswith("**With 4 of ")
    app = visit(batch="3", kept="1")
    assert app.markdown[0].value.startswith("**With 1 of ")


def test_terms_come_one_at_a_time_each_before_it_is_used() -> None:
    text = "\n".join(m.value for m in visit(batch="3").markdown)
    defined = [text.index(term) for term in ("A **layer**", "only **k**", "**AuC** is", "**p** is", "A **rectangle**")]
    assert defined == sorted(defined)
    assert "AuC" not in text[: text.index("#### AuC")] and "p =" not in text[: text.index("**p** is")]


def test_the_samples_are_those_of_the_probe_batch() -> None:
    import torch

    from nmfdiag.data.probe import single_class_batch

    for name in ("digits-mlp-p0-s0", "digits-mlp-p1-s0"):
        entry = lookup(name)
        pool = entry.load_pool()
        batch = single_class_batch(pool.inputs, pool.given_labels, 3, size=10)
        assert rows_of_class(given_labels(entry), 3, 10).tolist() == batch.index.tolist()
        assert torch.equal(pool.given_labels[batch.index], torch.full((10,), 3))
    strip = sample_strip(lookup("digits-mlp-p1-s0"), 3, 10, 0.25)
    assert strip.count("<img ") == 10 and "width:25.0%" in strip and "10 training samples labelled 3" in strip


@pytest.mark.parametrize(
    ("clean", "noisy", "text"),
    [
        ([1.0, 1.0, 1.0], [0.0, 0.5, 1.0], "fc1 has AuC 0.58 with random labels, against 1.00 with clean labels"),
        ([0.0, 0.5, 1.0], [1.0, 1.0, 1.0], "fc1 has AuC 0.58 with clean labels, against 1.00 with random labels"),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], "No difference at fc1"),
    ],
)
def test_it_says_which_network_needs_more(clean: list[float], noisy: list[float], text: str) -> None:
    curves = {0.0: curve(clean), 1.0: curve(noisy)}
    assert text in auc_text(curves, "fc1", "linear")
    shares = [f"{percent(values[0])}" for values in (clean, noisy)]
    assert answer(curves, "fc1", 1) == (
        f"With 1 of 4 directions at fc1, {shares[0]} of these samples stay right with clean labels and {shares[1]} with random labels."
    )


def test_one_network_alone_and_numbers_are_the_curves() -> None:
    single = {0.4: curve([0.0, 0.5, 1.0])}
    assert auc_text(single, "fc1", "linear") == "fc1 has AuC 0.58 on this class."
    assert answer(single, "fc1", 2) == (
        "With 2 of 4 directions at fc1, 50 % of these samples stay right with 40 % random labels."
    )
    assert accuracy_at(single[0.4], 3) == 0.5  # the largest computed rank that does not exceed it
    assert curve_table(single)["accuracy"].tolist() == [0.0, 0.5, 1.0]
    figure = area_figure(single, layer="fc1", batch="class 3", axis="linear", k=2)
    assert figure.data[0].name == "40 % random labels: AuC 0.58" and figure.layout.shapes[0].x0 == 2
