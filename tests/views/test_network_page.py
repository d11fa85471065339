"""The cards of the Overview page: answers as they come, why there are none, and the reports."""

import json
import threading
from typing import Any

import pytest
from headless_pages import SMALL, open_page, plots, run_until, settled
from streamlit.testing.v1 import AppTest

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import compute, score_labels
from nmfdiag.jobs.requests import SuspectsRequest, profile_requests
from nmfdiag.jobs.shipped_results import ShippedResults
from nmfdiag.ui import live_results
from nmfdiag.ui.report_downloads import HTML, JSON, report_file
from nmfdiag.zoo.registry import lookup


def cards(app: AppTest) -> list[str]:
    return [markdown.value for markdown in app.markdown if markdown.value.startswith(("p = ", "![x]"))]


def test_cards_have_answers_truth_and_second_opinion() -> None:
    app = settled(open_page(**SMALL))
    clean, random = cards(app)
    assert (
        clean.startswith("p = 0 · clean labels\n")
        and ":green[:material/check_circle:]" in clean
        and "it generalises" in clean
    )
    assert (
        random.startswith("p = 1 · random labels\n")
        and ":red[:material/error:]" in random
        and "of the labels look wrong" in random
    )
    assert "memorises" not in clean
    for card in (clean, random):
        assert [row.split("|")[1] for row in card.splitlines() if row.startswith("|")][2:] == [
            "Wrong labels", "Memorised", "Expected error",
        ]  # fmt: skip
    captions = [caption.value for caption in app.caption]
    assert captions.count("True: clean labels, test accuracy 0.98.") == 1
    assert sum(caption.startswith("Second opinion: reference networks. ") for caption in captions) == 2
    assert not any(sentence in "".join([*cards(app), *captions]) for sentence in ("told right", "Memorisation shows"))


def test_answers_are_shown_before_the_first_curve(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    released, real = threading.Event(), compute.compute

    def wait_and_compute(*arguments: Any, **options: Any) -> Any:
        released.wait()
        return real(*arguments, **options)

    request.addfinalizer(released.set)
    monkeypatch.setattr(compute, "compute", wait_and_compute)
    link = {**SMALL, "p": ["0.8"], "n": "30"}  # of no other test
    app = run_until(open_page(**link), lambda app: "of the labels look wrong" in "".join(cards(app)))
    assert any("It comes with the last curve" in caption.value for caption in app.caption) and not app.tabs
    assert any("Computing the first" in str(plot) for plot in plots(app))
    released.set()
    app = settled(app)
    assert not any("It comes with the last curve" in caption.value for caption in app.caption)
    assert app.tabs and not app.error


def test_labels_that_can_not_be_scored_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise NmfdiagError("![x](y) is damaged.")

    monkeypatch.setattr(score_labels, "score", fail)
    monkeypatch.setattr(live_results, "shipped_results", lambda _: ShippedResults())
    app = run_until(open_page(**{**SMALL, "p": ["0.6"], "seed": "1"}), lambda app: app.error and app.tabs)
    assert r"Can't tell: its labels could not be scored. \!\[x\]" in cards(app)[0] and r"\!\[x\]" in app.error[0].value
    assert not app.exception and plots(app)


def test_a_button_makes_the_report_of_its_network_with_its_answers() -> None:
    entry = lookup("digits-mlp-p1-s0")
    requests = profile_requests(entry, per_class=10, grid="coarse", classes=[0, 1])
    curves = {request: compute.compute(request, device="cpu") for request in requests}
    suspects = score_labels.score(SuspectsRequest(entry.name), device="cpu")
    record = json.loads(report_file(curves, entry, suspects, JSON))
    assert record["title"] == entry.name and len(record["classes"]) == 10
    assert record["code"] == "noisy_labels" and record["answers"]["labels"]["low"] > 0.5
    page = report_file(curves, entry, suspects, HTML).decode()
    assert page.startswith("<!doctype html>") and entry.name in page
    assert "The 50 most suspicious of 1,000 training samples" in page and page.count('<figure><img src="data:') == 50
    open_answers = json.loads(report_file(curves, entry, None, JSON))
    assert (
        open_answers["code"] == "inconclusive" and "Are labels wrong?" not in report_file(curves, entry, None).decode()
    )
