"""The exported diagnosis: text, JSON by its schema, and one HTML file; limits are stated."""

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema  # installed with Streamlit
import pytest
import torch
from markupsafe import escape
from planted_references import profile as planted_profile
from torch import nn

import nmfdiag
from nmfdiag.cli import main
from nmfdiag.diagnosis.answer_text import error_figure, share_figure
from nmfdiag.diagnosis.diagnose import Diagnosis, diagnosis_from_profile, diagnosis_of
from nmfdiag.diagnosis.reliability import trust_text
from nmfdiag.diagnosis.schema import SCHEMA, schema
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest, profile_requests
from nmfdiag.measures.suspects.noise_rate import NoiseRate
from nmfdiag.zoo.registry import lookup

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def diagnosis() -> Diagnosis:
    entry = lookup("digits-mlp-p0.4-s0")
    pool = entry.load_pool()
    return nmfdiag.diagnose(
        entry.load_model(), pool.inputs[:400], pool.given_labels[:400], per_class=10, title=entry.name,
        class_names=entry.class_names, without=(entry.name,),
    )  # fmt: skip


def validate(diagnosis: Diagnosis) -> dict:
    record = json.loads(diagnosis.json())
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(record, schema(), cls=jsonschema.Draft202012Validator)
    without_later_keys = {key: value for key, value in record.items() if key != "training_set"}
    jsonschema.validate(without_later_keys, schema(), cls=jsonschema.Draft202012Validator)
    return record


def test_json_has_every_layer_class_and_reason(diagnosis: Diagnosis, tmp_path: Path) -> None:
    diagnosis.to_json(tmp_path / "d.json")
    record = json.loads((tmp_path / "d.json").read_text())
    assert record["schema"] == SCHEMA and record["verdict"] == diagnosis.verdict
    assert [layer["layer"] for layer in record["layers"]] == ["fc1", "fc2", "fc3", "fc4", "fc5"]
    assert len(record["classes"]) == 50 and {c["class"] for c in record["classes"]} == set(range(10))
    assert all(0 <= c["auc"] <= 1 for c in record["classes"])
    assert set(record["phases"]) == {"feature_extraction", "memorisation", "clustering", "reason"}
    assert len(record["provenance"]["weights (sha256)"]) == 64


def test_html_is_one_file_without_outside_links(diagnosis: Diagnosis, tmp_path: Path) -> None:
    diagnosis.to_html(tmp_path / "d.html")
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and escape(diagnosis.verdict) in page
    assert page.count("Plotly.newPlot(") == 4
    outside = re.sub(
        r"<script>.*?</script>", "", page, count=1, flags=re.S
    )  # the plotting code names addresses, unused here
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", outside)


def test_names_cannot_smuggle_markup_in(diagnosis: Diagnosis) -> None:
    evil, fat = EVIL, "<b>fat</b>"
    renamed = {layer: f"{fat}{i}" for i, layer in enumerate(diagnosis.profile.layers)}
    curves = tuple(replace(m, curve=replace(m.curve, layer=renamed[m.curve.layer])) for m in diagnosis.profile.measured)
    profile = replace(
        diagnosis.profile, layers=tuple(renamed.values()), network_layers=tuple(renamed.values()), measured=curves,
        skipped={evil: evil},
    )  # fmt: skip
    hostile = diagnosis_from_profile(
        profile, {evil: evil, "network": evil}, class_names=[f"{evil}{fat}"] * 10, title=evil
    )
    assert not hostile.comparison.reason  # type: ignore[union-attr]
    page = hostile.html()
    tail = page[page.index("<body>") :]
    assert evil not in tail and fat not in tail and "&lt;script&gt;" in tail
    # Plots interpret tags in text; JSON writes < as \\u003c.
    assert "\\u003cb\\u003efat" not in tail and "\\u003cscript" not in tail and "&lt;b&gt;fat&lt;\\u002fb" in tail
    validate(hostile)


def test_what_cannot_be_said_is_said() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 2))
    x, y = torch.randn(12, 6), torch.tensor([0, 1] * 6)
    remarks = " ".join(nmfdiag.diagnose(model, x, y).remarks)
    for part in (
        "right by their given labels",
        "The smallest batch has 6 samples",
        "With 2 classes",
        "at least three layers",
    ):
        assert part in remarks
    mixed = nmfdiag.diagnose(model, x, y, by_class=False)
    assert "mixture of classes" in " ".join(mixed.remarks) and mixed.html().count("Plotly.newPlot(") == 2
    assert validate(mixed)["comparison"]["reason"] and mixed.classes == ()


