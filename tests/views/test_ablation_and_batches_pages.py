"""The pages *Ablation* and *Single vs multi-class* without a browser."""

import pytest
from headless_pages import ROOT, open_page, plots, settled
from streamlit.testing.v1 import AppTest

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import compute

SMALL = {"arch": "mlp", "p": ["0", "1"], "n": "10", "layer": "fc4"}


def visit(page: str, **link: str | list[str]) -> AppTest:
    """Open a page by a link."""
    return open_page(page, **{**SMALL, **link})


def lines(plot: dict) -> list[dict]:
    return [t for t in plot["data"] if t.get("mode") == "lines+markers" and t["x"] != [None]]


def test_ablation_draws_two_lines_at_first_and_all_as_in_the_paper() -> None:
    app = visit("ablation", grid="coarse", batch="3", p=["0", "0.4", "1"])
    assert not app.exception and app.title[0].value == "Does losing directions hurt a memorising network more?"
    app = settled(app)
    assert not app.exception and not app.error
    assert app.markdown[0].value.startswith(("**No difference: removing random", "**Removing random channels of fc4"))
    curves, areas = plots(app)
    assert len(lines(curves)) == len(lines(areas)) == 2
    assert all(t["x"][0] == 0 and t["y"][0] == 1.0 and t["x"][-1] == 128 for t in lines(curves))
    assert "methods" not in [pills.key for pills in app.pills]
    assert [tab.label for tab in app.tabs] == ["How to read it", "Table", "Settings and provenance"]
    app = settled(next(button for button in app.button if button.label == "As in the paper").click().run())
    assert app.segmented_control(key="lines").value == "every p"
    app = settled(app.selectbox(key="batch").select("3").run())
    assert not app.exception and len(lines(plots(app)[0])) == 3 * 3
    app = settled(app.switch_page(str(ROOT / "pages" / "curves.py")).run())
    assert not app.exception and app.pills(key="methods").value == ["nmf"]


def test_ablation_says_its_cost_before_it_measures() -> None:
    app = visit("ablation", batch="7", p=["0.8"], seed="1", n="30", grid="full")  # of no other test
    assert not app.exception and not plots(app)
    assert any("Not measured here yet: 5 curves, about" in caption.value for caption in app.caption)


def test_ablation_reports_an_unknown_choice_in_a_link() -> None:
    app = settled(visit("ablation", grid="coarse", batch="3", removed=["NMF directions", "ICA"], layer="conv9"))
    assert [message.value.rsplit(". ", 2 if "Showing" in message.value else 1)[0] for message in app.info] == [
        'No layer "conv9"',
        'No remove "ICA"',
    ]
    assert len(lines(plots(app)[0])) == 2 and not app.exception


def test_a_dead_layer_does_not_break_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    real = compute.compute

    def failing(request: object, **options: object) -> object:
        if request.layer == "fc4":  # type: ignore[attr-defined]
            raise NmfdiagError("Layer 'fc4': the activations are all zero.")
        return real(request, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(compute, "compute", failing)
    app = settled(visit("ablation", grid="coarse", batch="3", p=["0.4"], seed="1", n="20", removed="PCA directions"))
    assert not app.exception and "all zero" in app.error[0].value
    assert app.markdown[0].value.startswith("**No curve of fc4") and len(plots(app)) == 1
    app = settled(visit("batches", p=["0.4"], seed="1", n="20", families="digits mlp", by="pca"))
    assert not app.exception and "all zero" in app.error[0].value
    assert all("fc4" not in t["x"] for t in lines(plots(app)[0]))


def test_batches_have_one_column_per_family() -> None:
    app = settled(visit("batches", by="pca", families=["digits mlp", "fashion_mnist mlp"]))
    assert not app.exception and not app.error
    assert app.title[0].value == "Are layers more linear on one class than on a mixture?"
    assert app.markdown[0].value.startswith("**Layers are more linear on one class than on a mixture in ")
    [plot] = plots(app)
    assert [a["text"] for a in plot["layout"]["annotations"]] == ["digits<br>mlp", "fashion_mnist<br>mlp"]
    assert len(lines(plot)) == 2 * 2 * 2
    assert any("digits mlp, fashion_mnist mlp · p = 0, 1 · seed 0" in c.value for c in app.caption)
    assert {"layer", "batch", "grid"}.isdisjoint(box.key for box in app.selectbox)
    assert app.pills(key="families").options[0] == "digits mlp"
