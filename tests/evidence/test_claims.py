"""Claims: the rule, each measure on planted curves that show it or not, the shipped records, and the reproduction log."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from headless_pages import ROOT

from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence import ablation_claims, compression_claims
from nmfdiag.evidence.all_records import Records
from nmfdiag.evidence.claims import CLAIMS, findings
from nmfdiag.evidence.curve_records import (
    RECORD_COLUMNS,
    record_curves,
    recorded_curves,
    recorded_supports,
    requests_of,
)
from nmfdiag.evidence.findings import HOLDS, IN_PART, NOT, UNMEASURED, Finding, Unit
from nmfdiag.measures.stats.summary import clearly_positive, spread
from nmfdiag.views.evidence import claims_markdown, evidence_answer, units_table
from nmfdiag.zoo.registry import SHIPPED, entries, lookup

LAYERS = ("conv1", "conv2", "conv3", "conv4")
AWAITED: set[str] = set()
"""Claims about suspects whose networks are still being trained: none once the tables of the benchmark are complete."""
STEP = 17
"""One of so many curves of a network is recorded again: some of each method, with directions kept and removed."""


def table(auc: dict[tuple[float, str], float], **columns: object) -> pd.DataFrame:
    """Return a family of networks with these AuCs by p and layer, and three classes that differ slightly."""
    rows = [
        {
            "network": f"n{p:g}", "dataset": "cifar10", "arch": "cnn", "seed": 0, "p": p, "layer": layer,
            "depth": LAYERS.index(layer) / 3, "class": c, "draw": 0, "method": "nmf", "operation": "compress",
            "auc": value + 0.002 * c, "error": 0.1, "raw_error": 1.0, "mean_row": 0.2, **columns,
        }
        for (p, layer), value in auc.items()
        for c in range(3)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def levels(by_noise: dict[float, list[float]], **columns: object) -> pd.DataFrame:
    return table(
        {(p, layer): v for p, values in by_noise.items() for layer, v in zip(LAYERS, values, strict=True)}, **columns
    )


@pytest.mark.parametrize(
    ("n_showing", "verdict"),
    [(4, HOLDS), (3, HOLDS), (2, IN_PART), (1, IN_PART), (0, NOT)],
    ids=lambda value: str(value),
)
def test_the_verdict_is_by_the_share_of_units(n_showing: int, verdict: str) -> None:
    finding = Finding("", tuple(Unit(str(i), i < n_showing) for i in range(4)))
    assert finding.verdict == verdict and finding.counted == f"{n_showing} of 4"
    assert Finding("").verdict == UNMEASURED


def test_a_difference_is_clear_beyond_its_error_and_beyond_002() -> None:
    assert clearly_positive(spread([0.10, 0.12, 0.11]))
    assert (
        not clearly_positive(spread([0.010, 0.011, 0.012]))
        and not clearly_positive(spread([0.4, -0.3, 0.1]))
        and not clearly_positive(spread([-0.2, -0.2]))
    )


def test_deep_layers_and_separation() -> None:
    part = levels({0.0: [0.9, 0.8, 0.9, 1.0], 1.0: [0.9, 0.8, 0.7, 0.9]})
    same = levels({0.0: [0.9, 0.8, 0.9, 1.0], 1.0: [0.5, 0.5, 0.9, 1.0]})
    assert compression_claims.deep_layers(part).verdict == HOLDS and compression_claims.deep_layers(same).verdict == NOT
    assert compression_claims.deep_layers(part[part["p"] == 0]).verdict == UNMEASURED
    finding = compression_claims.separation(pd.concat([part, same.assign(method="pca", auc=0.9)]))
    assert finding.verdict == HOLDS and finding.units[0].values["PCA"] == pytest.approx(0)
    assert compression_claims.separation(pd.concat([part, part.assign(method="pca")])).verdict == NOT


def test_phases_and_the_outlier() -> None:
    finding = compression_claims.three_phases(
        levels({0.0: [0.9, 0.6, 0.8, 1.0], 0.5: [0.9, 0.89, 0.9, 0.9], 1.0: [0.9, 0.5, 0.7, 1.0]})
    )
    assert [unit.shows for unit in finding.units] == [True, False, True] and finding.verdict == IN_PART
    assert finding.units[0].values["memorisation"] == "conv2 to conv3" and "n0: conv2 to conv3" in finding.measured
    above = levels({0.0: [0.9, 0.9, 0.9, 1.0], 0.6: [0.9, 0.6, 0.7, 1.0], 1.0: [0.9, 0.8, 0.6, 1.0]})
    [unit] = compression_claims.outlier(above).units
    assert unit.shows and unit.values["which"] == "conv2"
    assert compression_claims.outlier(above[above["p"] != 0.6]).verdict == UNMEASURED


def test_one_class_against_a_mixture() -> None:
    alone = levels({0.0: [0.9, 0.9, 0.9, 0.9]})
    mixed = levels({0.0: [0.6, 0.6, 0.6, 0.6]}).assign(**{"class": -1, "draw": 0})
    curves = pd.concat([alone, mixed])
    assert compression_claims.one_class(curves).verdict == HOLDS
    assert compression_claims.one_class(curves.assign(mean_row=0.9), beyond_constant=True).verdict == UNMEASURED
    assert compression_claims.one_class(curves, beyond_constant=True).verdict == HOLDS


def test_errors_over_p() -> None:
    steps = {0.0: 0.1, 0.8: 0.2, 0.9: 0.22, 1.0: 0.5}
    curves = pd.concat([levels({p: [0.9] * 4}).assign(error=e, raw_error=1 - e) for p, e in steps.items()])
    assert (
        compression_claims.error_outlier(curves, "error").verdict == HOLDS
        and compression_claims.transition(curves).verdict == HOLDS
    )
    flat = curves.assign(error=curves["p"].map({0.0: 0.1, 0.8: 0.5, 0.9: 0.501, 1.0: 0.502}))
    assert (
        compression_claims.error_outlier(flat, "error").verdict == NOT
        and compression_claims.transition(flat).verdict == NOT
    )


def test_ablation_and_supports() -> None:
    random = levels({0.0: [0.8] * 4, 1.0: [0.5] * 4}, method="random", operation="ablate")
    nmf = levels({0.0: [0.2] * 4, 1.0: [0.2] * 4}, method="nmf", operation="ablate")
    assert ablation_claims.random_ablation(random).verdict == HOLDS
    assert ablation_claims.leading_directions(pd.concat([random, nmf]), "nmf").verdict == HOLDS
    even = pd.concat([random.assign(auc=0.5), nmf])
    assert (
        ablation_claims.random_ablation(even).verdict == ablation_claims.leading_directions(even, "nmf").verdict == NOT
    )
    supports = levels({0.0: [4] * 4, 1.0: [4] * 4})
    larger = supports.assign(half=supports["p"].map({0.0: 4, 1.0: 9}))
    assert (
        ablation_claims.more_rectangles(larger).verdict == HOLDS
        and ablation_claims.more_rectangles(larger.assign(half=4)).verdict == NOT
    )


def test_without_records_nothing_is_measured(tmp_path: Path) -> None:
    assert {finding.verdict for finding in findings(tmp_path).values()} == {UNMEASURED}


def test_every_claim_is_measured_from_files_of_the_package_alone(tmp_path: Path) -> None:
    """Run in a fresh process that reports every file of the checkout that it opens outside of the package."""
    code = f"""