def test_samples_without_a_label_are_left_out_and_counted() -> None:
    entry = lookup("digits-mlp-p0.4-s0")
    pool, model = entry.load_pool(), entry.load_model()
    inputs, labels = pool.inputs[:200], pool.given_labels[:200].clone()
    labels[::7] = -100  # PyTorch's ignore_index
    partly = nmfdiag.diagnose(model, inputs, labels, per_class=10)
    labelled = nmfdiag.diagnose(model, inputs[labels >= 0], labels[labels >= 0], per_class=10)
    assert (
        partly.remarks[0]
        == "29 of 200 samples have a negative label, which stands for a missing one: they are left out."
    )
    assert partly.remarks[1:] == labelled.remarks and partly.answers == labelled.answers
    assert partly.profile.to_frame()["auc"].tolist() == labelled.profile.to_frame()["auc"].tolist()
    with pytest.raises(NmfdiagError, match="No sample has a label: all labels are negative"):
        nmfdiag.diagnose(model, inputs, torch.full_like(labels, -1))
    cure = r"labels go from -100 to 9: .* left out: inputs\[labels >= 0\] and labels\[labels >= 0\]\.$"
    with pytest.raises(NmfdiagError, match=f"(?i){cure}"):
        nmfdiag.suspects(model, inputs, labels)


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


def test_the_comparison_is_in_the_words_the_json_and_the_page(diagnosis: Diagnosis) -> None:
    comparison = diagnosis.comparison
    assert comparison is not None and comparison.place is not None and comparison.kind == "fully-connected"
    assert "digits-mlp-p0.4-s0" not in {r.network for r in comparison.references}
    record = validate(diagnosis)
    assert (
        f"mean AuC {comparison.place.value:.3f}" in record["second_opinion"] and record["title"] == "digits-mlp-p0.4-s0"
    )
    assert [check["left_out"] for check in record["comparison"]["checks"]] == ["network", "data set"] * 2
    assert any("this network on 10" in sentence for sentence in record["comparison"]["remarks"])
    page = diagnosis.html()
    for text in (
        "Second opinion: beside networks whose labels are known",
        "references with clean labels",
        "Rank correlation of AuC",
    ):
        assert text in page


def test_the_page_has_the_answers_with_what_they_rest_on(diagnosis: Diagnosis) -> None:
    page, answers = diagnosis.html(), diagnosis.answers
    assert diagnosis.code == "noisy_labels" and escape(diagnosis.verdict) in page
    sentences = [text for a in answers.values() for text in (a.text, *a.evidence, *a.limits)]
    assert len(sentences) > 5 and all(escape(text) in page for text in sentences)
    assert share_figure(answers["labels"]) in page and error_figure(diagnosis.expected_error) in page
    trust = escape(trust_text())
    assert "that no threshold was chosen on" in trust and trust in page
    assert page.index("Are labels wrong?") < page.index("Does it memorise?") < page.index("Plotly.newPlot(")
    assert page.index("Plotly.newPlot(") < page.index("Second opinion") and escape(diagnosis.second_opinion) in page
    assert diagnosis.suspects is not None
    clean = replace(
        diagnosis.suspects,
        noise_rate=NoiseRate(0.0, 0.0, 0.01, 400, swapped_high=0.01),
        accuracies=dict.fromkeys(diagnosis.suspects.accuracies, 1.0),
        predicted=dict.fromkeys(diagnosis.suspects.predicted, diagnosis.suspects.given),
    )
    generalising = diagnosis_from_profile(diagnosis.profile, {}, suspects=clean)
    assert generalising.code == "generalises" and "Where does it memorise?" not in generalising.html()


def test_without_a_comparison_the_page_says_why() -> None:
    small = diagnosis_from_profile(planted_profile(0.8, n_samples=5), {})
    assert small.verdict.startswith("conv1 is the least linear layer") and validate(small)["comparison"]["places"] == []
    assert "smallest batch here has 5" in small.html() and small.html().count("Plotly.newPlot(") == 3
    assert "Second opinion" not in replace(small, comparison=None).html() and validate(replace(small, comparison=None))


def test_draws_give_every_class_an_error(diagnosis: Diagnosis) -> None:
    assert validate(diagnosis)["class_readings"][0]["clear"] is None
    redraws = diagnosis_from_profile(planted_profile(0.8, n_draws=3), {}, class_names=["cat", "dog"])
    record = validate(redraws)
    assert {c["draw"] for c in record["classes"]} == {0, 1, 2} and len(record["classes"]) == 4 * 10 * 3
    readings = record["class_readings"]
    assert all(r["n_draws"] == 3 and r["auc_standard_error"] >= 0 and r["clear"] is False for r in readings)
    assert {r["name"] for r in readings} == {"cat", "dog", *map(str, range(2, 10))}
    assert "each averaged over 3 draws first" in redraws.html() and "no bootstrap over samples" in redraws.html()


