"""The command line: answers, JSON and exit codes."""

import json
import os
import subprocess
import sys

import pytest

from nmfdiag.cli import MISTAKE, OK, main


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
    ("command", "words"),
    [
        (["diagnose", "nope"], "no network"),
        (["diagnose", "digits-mlp-p0-s0", "--layers", "x"], "Unknown layer"),
        (["diagnose", "digits-mlp-p0-s0", "--classes", "44"], "out of range"),
        (["zoo", "train", "nope"], "No zoo network"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], command: list[str], words: str) -> None:
    assert main(command) == MISTAKE
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", [["zoo", "list"], ["--help"], ["zoo", "list", "--json"]])
def test_nobody_reads_on(command: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "nmfdiag", *command], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (OK, b"")
