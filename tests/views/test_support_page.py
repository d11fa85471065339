"""The page *Support* without a browser: its answer, links, and explanations of dead and failing layers."""

from typing import Any

import pytest
from headless_pages import open_page, plots, settled
from streamlit.testing.v1 import AppTest

SMALL = {"arch": "mlp", "p": ["0", "0.4", "1"], "n": "10", "layer": "fc4", "rows": "40"}


def visit(**link: str | list[str]) -> AppTest:
    return settled(open_page("support", **{**SMALL, **link}))


def test_it_answers_and_draws() -> None:
    app = visit()
    assert not app.exception and not app.error and not app.info
    assert app.title[0].value == "How linear is fc4 on one class?"
    assert any("single-class" not in c.value and "class 0, 10 samples" in c.value for c in app.caption)
    assert any(m.value.startswith(("**No difference: ", "**At fc4, one class takes ")) for m in app.markdown)
    picture, growth = plots(app)
    assert len([t for t in picture["data"] if t["type"] == "heatmap"]) == 2  # the least and the most noisy
    lines = {t["name"]: t for t in growth["data"] if t.get("mode") == "lines+markers" and "lower" not in t["name"]}
    assert set(lines) == {"p = 0", "p = 0.4", "p = 1"} and all(len(t["x"]) == 5 for t in lines.values())
    assert any("distinct supports in 10 rows" in c.value for c in app.caption)
    assert [tab.label for tab in app.tabs] == ["How to read it", "Table", "Settings and provenance"]
    assert "Measure again" not in [button.label for button in app.button]  # the answer would be the same


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    app = open_page("support", **{**SMALL, "rows": "80"})
    assert not app.exception and not plots(app) and "Measure" in [button.label for button in app.button]
    assert any(c.value.startswith("Not measured here yet: 15 supports, about ") for c in app.caption)


def test_a_link_sets_every_choice_and_the_paper_is_a_click_away() -> None:
    app = visit(order="rectangles", part="half", batch="multi-class", p="1")
    assert app.title[0].value == "How linear is fc4 on a multi-class batch?" and not app.info
    assert "half" in plots(app)[1]["layout"]["yaxis"]["title"]["text"]
    app = next(button for button in app.button if button.label == "As in the paper").click().run()
    app = settled(app)
    assert "all" in plots(app)[1]["layout"]["yaxis"]["title"]["text"] and not app.exception


def test_an_unknown_choice_in_a_link_is_reported() -> None:
    app = visit(order="alphabet", part="most", rows="7", layer="conv9", p="0")
    assert not app.exception and plots(app)
    assert [message.value.rsplit(". ", 2 if "Showing" in message.value else 1)[0] for message in app.info] == [
        'No layer "conv9"',
        'No rows and columns ordered by "alphabet"',
        'No rectangles by layer cover "most"',
        'No distinct rows at most "7"',
    ]


def test_a_dead_layer_is_shown_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    from nmfdiag.jobs import cover_support

    real = cover_support.support_cover
    monkeypatch.setattr(cover_support, "support_cover", lambda A, **options: real(A * 0, **options))
    app = visit(seed="1", p="0.8")
    assert not app.exception and not app.error
    assert any("dead, no channel is positive" in m.value for m in app.markdown)
    assert len(plots(app)) == 2


def test_a_failing_layer_is_explained_and_the_rest_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    from nmfdiag.errors import NmfdiagError
    from nmfdiag.jobs import cover_support

    real = cover_support.cover

    def failing(request: Any, **options: Any) -> Any:
        if request.layer == "fc4":
            raise NmfdiagError("Class 0 has 1 samples with that given label: a probe batch needs at least 2.")
        return real(request, **options)

    monkeypatch.setattr(cover_support, "cover", failing)
    app = visit(seed="1", p="0.6")
    assert [e.value for e in app.error] == [
        "Class 0 has 1 samples with that given label: a probe batch needs at least 2."
    ]
    assert not app.exception and len(plots(app)) == 1  # the other layers
