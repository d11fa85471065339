"""``diagnose``, ``report``, ``check``: a foreign network in each form gives the library's result; zoo networks use the cache."""

import json
from pathlib import Path
from typing import Any

import pytest
from foreign_network import CLASSES, PER_CLASS, Stranger

import nmfdiag
from nmfdiag.cli import INTERRUPTED, MISTAKE, OK, WRONG, main
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import sweep

LAYERS = ["fc1", "fc2", "fc3"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def expected(stranger: Stranger) -> dict[str, float]:
    """Compute AuC by layer by the library, with the network and samples in memory."""
    profile = nmfdiag.layer_profile(stranger.model, stranger.inputs, stranger.labels, per_class=PER_CLASS)
    return {layer: s.mean for layer, s in profile.auc_by_layer().items()}


def answer(capsys: Capture, *command: str, code: int = OK) -> dict[str, Any]:
    assert main([*command, "--json"]) == code, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "way",
    [
        ["--arch", "mlp", "--weights", "weights.pt"],
        ["--weights", "weights.safetensors"],
        ["--model", "stranger_code:make", "--weights", "weights.safetensors"],
        ["--exported", "network.pt2", "--trust"],
    ],
    ids=["arch", "auto", "factory", "exported"],
)
def test_each_way_gives_what_the_library_gives(
    way: list[str], expected: dict[str, float], in_folder: None, capsys: Capture
) -> None:
    options = ["--data", "samples.npz", "--normalization", "none", "--per-class", str(PER_CLASS)]
    record = answer(capsys, "diagnose", *way, *options)
    auc_by_layer = {row["layer"]: row["auc"] for row in record["layers"]}
    assert list(auc_by_layer.values()) == pytest.approx(list(expected.values()), abs=1e-6)
    assert [row["batches"] for row in record["layers"]] == [CLASSES] * 3
    assert record["train_accuracy"] == record["preflight"]["accuracy"] == 1 and record["test_accuracy"] is None
    assert len(record["preflight"]["layers"]) == 3 and "normalization" in record["provenance"]
    assert "least linear layer" in record["second_opinion"]
    assert record["code"] == "inconclusive" and record["answers"]["labels"]["code"] == "unknown"  # 36 images of noise


def test_recorded_activations(stranger: Stranger, expected: dict[str, float], capsys: Capture) -> None:
    path = str(stranger.folder / "activations.npz")
    record = answer(capsys, "diagnose", "--activations", path, "--per-class", str(PER_CLASS))
    [row] = record["layers"]
    assert row["layer"] == "activations" and row["auc"] == pytest.approx(expected["fc3"], abs=1e-6)
    assert record["code"] == "inconclusive" and "may have memorised" in record["answers"]["labels"]["text"]


def test_the_preflight_comes_first_and_apart(stranger: Stranger, capsys: Capture) -> None:
    command = ["diagnose", *stranger.by_weights, "--layers", "fc2", "--classes", "0", "2"]
    assert main(command) == OK
    output = capsys.readouterr()
    assert "1.000 on the given labels" in output.err and output.err.index("labels") < output.err.index("  0% |")
    assert (
        output.out.startswith("fc2 ")
        and "(2 single-class batches of 12)" in output.out
        and "accuracy" not in output.out
    )
    answer(capsys, *command)
    assert main([*command, "--json"]) == OK
    assert "accuracy" not in capsys.readouterr().err


def test_preflight_alone_says_whether_it_would_mean_anything(stranger: Stranger, capsys: Capture) -> None:
    for command in (["diagnose"], ["report"], ["check", "--below", "0.5"]):
        record = answer(capsys, *command, *stranger.by_weights, "--preflight")
        assert record["problems"] == [] and record["preflight"]["accuracy"] == 1
    samples = ["--data", str(stranger.folder / "mislabelled.npz"), "--normalization", "none"]
    wrong = ["diagnose", "--weights", stranger.weights, *samples, "--preflight"]
    assert main(wrong) == WRONG
    output = capsys.readouterr()
    assert "A diagnosis would mean nothing: 0% of these" in output.out and "AuC" not in output.out
    assert main(["diagnose", "digits-mlp-p0-s0", "--preflight"]) == OK
    assert "digits-mlp-p0-s0: 5 layers, 10 classes of 20 samples each" in capsys.readouterr().out


