"""``nmfdiag zoo open`` and ``zoo remove``: a stranger's network becomes one of the zoo, and goes again."""

import json
from pathlib import Path

import pytest
from foreign_network import CLASSES, PER_CLASS, Stranger

from nmfdiag.cli import MISTAKE, OK, main
from nmfdiag.zoo.registry import lookup

Capture = pytest.CaptureFixture[str]


def test_open_diagnose_verify_remove(stranger: Stranger, own_zoo: Path, capsys: Capture) -> None:
    assert main(["zoo", "open", "mine", *stranger.by_weights, "--normalization", "none", "--json"]) == OK
    output = capsys.readouterr()
    record = json.loads(output.out)
    assert record["name"] == "mine" and record["layers"] == ["fc1", "fc2", "fc3"] and record["pool_accuracy"] == 1
    assert record["preflight"]["accuracy"] == 1 and record["problems"] == [] and len(record["classes"]) == CLASSES
    assert "100%" in output.err
    assert len(lookup("mine").load_pool().inputs) == CLASSES * PER_CLASS

    assert main(["diagnose", "mine", "--layers", "fc3", "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["layers"][0]["batches"] == CLASSES
    assert main(["zoo", "verify", "mine"]) == OK
    assert main(["zoo", "open", "mine", *stranger.by_weights]) == MISTAKE
    assert "'mine' is taken: choose another one, or give --replace" in capsys.readouterr().err
    assert main(["zoo", "open", "mine", *stranger.by_weights, "--per-class", "5", "--replace"]) == OK
    assert len(lookup("mine").load_pool().inputs) == CLASSES * 5
    capsys.readouterr()

    assert main(["zoo", "remove", "mine", "--json"]) == OK
    assert json.loads(capsys.readouterr().out) == {"removed": ["mine"]}
    assert not [path for path in own_zoo.rglob("*") if path.is_file()]
    assert main(["zoo", "remove", "mine"]) == MISTAKE
    assert "no network 'mine'" in capsys.readouterr().err


def test_only_ones_own_are_removed(own_zoo: Path, capsys: Capture) -> None:
    files = lookup("digits-mlp-p0-s0").files.values()
    assert main(["zoo", "remove", "digits-mlp-p0-s0"]) == MISTAKE
    assert "not removed" in capsys.readouterr().err and all(path.is_file() for path in files)


def test_activations_and_a_network_that_guesses(stranger: Stranger, own_zoo: Path, capsys: Capture) -> None:
    assert main(["zoo", "open", "last", "--activations", str(stranger.folder / "activations.npz")]) == OK
    assert "last is in" in capsys.readouterr().out
    assert main(["diagnose", "last", "--json"]) == OK
    assert [row["layer"] for row in json.loads(capsys.readouterr().out)["layers"]] == ["activations"]
    wrong = str(stranger.folder / "mislabelled.npz")
    assert (
        main(["zoo", "open", "wrong", "--weights", stranger.weights, "--data", wrong, "--normalization", "none"]) == OK
    )
    assert (
        "A diagnosis would mean nothing: 0% of these" in capsys.readouterr().out and lookup("wrong").pool_accuracy == 0
    )


@pytest.mark.parametrize("way", [["--model", "a:b"], ["--exported", "a.pt2", "--trust"]])
def test_own_code_is_not_for_the_zoo(own_zoo: Path, capsys: Capture, way: list[str]) -> None:
    assert main(["zoo", "open", "code", *way, "--data", "x", "--json"]) == MISTAKE
    assert "can be diagnosed, but not put there" in json.loads(capsys.readouterr().err)["error"]
