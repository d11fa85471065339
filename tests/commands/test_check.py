"""``check``: its gates, what each judges, and exit codes, on networks of the zoo."""

import json
from typing import Any

import pytest

from nmfdiag.cli import MISTAKE, OK, WRONG, main
from nmfdiag.diagnosis.answers import NOISY
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import score_labels
from nmfdiag.measures.memorised import MEMORISED

Capture = pytest.CaptureFixture[str]
CLEAN, RANDOM = "digits-mlp-p0-s0", "digits-mlp-p1-s0"
SMALL = ["--layers", "fc1", "--classes", "0", "1", "--per-class", "5"]


def checked(capsys: Capture, name: str, *gates: str, code: int) -> dict[str, Any]:
    assert main(["check", name, *SMALL, *gates, "--json"]) == code
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert record["passed"] == (code == OK)
    return record


def test_without_a_gate_the_code_decides(capsys: Capture) -> None:
    assert checked(capsys, CLEAN, code=OK)["code"] == "generalises"
    record = checked(capsys, RANDOM, code=WRONG)
    assert record["code"] == "noisy_labels" and record["gates"] == [] and "below" not in record
    assert main(["check", RANDOM, *SMALL]) == WRONG
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == record["verdict"] and lines[1] == "Code noisy_labels: fails."


@pytest.mark.parametrize(
    ("gate", "question", "default"), [("noise", "labels", NOISY), ("memorised", "memorising", MEMORISED)]
)
def test_a_gate_on_an_answer(capsys: Capture, gate: str, question: str, default: float) -> None:
    assert main(["diagnose", RANDOM, *SMALL, "--json"]) == OK
    answer = json.loads(capsys.readouterr().out)["answers"][question]
    [judged] = checked(capsys, RANDOM, f"--{gate}", code=WRONG)["gates"]
    assert judged["limit"] == default and judged["failed"] and judged["reason"] == ""
    assert [judged[key] for key in ("value", "low", "high")] == [answer[key] for key in ("estimate", "low", "high")]
    assert default < answer["estimate"] < 1
    checked(capsys, RANDOM, f"--{gate}", repr(answer["estimate"]), code=WRONG)  # it reaches the limit
    checked(capsys, RANDOM, f"--{gate}", "1", code=OK)  # although the code is noisy_labels: only named gates are judged
    checked(capsys, CLEAN, f"--{gate}", code=OK)


def test_a_gate_on_the_expected_error_has_no_default(capsys: Capture) -> None:
    assert main(["diagnose", CLEAN, *SMALL, "--json"]) == OK
    error = json.loads(capsys.readouterr().out)["expected_error"]["estimate"]
    [judged] = checked(capsys, CLEAN, "--error", repr(max(error, 1e-9)), code=WRONG if error else OK)["gates"]
    assert judged["value"] == error
    checked(capsys, CLEAN, "--error", "1", code=OK)
    with pytest.raises(SystemExit) as stop:
        main(["check", CLEAN, *SMALL, "--error"])
    assert stop.value.code == MISTAKE


def test_gates_are_judged_together_and_below_keeps_its_keys(capsys: Capture) -> None:
    record = checked(capsys, RANDOM, "--noise", "1", "--below", "1", code=WRONG)
    assert [gate["failed"] for gate in record["gates"]] == [False]
    assert record["memorises"] and record["below"] == 1 and record["layer"] == "fc1" and 0 < record["auc"] < 1
    record = checked(capsys, RANDOM, "--below", "0.01", code=OK)
    assert not record["memorises"] and record["code"] == "noisy_labels"
    assert main(["check", RANDOM, *SMALL, "--noise", "--memorised", "1", "--error", "1"]) == WRONG
    noise, memorised, error = capsys.readouterr().out.splitlines()[:3]
    assert noise.startswith("Wrong labels: ") and noise.endswith("--noise 0.1 fails.")
    assert memorised.endswith("--memorised 1 passes.") and error.startswith("Expected error: ")


def test_what_cannot_be_told_fails_with_the_reason(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise NmfdiagError("dead")

    monkeypatch.setattr(score_labels, "score", fail)
    name = "digits-mlp-p0.6-s1"  # whose labels no other test of commands scores
    assert checked(capsys, name, code=WRONG)["code"] == "inconclusive"
    record = checked(capsys, name, "--noise", "--error", "0.5", code=WRONG)
    assert [(gate["value"], gate["failed"]) for gate in record["gates"]] == [(None, True)] * 2
    assert main(["check", name, *SMALL, "--memorised"]) == WRONG
    output = capsys.readouterr()
    assert "can't be told, so that --memorised 0.15 fails. The labels" in output.out and "dead" in output.err
    checked(capsys, name, "--below", "0.01", code=OK)  # AuC is known


@pytest.mark.parametrize("gate", ["noise", "memorised", "error", "below"])
@pytest.mark.parametrize("limit", ["0", "1.5", "nan"])
def test_a_limit_that_is_no_share(capsys: Capture, gate: str, limit: str) -> None:
    assert main(["check", CLEAN, f"--{gate}", limit]) == MISTAKE
    assert f"--{gate} must lie in (0, 1], got {float(limit)}." in capsys.readouterr().err
