"""A second network beside the first, on every page that shows networks of the zoo."""

import pytest
from headless_pages import plots, run_until, visit
from streamlit.testing.v1 import AppTest

from nmfdiag.views.selection import ALONE, EACH_CLASS, MULTI, Choice
from nmfdiag.zoo.registry import lookup

OTHER = "digits-mlp-p1-s1"
SAID = ("digits · mlp · p = 0 · seed 0", "digits · mlp · p = 1 · seed 1")


def both(page: str, **link: str) -> AppTest:
    app = visit(page, p=["0"], beside=OTHER, **link)
    return run_until(app, lambda app: sum("s of computing on" in caption.value for caption in app.caption) == 2)


def headings(app: AppTest) -> list[str]:
    return [each.value for each in app.markdown if each.value.startswith("**digits · mlp")]


@pytest.mark.parametrize("page", ["overview", "curves", "phases", "classes", "reconstruction", "ablation", "support"])
def test_both_are_drawn(page: str) -> None:
    app = both(page, batch="3") if page in ("ablation", "support") else both(page)
    assert not app.exception and not app.error
    assert headings(app) == [f"**{words}**" for words in SAID]
    drawn = plots(app)
    assert len(drawn) % 2 == 0 and len(drawn) >= 2
    assert [tab.label for tab in app.tabs].count("How to read it") == 1
    assert any(f"beside {SAID[1]}" in caption.value for caption in app.caption)
    assert f"beside={OTHER}" in next(code.value for code in app.code if "p=0" in code.value)


def test_the_right_one_shows_its_own_curves() -> None:
    left, right = plots(both("curves", layer="fc1"))
    assert [[t["name"] for t in plot["data"] if t.get("mode") == "lines+markers"] for plot in (left, right)] == [
        ["p = 0"],
        ["p = 1"],
    ]
    assert left["data"] != right["data"]


def test_alone_again() -> None:
    app = both("curves")
    app.selectbox(key="beside").select(ALONE).run()
    assert not app.exception and len(plots(app)) == 1 and headings(app) == []


def test_the_same_question_is_asked_in_its_own_terms() -> None:
    mlp, cnn, images = lookup("digits-mlp-p0-s0"), lookup("digits-cnn-p1-s0"), lookup("cifar10-cnn-p0-s0")
    asked = Choice((mlp,), "fc5", "3", ("nmf", "pca"), beside=cnn)
    other = asked.other
    assert other is not None and other.networks == (cnn,) and other.batch == "3" and other.other is None
    assert other.layer == list(cnn.layers)[-1] and other.methods == asked.methods
    assert other.place and not asked.place
    same = Choice((cnn,), "conv1_2", MULTI, beside=images).other
    assert same is not None and same.layer == "conv1_2" and same.batch == MULTI
    named = Choice((lookup("fashion_mnist-cnn-p0-s0"),), "conv1_1", "Sandal", beside=mlp).other
    assert named is not None and named.batch == EACH_CLASS
