"""The page *Report* without a browser: its answers, what is missing, and its downloads."""

import json
from dataclasses import replace

import pytest
from headless_pages import SMALL, open_page, settled
from streamlit.testing.v1 import AppTest

from nmfdiag.jobs.open_process import EXAMPLE, EXAMPLE_NAME
from nmfdiag.jobs.requests import SuspectsRequest, profile_requests
from nmfdiag.jobs.shipped_results import shipped_curves
from nmfdiag.ui.report_downloads import JSON, report_file
from nmfdiag.views.report import missing_text
from nmfdiag.zoo.registry import lookup

MISSING = "the report does not list yet which labels look wrong."


def downloads(app: AppTest) -> list[tuple[str, bool]]:
    buttons = [button for button in app.get("download_button") if button.label in ("Report (HTML)", "Numbers (JSON)")]
    return [(button.label, button.disabled) for button in buttons]


def test_reports_of_shipped_networks_are_there_at_once_and_labels_are_listed_on_request() -> None:
    app = open_page("report", arch="mlp", p=["1"], seed="1")  # whose labels no other test scores
    assert not app.exception and not app.error
    texts = " ".join(markdown.value for markdown in app.markdown)
    assert "of the labels look wrong" in texts and downloads(app) == [
        ("Report (HTML)", False),
        ("Numbers (JSON)", False),
    ]
    assert MISSING in texts and any("1 network, about " in caption.value for caption in app.caption)
    app = settled(app)
    assert MISSING not in " ".join(markdown.value for markdown in app.markdown) and len(downloads(app)) == 2
    assert any("nmfdiag report digits-mlp-p1-s1 " in code.value for code in app.code)


def test_a_report_waits_for_all_curves() -> None:
    app = open_page("report", **SMALL | {"p": ["0.6"], "n": "50"})  # of no other test
    assert downloads(app) == [("Report (HTML)", True), ("Numbers (JSON)", True)]
    assert any("the report needs all curves" in markdown.value for markdown in app.markdown)
    assert downloads(settled(app)) == [("Report (HTML)", False), ("Numbers (JSON)", False)]


def test_what_is_missing_is_named_by_network() -> None:
    clean, noisy = lookup("digits-mlp-p0-s0"), lookup("digits-mlp-p1-s0")
    curves, labels = profile_requests(noisy, classes=[0]), [SuspectsRequest(n.name) for n in (clean, noisy)]
    assert missing_text([clean, noisy], []) == ""
    assert (
        missing_text([clean, noisy], [*labels, *curves])
        == f"**p = 1**: the report needs all curves. **p = 0 and p = 1**: {MISSING}"
    )


@pytest.mark.parametrize(("called", "is_compared"), [(EXAMPLE_NAME, False), ("mine", True)])
def test_the_example_is_not_compared_with_the_network_it_copies(called: str, is_compared: bool) -> None:
    network = lookup(EXAMPLE)
    requests = profile_requests(network, per_class=20)
    shipped = shipped_curves({request.key: request for request in requests})
    curves = {replace(r, entry=called): shipped[r.key] for r in requests}
    record = json.loads(report_file(curves, replace(network, called=called), None, JSON))
    references = {reference["network"] for reference in record["comparison"]["references"]}
    assert (EXAMPLE in references) is is_compared and references