import json, sys
outside = []
def note_open(event, arguments):
    path = str(arguments[0]) if event == "open" else ""
    ours = path.startswith({str(ROOT)!r}) and not path.endswith(".pyc")
    if ours and not path.startswith(({str(ROOT / "nmfdiag")!r}, {str(ROOT / ".venv")!r})):
        outside.append(path)
sys.addaudithook(note_open)
from nmfdiag.evidence.claims import findings
unmeasured = [claim.figure for claim, finding in findings().items() if not finding.units]
print(json.dumps([unmeasured, outside]))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NMFDIAG_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path, env=environment).stdout
    unmeasured, outside = json.loads(output)
    assert set(unmeasured) <= AWAITED and outside == []


def test_the_shipped_records_cover_the_zoo_and_every_claim() -> None:
    curves, shipped = recorded_curves(), [e for e in entries().values() if e.folder.parent == SHIPPED]
    assert set(curves["network"]) == {e.name for e in shipped}
    assert curves["auc"].between(0, 1).all() and curves["depth"].between(0, 1).all()
    assert set(recorded_supports()["p"]) == {0.0, 1.0}
    results = findings()
    assert {claim.figure for claim, finding in results.items() if not finding.units} <= AWAITED
    assert {c.figure[:2] for c in CLAIMS if c.is_of_a_figure} == {f"F{number}" for number in range(1, 10)}
    assert [c.figure for c in CLAIMS if not c.is_of_a_figure] == [f"S{number}" for number in range(1, 9)]
    assert all(
        list(units_table(finding)["shows it"]) == [u.shows for u in finding.units]
        for finding in results.values()
        if finding.units
    )


