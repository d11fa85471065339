"""The page *Classes* without a browser: its answer, the sidebar's batch, and explanations of gaps."""

import pytest
from headless_pages import open_page, plots, settled
from streamlit.testing.v1 import AppTest

SMALL = {"arch": "mlp", "p": ["0", "1"], "n": "10", "grid": "coarse", "layer": "fc1"}


def opened(**link: str | list[str]) -> AppTest:
    return open_page("classes", **{**SMALL, **link})


def titles(app: AppTest) -> list[str]:
    figures = [plot["layout"]["title"] for plot in plots(app)]
    return [f"{title['text']}, {title.get('subtitle', {}).get('text')}" for title in figures]


def test_it_answers_and_draws_the_map_the_curves_and_the_scatter() -> None:
    app = settled(opened())
    assert app.title[0].value == "Which classes are memorised?" and not app.exception and not app.error and not app.info
    answer = next(m.value for m in app.markdown if m.value.startswith("**Class "))
    assert "at fc1 with random labels (p = 1): AuC " in answer.replace("\\", "") and "p = 1" in titles(app)[0]
    lowest = answer.split()[1]
    frame = plots(app)[0]["layout"]["shapes"][0]
    assert (frame["x0"], frame["y0"]) == (-0.5, int(lowest) - 0.5) and f"class {lowest}" in titles(app)[1]  # one cell
    assert any(m.value.startswith("At fc1 ") for m in app.markdown)
    heat_map, curves, scatter = plots(app)
    assert heat_map["data"][0]["type"] == "heatmap" and len(heat_map["data"][0]["z"]) == 10
    lines = [t["name"] for t in curves["data"] if t.get("mode") == "lines+markers"]
    assert lines == ["p = 0", "p = 1"]
    assert [t["name"].split(":")[0] for t in scatter["data"]][:2] == ["p = 0", "p = 1"]
    assert scatter["layout"]["title"]["subtitle"]["text"].startswith("pooled within p")
    assert [tab.label for tab in app.tabs] == ["How to read it", "Table", "Settings and provenance"]
    assert f"10 training samples labelled {lowest}, with random labels (p = 1)." in [c.value for c in app.caption]
    app.segmented_control(key="map").set_value("0").run()
    assert any("with clean labels" in m.value for m in app.markdown) and "p = 0" in titles(app)[0]


def test_the_sidebars_class_is_the_one_whose_curves_are_drawn() -> None:
    app = settled(opened(batch="7"))
    assert "class 7" in titles(app)[1] and "single-class batches of 10" in titles(app)[0]
    assert "class" not in {box.key for box in app.selectbox} and not app.info
    app.selectbox(key="batch").select("each class").run()
    app.selectbox(key="class").select("4").run()
    assert not app.exception and "class 4" in titles(app)[1]


def test_a_multi_class_batch_is_replaced_with_a_note() -> None:
    app = settled(opened(batch="multi-class"))
    assert "instead of the multi-class batch" in app.info[0].value and len(plots(app)) == 3
    assert any("single-class batches of 10" in caption.value for caption in app.caption)


def test_an_unknown_choice_in_a_link_is_reported() -> None:
    app = settled(opened(map="0.7", **{"class": "cat"}))
    assert [message.value.rsplit(". ", 2 if "Showing" in message.value else 1)[0] for message in app.info] == [
        'No map of p "0.7"',
        'No curves of class "cat"',
    ]
    assert len(plots(app)) == 3 and not app.exception


def test_a_saturated_layer_of_one_network_has_no_correlation() -> None:
    app = settled(opened(p=["0"], layer="fc5"))
    [text] = [
        m.value for m in app.markdown if m.value.startswith("At fc5 no correlation with test accuracy is defined")
    ]
    assert "pooled" not in text and not app.exception


def test_a_dead_layer_leaves_a_gap_and_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    from nmfdiag.errors import NmfdiagError
    from nmfdiag.jobs import compute

    real = compute.compute

    def failing(request: object, **options: object) -> object:
        if request.class_idx == 3 and request.layer == "fc2":  # type: ignore[attr-defined]
            raise NmfdiagError("The activations are all zero: this layer is dead on this batch.")
        return real(request, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(compute, "compute", failing)
    app = settled(opened(p=["0.4"], seed="1", n="20", layer="fc2", **{"class": "3"}))
    assert "dead on this batch" in app.error[0].value and not app.exception
    heat_map, *_ = plots(app)
    assert [row[1] is None for row in heat_map["data"][0]["z"]] == [c == 3 for c in range(10)]
    assert any("No curve of class 3 at fc2" in m.value for m in app.markdown)
