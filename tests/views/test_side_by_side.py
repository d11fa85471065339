"""A second network beside the first, on every page that draws networks of the zoo."""

import pytest
from headless_pages import plots, run_until, visit
from streamlit.testing.v1 import AppTest

from nmfdiag.views.selection import ALONE, EACH_CLASS, MULTI, Choice
from nmfdiag.zoo.registry import lookup

SECOND = "digits-mlp-p1-s1"
HEADINGS = ("digits · mlp · p = 0 · seed 0", "digits · mlp · p = 1 · seed 1")


def draw_both(page: str, **link: str) -> AppTest:
    app = visit(page, p=["0"], beside=SECOND, **link)
    return run_until(app, lambda app: sum("s of computing on" in caption.value for caption in app.caption) == 2)


def headings(app: AppTest) -> list[str]:
    return [markdown.value for markdown in app.markdown if markdown.value.startswith("**digits · mlp")]


@pytest.mark.parametrize("page", ["network", "curves", "phases", "classes", "reconstruction", "ablation", "support"])
def test_both_are_drawn(page: str) -> None:
    app = draw_both(page, batch="3") if page in ("ablation", "support") else draw_both(page)
    assert not app.exception and not app.error
    assert headings(app) == [f"**{text}**" for text in HEADINGS]
    figures = plots(app)
    assert len(figures) % 2 == 0 and len(figures) >= 2
    assert [tab.label for tab in app.tabs].count("How to read it") == 1
    assert any(f"beside {HEADINGS[1]}" in caption.value for caption in app.caption)
    assert f"beside={SECOND}" in next(code.value for code in app.code if "p=0" in code.value)


def test_the_right_one_shows_its_own_curves() -> None:
    left, right = plots(draw_both("curves", layer="fc1"))
    assert [[t["name"] for t in plot["data"] if t.get("mode") == "lines+markers"] for plot in (left, right)] == [
        ["p = 0"],
        ["p = 1"],
    ]
    assert left["data"] != right["data"]


def test_back_to_one_network() -> None:
    app = draw_both("curves")
    app.selectbox(key="beside").select(ALONE).run()
    assert not app.exception and len(plots(app)) == 1 and headings(app) == []


def test_the_counterpart_has_its_own_layer_class_and_methods() -> None:
    mlp, cnn, images = lookup("digits-mlp-p0-s0"), lookup("digits-cnn-p1-s0"), lookup("cifar10-cnn-p0-s0")
    choice = Choice((mlp,), "fc5", "3", ("nmf", "pca"), beside=cnn)
    counterpart = choice.counterpart
    assert counterpart is not None and counterpart.networks == (cnn,) and counterpart.batch == "3"
    assert counterpart.counterpart is None
    assert counterpart.layer == list(cnn.layers)[-1] and counterpart.methods == choice.methods
    assert counterpart.place and not choice.place
    same = Choice((cnn,), "conv1_2", MULTI, beside=images).counterpart
    assert same is not None and same.layer == "conv1_2" and same.batch == MULTI
    by_class = Choice((lookup("fashion_mnist-cnn-p0-s0"),), "conv1_1", "Sandal", beside=mlp).counterpart
    assert by_class is not None and by_class.batch == EACH_CLASS