def test_every_claim_leads_to_a_page_that_exists() -> None:
    assert all((ROOT / "pages" / f"{claim.page}.py").is_file() for claim in CLAIMS)


def test_the_reproduction_log_holds_the_table_that_the_records_give() -> None:
    log = (ROOT / "benchmarks" / "reproduction" / "README.md").read_text(encoding="utf-8")
    rows = [row for row in claims_markdown(findings()).split("\n") if not row.startswith("| F11")]  # its machine's own
    assert [row for row in rows if row not in log] == []


def test_the_answer_counts_verdicts() -> None:
    claims = list(CLAIMS)[:3]
    results = {
        claims[0]: Finding("", (Unit("a", True),)),
        claims[1]: Finding("", (Unit("a", False),)),
        claims[2]: Finding(""),
    }
    text = evidence_answer(results)
    assert text == (
        "0 of 1 claims that matter for your own network hold here. 1 of 2 claims about the paper's figures alone hold here. "
        f"Claims that do not hold: figure {claims[1].figure[1:]}."
    )
    assert [c.useful for c in claims] == [False, False, True]
    text = evidence_answer(results | {CLAIMS[-1]: Finding("", (Unit("a", True),))})
    assert text.startswith("1 of 2 claims that matter for your own network hold here.")


def test_claims_keep_their_sense_when_they_are_filtered() -> None:
    """Each is a sentence of its own."""
    for claim in CLAIMS:
        assert claim.claim[0].isupper() or claim.claim.startswith("p = "), claim.claim
        assert (
            claim.claim.endswith(".") and not claim.claim.startswith(("The same", "It ")) and ", too" not in claim.claim
        )


def test_recording_curves_writes_every_curve_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []
    name = "digits-mlp-p0-s0"
    requests = requests_of(lookup(name))[::STEP]
    monkeypatch.setattr("nmfdiag.evidence.curve_records.requests_of", lambda entry: requests)
    monkeypatch.setattr("nmfdiag.evidence.curve_records.SUPPORT_CLASSES", (0,))
    assert record_curves(tmp_path, only=[name], device="cpu", on_step=lambda _, share: steps.append(share)) == [name]
    assert record_curves(tmp_path, only=[name]) == []
    curves, shipped = recorded_curves(tmp_path), recorded_curves()
    assert len(curves) == len(requests) and steps[-1] == 1
    again = shipped[shipped["network"] == name][::STEP].reset_index(drop=True)
    assert (curves["auc"] - again["auc"]).abs().max() < 0.06 and list(curves["layer"]) == list(again["layer"])
    assert len(recorded_supports(tmp_path)) == len(lookup(name).layers)
    with pytest.raises(NmfdiagError, match="begins with nothing"):
        record_curves(tmp_path, only=["nothing"])


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "digits-mlp-p0-s0.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(NmfdiagError, match="digits-mlp-p0-s0"):
        recorded_curves(tmp_path)
    assert list(recorded_curves(tmp_path / "empty").columns)[: len(RECORD_COLUMNS)] == list(RECORD_COLUMNS)
    assert not Records(tmp_path / "empty").networks


def test_denoising_needs_more_than_one_sample() -> None:
    rows = [
        {
            "labels": "true",
            "class": c,
            "layer": layer,
            "auc": 0.5,
            "baseline": 0.5,
            "best": 0.5 + gain + 0.01 * (c % 2),
            "k1": 0.4,
        }
        for layer, gain in (("early", 0.04), ("head", 0.3))
        for c in range(10)
    ]
    finding = compression_claims.denoising(pd.DataFrame(rows))
    assert [unit.shows for unit in finding.units] == [False, True] and finding.verdict == IN_PART
    assert compression_claims.denoising(pd.DataFrame()).verdict == UNMEASURED
