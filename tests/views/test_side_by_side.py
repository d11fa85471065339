"""A second network compared with the first, on every page that draws networks of the zoo: in the same plots, or side by side."""

from typing import Any

import pytest
from headless_pages import SMALL, open_page, plots, run_until, visit
from streamlit.testing.v1 import AppTest

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import compute
from nmfdiag.jobs.requests import CurveRequest
from nmfdiag.views.selection import ALONE, EACH_CLASS, MULTI, Choice
from nmfdiag.zoo.registry import lookup

SECOND = "digits-mlp-p1-s1"
HEADINGS = ("digits · mlp · p = 0 · seed 0", "digits · mlp · p = 1 · seed 1")


TOGETHER = ("network", "curves", "phases", "reconstruction")


def draw_both(page: str, **link: str) -> AppTest:
    app, n_progress = visit(page, p=["0"], beside=SECOND, **link), 1 if page in TOGETHER else 2
    return run_until(
        app, lambda app: sum("s of computing on" in caption.value for caption in app.caption) == n_progress
    )


def headings(app: AppTest) -> list[str]:
    return [markdown.value for markdown in app.markdown if markdown.value.startswith("**digits · mlp")]


def lines(plot: dict[str, Any]) -> list[str]:
    return [t["name"] for t in plot["data"] if t.get("mode") == "lines+markers" and t.get("yaxis", "y") == "y"]


@pytest.mark.parametrize("page", ["classes", "ablation", "support"])
def test_both_are_drawn_side_by_side(page: str) -> None:
    app = draw_both(page, batch="3") if page != "classes" else draw_both(page)
    assert not app.exception and not app.error
    assert headings(app) == [f"**{text}**" for text in HEADINGS]
    figures = plots(app)
    assert len(figures) % 2 == 0 and len(figures) >= 2
    assert_equal_axes(figures)
    assert [tab.label for tab in app.tabs].count("How to read it") == 1
    check_address(app)


def assert_equal_axes(figures: list[dict[str, Any]]) -> None:
    """Assert that the two columns have equal colour scales, and equal ranges of equal quantities."""
    n = len(figures) // 2
    for first, second in zip(figures[:n], figures[n:], strict=True):
        assert {t["type"] for t in first["data"]} == {t["type"] for t in second["data"]}
        for axis in ("xaxis", "yaxis"):
            left, right = first["layout"][axis], second["layout"][axis]
            if left["title"]["text"] == right["title"]["text"]:
                assert left["range"] == right["range"]
        scales = [
            {(t.get("zmin"), t.get("zmax")) for t in f["data"] if t["type"] == "heatmap"} for f in (first, second)
        ]
        assert scales[0] == scales[1]


@pytest.mark.parametrize("page", TOGETHER)
def test_both_are_drawn_into_the_same_plots(page: str) -> None:
    app = draw_both(page)
    assert not app.exception and not app.error and headings(app) == []
    figures = plots(app)
    assert len(figures) == (2 if page == "reconstruction" else 1)
    for figure in figures:
        assert lines(figure) == ["digits mlp seed 0 p = 0", "digits mlp seed 1 p = 1"]
    assert [tab.label for tab in app.tabs] == ["How to read it", "Table", "Settings and provenance"]
    assert list(app.dataframe[0].value["network"].unique()) == ["digits mlp seed 0", "digits mlp seed 1"]
    assert "digits-mlp-p0-s0, digits-mlp-p1-s1" in app.dataframe[1].value["value"].tolist()
    assert any("They differ in p and seed.**" in markdown.value for markdown in app.markdown)
    check_address(app)


def check_address(app: AppTest) -> None:
    assert any(f"beside {HEADINGS[1]}" in caption.value for caption in app.caption)
    assert f"beside={SECOND}" in next(code.value for code in app.code if "p=0" in code.value)


def test_cards_of_both() -> None:
    app = draw_both("network")
    cards = [m.value for m in app.markdown if m.value.startswith("digits mlp seed")]
    assert [card.split("\n")[0] for card in cards] == [
        "digits mlp seed 0 p = 0 · clean labels", "digits mlp seed 1 p = 1 · random labels",
    ]  # fmt: skip


def test_each_network_has_its_own_curve() -> None:
    (plot,) = plots(draw_both("curves", layer="fc1"))
    (alone,) = plots(visit("curves", p=["1"], seed="1", layer="fc1"))
    first, second = [t for t in plot["data"] if t.get("mode") == "lines+markers"]
    (expected,) = [t for t in alone["data"] if t.get("mode") == "lines+markers"]
    assert second["y"] == expected["y"] != first["y"] and second["x"] == expected["x"]
    assert (second["line"]["dash"], expected["line"]["dash"]) == ("12px,4px", "solid")


def test_no_verdict_on_two_networks_before_the_last_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(request: CurveRequest, **options: Any) -> Any:
        if request.entry == SECOND:
            raise NmfdiagError("It fails.")
        return real(request, **options)

    real = compute.compute
    monkeypatch.setattr(compute, "compute", failing)
    link = {**SMALL, "p": ["0"], "n": "30", "batch": "4", "layer": "fc2", "beside": SECOND}  # of no other test
    app = run_until(open_page("curves", **link), lambda app: app.error)
    assert not app.exception and lines(plots(app)[0]) == ["digits mlp seed 0 p = 0"]
    text = "**NMF: digits mlp seed 0 p = 0 and digits mlp seed 1 p = 1: not known yet.**"
    assert any(markdown.value.startswith(text) for markdown in app.markdown)


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
