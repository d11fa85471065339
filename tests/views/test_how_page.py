"""The page *How it works*: picture, curve and sentences are of the chosen layer, and k changes the sentence."""

from typing import Any

import pytest
from headless_pages import open_page, plots, settled
from streamlit.testing.v1 import AppTest

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.views.how import answer, area_figure, curve_table, rank_text


def curve(accuracy: list[float], n: int = 20) -> CompressionCurve:
    ranks = [1, 2, 4]
    return CompressionCurve(
        "fc1", "nmf", ranks, accuracy, [0.5, 0.25, 0.0], [5.0, 2.5, 0.0], [True] * 3, 1.0, 0.0, 0.0, 4, (20, 8), n
    )


def visit(**link: Any) -> AppTest:
    return settled(open_page("how", **{"arch": "mlp", "p": ["0", "0.4", "1"], "n": "10", "layer": "fc1", **link}))


def test_the_page_shows_the_layer_and_moves_with_k() -> None:
    app = visit(batch="3")
    assert not app.exception and not app.error
    assert any("p = 0, 1" in c.value and "class 3, 10 samples" in c.value for c in app.caption)
    support, area = plots(app)
    assert len([t for t in support["data"] if t["type"] == "heatmap"]) == 2
    assert [t["name"].split(":")[0] for t in area["data"]] == ["p = 0", "p = 1"]
    sentences = [m.value for m in app.markdown]
    assert any(text.startswith("With k = 4 of ") for text in sentences)
    assert any(text.startswith("**fc1 has AuC ") for text in sentences)
    app = visit(batch="3", kept="1")
    assert any(m.value.startswith("With k = 1 of ") for m in app.markdown)


@pytest.mark.parametrize(
    ("clean", "noisy", "text"),
    [
        ([1.0, 1.0, 1.0], [0.0, 0.5, 1.0], "needs more directions at p = 1"),
        ([0.0, 0.5, 1.0], [1.0, 1.0, 1.0], "needs more directions at p = 0"),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], "does not tell them apart"),
    ],
)
def test_the_answer_says_which_network_needs_more(clean: list[float], noisy: list[float], text: str) -> None:
    assert text in answer({0.0: curve(clean), 1.0: curve(noisy)}, "fc1", "linear")


def test_one_network_alone_and_numbers_are_the_curves() -> None:
    single = {0.4: curve([0.0, 0.5, 1.0])}
    assert answer(single, "fc1", "linear") == "fc1 has AuC 0.58 at p = 0.4 on this class."
    assert rank_text(single, 2) == (
        "With k = 2 of 4 directions the p = 0.4 network gets 50% of the samples right (error of A 25%)."
    )
    assert "gets 50%" in rank_text(single, 3)  # the largest computed rank that does not exceed it
    assert curve_table(single)["accuracy"].tolist() == [0.0, 0.5, 1.0]
    figure = area_figure(single, layer="fc1", batch="class 3", axis="linear", k=2)
    assert figure.data[0].name == "p = 0.4: AuC 0.58" and figure.layout.shapes[0].x0 == 2
