"""The diagnosis that leaves the app: words, JSON of a known form, one HTML file; what it can't say, it says."""

import json
import re
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
import torch
from torch import nn

import nmfdiag
from nmfdiag.cli import main
from nmfdiag.views.diagnosis import SCHEMA, Diagnosis
from nmfdiag.views.report import report_html
from nmfdiag.zoo.registry import lookup


@pytest.fixture(scope="module")
def diagnosis() -> Diagnosis:
    entry = lookup("digits-mlp-p0.4-s0")
    pool = entry.load_pool()
    return nmfdiag.diagnose(entry.load_model(), pool.inputs[:400], pool.given_labels[:400], per_class=10)


def test_json_has_every_layer_class_and_reason(diagnosis: Diagnosis, tmp_path: Path) -> None:
    diagnosis.to_json(tmp_path / "d.json")
    record = json.loads((tmp_path / "d.json").read_text())
    assert record["schema"] == SCHEMA and record["verdict"] == diagnosis.verdict
    assert [layer["layer"] for layer in record["layers"]] == ["fc1", "fc2", "fc3", "fc4", "fc5"]
    assert len(record["classes"]) == 50 and {c["class"] for c in record["classes"]} == set(range(10))
    assert all(0 <= c["auc"] <= 1 for c in record["classes"])
    assert set(record["phases"]) == {"feature_extraction", "memorisation", "clustering", "reason"}
    assert len(record["provenance"]["weights (sha256)"]) == 64


def test_html_is_one_file_that_asks_for_nothing(diagnosis: Diagnosis, tmp_path: Path) -> None:
    diagnosis.to_html(tmp_path / "d.html")
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and escape(diagnosis.verdict) in page
    assert page.count("Plotly.newPlot(") == 3
    outside = re.sub(
        r"<script>.*?</script>", "", page, count=1, flags=re.S
    )  # the plotting code names addresses, unused here
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", outside)


def test_names_cannot_smuggle_markup_in(diagnosis: Diagnosis) -> None:
    evil = "<script>alert(1)</script>"
    measured = tuple(replace(m, curve=replace(m.curve, layer=evil)) for m in diagnosis.profile.measured if m.depth == 0)
    profile = replace(diagnosis.profile, layers=(evil,), measured=measured, skipped={evil: evil})
    page = report_html(
        replace(diagnosis, profile=profile, verdict=evil, provenance={evil: evil, "network": evil}), title=evil
    )
    tail = page[page.index("<body>") :]
    assert evil not in tail and "&lt;script&gt;" in tail


def test_what_cannot_be_said_is_said() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 2))
    x, y = torch.randn(12, 6), torch.tensor([0, 1] * 6)
    words = " ".join(nmfdiag.diagnose(model, x, y).remarks)
    for part in (
        "right by their given labels",
        "The smallest batch has 6 samples",
        "Only 2 classes",
        "at least three layers",
    ):
        assert part in words
    mixed = nmfdiag.diagnose(model, x, y, by_class=False)
    assert "mixture of classes" in " ".join(mixed.remarks) and report_html(mixed).count("Plotly.newPlot(") == 2


def test_report_and_check_from_a_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["digits-mlp-p1-s0", "--per-class", "10", "--layers", "fc1"]
    assert (
        main(["report", *small, "--html", str(tmp_path / "r.html"), "--to-json", str(tmp_path / "r.json"), "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["files"] == [str(tmp_path / "r.html"), str(tmp_path / "r.json")]
    assert (tmp_path / "r.html").is_file()
    assert main(["check", *small, "--below", "1"]) == 1 and main(["check", *small, "--below", "0.1"]) == 0
    assert "fc1 has the lowest AuC" in capsys.readouterr().out
    assert main(["check", *small, "--below", "2"]) == 2
