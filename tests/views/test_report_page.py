"""The reports that the Overview page offers, and the results of its buttons."""

import json

from headless_pages import SMALL, open_page, settled

from nmfdiag.diagnosis.diagnose import Diagnosis
from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.requests import profile_requests
from nmfdiag.ui.report_button import report_file
from nmfdiag.zoo.registry import lookup


def test_every_network_shown_has_a_report() -> None:
    app = settled(open_page(**SMALL))
    labels = [button.label for button in app.get("download_button") if button.label.startswith("Report")]
    assert labels == [f"Report ({form}), p = {p}" for p in (0, 1) for form in ("HTML", "JSON")]
    assert not app.exception


def test_a_button_makes_the_report_of_its_network() -> None:
    entry = lookup("digits-mlp-p1-s0")
    requests = profile_requests(entry, per_class=10, grid="coarse", classes=[0, 1])
    results = {request: compute(request, device="cpu") for request in requests}
    record = json.loads(report_file(results, entry, Diagnosis.json))
    assert record["title"] == entry.name and len(record["classes"]) == 10
    page = report_file(results, entry, Diagnosis.html)
    assert page.startswith(b"<!doctype html>") and entry.name.encode() in page