def test_report_and_check(stranger: Stranger, in_folder: None, capsys: Capture) -> None:
    small = [*stranger.by_weights, "--layers", "fc1", "--methods", "nmf", "pca"]
    record = answer(capsys, "report", *small)
    [page] = record["files"]
    assert page == "mlp-of-weights.safetensors.html" and {row["method"] for row in record["classes"]} == {"nmf", "pca"}
    assert (
        "mlp of weights.safetensors" in Path(page).read_text(encoding="utf-8") and record["preflight"]["accuracy"] == 1
    )
    record = answer(capsys, "check", *stranger.by_weights, "--below", "1", code=WRONG)
    assert record["memorises"] and record["preflight"]["accuracy"] == 1


def test_draws_and_methods(stranger: Stranger, capsys: Capture) -> None:
    options = ["--layers", "fc1", "--classes", "1", "--per-class", "5", "--draws", "2", "--methods", "pca", "random"]
    for target in (stranger.by_weights, ["digits-mlp-p1-s0"]):
        rows = answer(capsys, "diagnose", *target, *options)["layers"]
        assert {row["method"]: row["batches"] for row in rows} == {"pca": 2, "random": 2}
    assert main(["diagnose", "digits-mlp-p1-s0", *options]) == OK
    assert "pca     fc1 " in capsys.readouterr().out


def test_a_network_without_relu_is_measured_by_signed_nmf(in_folder: None, capsys: Capture) -> None:
    smooth = ["diagnose", "--model", "stranger_code:smooth", "--data", "samples.npz", "--normalization", "none"]
    record = answer(capsys, *smooth)
    assert [(row["layer"], row["method"]) for row in record["layers"]] == [("2", "signed")]
    assert [layer["kind"] for layer in record["preflight"]["layers"]] == ["GELU"]
    record = answer(capsys, *smooth, "--preflight", "--methods", "nmf", code=WRONG)
    assert record["methods"] == ["nmf"] and "no layer can be measured" in " ".join(record["problems"])


def test_where_a_report_can_not_be_written(tmp_path: Path, capsys: Capture) -> None:
    for option in ("--html", "--to-json"):
        assert main(["report", "digits-mlp-p0-s0", option, str(tmp_path / "no" / "x")]) == MISTAKE
        assert f"There is no folder {tmp_path / 'no'} to write x into." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", "7"], "Class 7 is out of range: mlp of weights.safetensors has 0 .. 2."),
        (["--layers", "x"], "Unknown layer"),
        (["--normalization", "x"], "Unknown normalisation 'x'"),
        (["--device", "x"], "no device 'x'"),
        (["--per-class", "1"], "at least 2 samples"),
    ],
)
def test_what_is_no_option(stranger: Stranger, capsys: Capture, options: list[str], message: str) -> None:
    assert main(["diagnose", *stranger.by_weights, *options]) == MISTAKE
    assert message in capsys.readouterr().err


def test_a_file_that_can_run_code_is_not_opened_without_being_told(stranger: Stranger, capsys: Capture) -> None:
    assert main(["diagnose", "--exported", str(stranger.folder / "network.pt2"), "--data", stranger.data]) == MISTAKE
    assert "--trust" in capsys.readouterr().err


def test_curves_of_the_zoo_come_from_the_cache(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["diagnose", "digits-mlp-p0-s1", "--layers", "fc1", "--classes", "0", "1", "--per-class", "5"]
    first = answer(capsys, *command)

    def fail(*_: Any, **__: Any) -> None:
        raise NmfdiagError("dead")

    monkeypatch.setattr(sweep, "compute", fail)
    assert answer(capsys, *command) == first and first["skipped"] == {}
    wider = answer(capsys, *command, "--classes", "0", "1", "2")
    assert wider["layers"] == first["layers"] and wider["skipped"] == {"fc1, class 2, nmf": "dead"}
    assert main([*command, "--classes", "2"]) == MISTAKE and "nmfdiag: dead" in capsys.readouterr().err


def test_interrupted(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "compute", stop)
    assert main(["diagnose", "digits-mlp-p0-s1", "--layers", "fc3", "--per-class", "5"]) == INTERRUPTED
    assert "interrupted; curves that are in the cache are kept" in capsys.readouterr().err
