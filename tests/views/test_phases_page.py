"""The page *Layer phases* without a browser: AuC by layer with the probe by depth below it, exports, and what is said without either."""

from typing import Any

import pytest
from headless_pages import SMALL, open_page, plots, run_until, settled, visit
from streamlit.testing.v1 import AppTest

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import compute, score_labels
from nmfdiag.jobs.requests import SuspectsRequest
from nmfdiag.jobs.shipped_results import ShippedResults
from nmfdiag.measures.suspects.probe_depth import depth_of
from nmfdiag.ui import live_results


def lines(app: AppTest, axis: str) -> dict[str, dict[str, Any]]:
    """Return the lines of one panel by name."""
    (plot,) = plots(app)
    return {
        t["name"]: t for t in plot["data"] if t.get("mode") == "lines+markers" and t.get("yaxis", "y") == axis
    }  # fmt: skip


def texts(app: AppTest) -> list[str]:
    return [markdown.value for markdown in app.markdown]


def test_the_probe_stands_below_auc_on_the_same_layers() -> None:
    app = visit("phases", batch="3")
    names = {f"p = {p}": f"digits-mlp-p{p}-s0" for p in (0, 1)}
    controls = {
        name: score_labels.score(SuspectsRequest(entry), device="cpu").controls for name, entry in names.items()
    }
    auc, probe = lines(app, "y"), lines(app, "y2")
    assert set(auc) == set(probe) == {"p = 0", "p = 1"}
    for name in names:
        accuracies = controls[name].accuracy_by_layer
        assert probe[name]["x"] == auc[name]["x"] == list(accuracies)
        assert probe[name]["y"] == pytest.approx(list(accuracies.values()), abs=0.01)
        assert probe[name]["line"]["color"] == auc[name]["line"]["color"]
    depth = depth_of(controls["p = 1"])
    rings = [t for t in plots(app)[0]["data"] if t.get("name") == "jump"]
    assert [(t["x"], t["y"]) for t in rings] == [
        ([depth.jump], [pytest.approx(depth.after, abs=0.01)])
    ]  # p = 0 has none: it can't be told
    assert f"Probe by depth (ours), p = 1: {depth.text}" in [text.replace("\\", "") for text in texts(app)]
    table = app.dataframe[0].value
    assert list(table["probe by depth (ours)"]) == [depth_of(controls[name]).text for name in names]


def test_without_one_of_them_the_other_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_request: Any, **_options: Any) -> Any:
        raise NmfdiagError("It fails.")

    link = {**SMALL, "p": ["0.2"], "seed": "1", "batch": "3"}  # of no other test
    with monkeypatch.context() as patch:
        patch.setattr(score_labels, "score", failing)
        patch.setattr(live_results, "shipped_results", lambda _: ShippedResults())
        app = run_until(open_page("phases", **link), lambda app: app.error)
        run_until(app, lambda app: len(lines(app, "y").get("p = 0.2", {"x": []})["x"]) == 5)
        assert [error.value for error in app.error] == ["It fails."] and not lines(app, "y2")
        assert "Probe by depth (ours), p = 0.2: not known yet." in texts(app)
        assert any("not known yet" in a.get("text", "") for a in plots(app)[0]["layout"]["annotations"])
    settled(open_page("suspects", **link))
    monkeypatch.setattr(compute, "compute", failing)
    monkeypatch.setattr(live_results, "shipped_results", lambda _: ShippedResults())
    app = run_until(open_page("phases", **{**link, "n": "30"}), lambda app: app.error)
    assert not app.exception and not lines(app, "y") and set(lines(app, "y2")) == {"p = 0.2"}
    assert any(text.startswith("**NMF, p = 0.2: not known yet.**") for text in texts(app))