def test_the_schema_refuses_what_is_not_of_its_form(diagnosis: Diagnosis) -> None:
    good = validate(diagnosis)
    wrongs = {"schema": "nmfdiag-diagnosis/1", "layers": [{"layer": "fc1"}], "verdict": None, "extra": 1}
    for key, value in wrongs.items():
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(copy.deepcopy(good) | {key: value}, schema())


def test_draws_of_the_same_samples_are_no_new_samples() -> None:
    two_draws = replace(planted_profile(0.8, n_draws=2), class_sizes=dict.fromkeys(range(10), 25))
    assert any("draws share" in remark for remark in diagnosis_from_profile(two_draws, {}).remarks)
    plenty = replace(two_draws, class_sizes=dict.fromkeys(range(10), 500))
    assert not any("draws share" in remark for remark in diagnosis_from_profile(plenty, {}).remarks)


def test_layers_that_keep_full_accuracy_with_one_direction_are_named() -> None:
    plain = planted_profile(0.8)

    def remarks(*full: int) -> str:
        curves = tuple(
            replace(m, curve=replace(m.curve, accuracy=[1.0] * len(m.curve.accuracy)))
            if plain.layers.index(m.curve.layer) in full
            else m
            for m in plain.measured
        )
        return " ".join(diagnosis_from_profile(replace(plain, measured=curves), {}).remarks)

    first, *_, third, last = plain.layers
    assert f"From {third} on, one direction is enough for full accuracy. These 2 layers say nothing" in remarks(2, 3)
    assert f"At {first} and {third} one direction is enough" in remarks(0, 2)
    assert f"At {last} one direction is enough for full accuracy. This layer says nothing" in remarks(3)
    assert "one direction is enough" not in remarks()


def test_saturated_and_unfitted_are_said() -> None:
    full = diagnosis_from_profile(planted_profile(1.0, accuracy=[1.0] * 5), {})
    assert "every layer keeps full accuracy with one direction" in full.verdict and full.classes == ()
    assert "No layer tells the classes apart" in full.html()
    clean = planted_profile(0.8)
    unfitted = tuple(
        replace(m, curve=replace(m.curve, baseline_accuracy=0.9)) if m.class_idx == 3 else m for m in clean.measured
    )
    remarks = diagnosis_from_profile(replace(clean, measured=unfitted), {}, class_names=["a", "b", "c", "hare"]).remarks
    assert any("Not fitted: class hare" in remark for remark in remarks)


@pytest.fixture(scope="module")
def curves() -> dict[CurveRequest, nmfdiag.CompressionCurve]:
    entry = lookup("digits-mlp-p1-s0")
    requests = profile_requests(entry, per_class=20, grid="coarse", classes=[0, 1])
    return {request: compute(request, device="cpu") for request in requests}


def test_a_page_s_results_make_a_diagnosis(curves: dict[CurveRequest, nmfdiag.CompressionCurve]) -> None:
    entry = lookup("digits-mlp-p1-s0")
    diagnosis = diagnosis_of(curves, entry)
    assert diagnosis.title == entry.name and diagnosis.class_names == entry.class_names
    assert len(diagnosis.profile.measured) == 10
    assert diagnosis.comparison is not None and diagnosis.comparison.place is not None
    assert entry.name not in {r.network for r in diagnosis.comparison.references}
    assert validate(diagnosis)["provenance"]["weights (sha256)"] == entry.sha256["weights"]
    assert "digits-mlp-p1-s0" in diagnosis.html()
    mixture = {replace(request, class_idx=MULTI_CLASS): curve for request, curve in curves.items()}
    again = diagnosis_of({**curves, **mixture}, entry)
    assert {m.class_idx for m in again.profile.measured} == {0, 1}
    assert diagnosis_of(mixture, entry).comparison.reason  # type: ignore[union-attr]


def test_part_of_a_page_s_results_says_what_is_missing(curves: dict[CurveRequest, nmfdiag.CompressionCurve]) -> None:
    entry = lookup("digits-mlp-p1-s0")
    part = {request: curve for request, curve in curves.items() if request.layer in ("fc1", "fc2")}
    diagnosis = diagnosis_of(part, entry)
    assert set(diagnosis.profile.skipped) == {"fc3", "fc4", "fc5"} and "only 2 of 5" in diagnosis.comparison.reason  # type: ignore[union-attr]
    two_draws = diagnosis_of({**part, **{replace(r, seed=1): c for r, c in part.items()}}, entry)
    assert two_draws.profile.n_draws == 2
    with pytest.raises(NmfdiagError, match="no curve of digits-cnn-p0-s0"):
        diagnosis_of(curves, lookup("digits-cnn-p0-s0"))
    with pytest.raises(NmfdiagError, match="2 different settings"):
        diagnosis_of({**part, **{replace(r, per_class=50): c for r, c in part.items()}}, entry)
