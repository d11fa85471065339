"""The command line: answers, JSON and exit codes."""

import io
import json
import os
import subprocess
import sys

import pytest

import nmfdiag
from nmfdiag.cli import MISTAKE, OK, UNWRITTEN, WRONG, main
from nmfdiag.commands import info


def test_diagnose_a_zoo_network(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["diagnose", "digits-mlp-p1-s0", "--layers", "fc1", "--classes", "0", "1", "--per-class", "10", "--json"]
    assert main(command) == OK
    first = json.loads(capsys.readouterr().out)
    assert first["layers"][0]["batches"] == 2 and 0 < first["layers"][0]["auc"] < 1
    assert main(command) == OK
    assert json.loads(capsys.readouterr().out) == first
    assert main(["cache", "stats", "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["curves"] >= 2


def test_info_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == OK
    assert "cpu" in json.loads(capsys.readouterr().out)["devices"]
    assert main(["zoo", "list"]) == OK
    assert "digits-cnn-p0.4-s1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["diagnose", "nope"], "no network"),
        (["diagnose", "digits-mlp-p0-s0", "--layers", "x"], "Unknown layer"),
        (["diagnose", "digits-mlp-p0-s0", "--classes", "44"], "out of range"),
        (["zoo", "train", "nope"], "No zoo network"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], command: list[str], message: str) -> None:
    assert main(command) == MISTAKE
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", [["zoo", "list"], ["--help"], ["zoo", "list", "--json"]])
def test_a_closed_pipe_is_no_error(command: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "nmfdiag", *command], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (process.returncode, process.stderr) == (OK, b"")


FULL = "/dev/full"


@pytest.mark.skipif(not os.path.exists(FULL), reason="needs a device that is always full")
@pytest.mark.parametrize(
    ("redirection", "code"), [(f">{FULL}", UNWRITTEN), (">&-", UNWRITTEN), (f"2>{FULL}", OK), ("2>&-", OK)]
)
@pytest.mark.parametrize("command", ["--version", "zoo list"])
def test_an_answer_goes_to_the_other_stream_if_one_fails(command: str, redirection: str, code: int) -> None:
    shell = f'"{sys.executable}" -m nmfdiag {command} {redirection}'
    process = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False)
    assert process.returncode == code
    answer = {"--version": f"nmfdiag {nmfdiag.__version__}", "zoo list": "digits-cnn-p0.4-s1"}[command]
    assert answer in process.stdout + process.stderr
    assert "Traceback" not in process.stderr and "Exception ignored" not in process.stderr


@pytest.mark.parametrize(
    ("encoding", "printed"), [("utf-8", "数 ±"), ("ascii", r"\u6570 \xb1"), ("cp1252", r"\u6570 ±")]
)
def test_unencodable_characters_are_escaped(monkeypatch: pytest.MonkeyPatch, encoding: str, printed: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(info, "_info", lambda _: (WRONG, {}, "数 ±"))
    assert main(["info"]) == WRONG
    assert stream.buffer.getvalue().decode(encoding).rstrip() == printed  # type: ignore[attr-defined]
