"""The code of README.md, run as it stands there, on a small trained network and its digits."""

import html
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.cli import OK, WRONG, main
from nmfdiag.zoo.registry import lookup

README = Path(__file__).parents[1] / "README.md"
SECTION = "Your own network"
ENTRY = "digits-mlp-p0.4-s0"
CLASSES, PER_CLASS = 3, 6


def blocks(language: str) -> list[str]:
    """Return the code blocks of the section, in order."""
    section = re.search(rf"^## {SECTION}\n(.*?)^## ", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert section is not None
    return re.findall(rf"^```{language}\n(.*?)^```", section[1], re.DOTALL | re.MULTILINE)


@pytest.fixture
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the reader has: a network, training samples as it takes them, and the labels that it was trained with."""
    monkeypatch.chdir(tmp_path)
    entry = lookup(ENTRY)
    pool = entry.load_pool()
    rows = torch.cat([torch.nonzero(pool.given_labels == c).flatten()[:PER_CLASS] for c in range(CLASSES)])
    return {"model": entry.load_model(), "inputs": pool.inputs[rows], "labels": pool.given_labels[rows]}


def test_every_block_is_run() -> None:
    assert len(blocks("sh")) == 2 and len(blocks("python")) == 2
    assert set(re.findall(r"^```(\w*)$", README.read_text(encoding="utf-8"), re.MULTILINE)) == {
        "",
        "sh",
        "python",
        "bat",
    }


@pytest.mark.parametrize("by_shell", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["here", "at the shell"])
def test_a_checkpoint(
    variables: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    by_shell: bool,
) -> None:
    entry = lookup(ENTRY)
    mean, std = (torch.tensor(value).view(-1, 1, 1) for value in (entry.mean, entry.std))
    pixels = ((variables["inputs"] * std + mean) * 255).round().to(torch.uint8)
    np.savez(tmp_path / "train.npz", x=pixels.numpy(), y=variables["labels"].numpy())
    torch.save(variables["model"].state_dict(), tmp_path / "weights.pth")
    monkeypatch.setenv("NMFDIAG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(README.parent))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    recipe, _ = blocks("sh")  # suspects: tests/commands/test_suspects.py
    if by_shell:
        tolerant = re.sub(r"^nmfdiag check [^#\n]*", r"\g<0> || test $? = 1 ", recipe, flags=re.MULTILINE)
        subprocess.run(["bash", "-euo", "pipefail", "-c", tolerant], check=True)
    else:
        for command, *arguments in (shlex.split(line, comments=True) for line in recipe.splitlines()):
            accepted = (OK, WRONG) if arguments[0] == "check" else (OK,)  # 40 % of these labels are random
            assert command == "nmfdiag" and main(arguments) in accepted
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Written: report.html" in capfd.readouterr().out
    for layer in entry.layers:
        assert layer in report


def test_a_training_loop(variables: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    x, y = variables["inputs"], variables["labels"]
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)

    def train_one_epoch(model: nn.Module) -> None:
        for batch, labels in zip(x.split(50), y.split(50), strict=True):
            optimizer.zero_grad()
            F.cross_entropy(model(batch), labels).backward()
            optimizer.step()

    names: dict[str, Any] = variables | {"model": model, "train_one_epoch": train_one_epoch}
    exec(compile(blocks("python")[0], "README.md", "exec"), names)
    history = names["monitor"].history
    assert len(history) == 100 and history[0]["curves"]["nmf"]
    assert (tmp_path / "runs" / "first" / "run.jsonl").read_text().count("\n") == 102  # a header, epochs, the result
    assert history[-1]["curves"]  # measured at the end, if not before


def test_a_report(variables: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(blocks("python")[1], "README.md", "exec"), variables)
    assert variables["layers"] == list(lookup(ENTRY).layers)
    assert variables["curve"].layer == variables["layers"][-1] and 0 < variables["curve"].auc <= 1
    diagnosis = variables["diagnosis"]
    statement = variables["suspects"].noise_rate.statement
    assert capsys.readouterr().out.split("\n") == [f"{diagnosis.verdict} {diagnosis.code}", statement, ""]
    assert (tmp_path / "suspects.csv").read_text().count("\n") == 1 + len(variables["labels"])
    assert diagnosis.verdict in html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_the_network_has_learned_these_samples(variables: dict[str, Any]) -> None:
    logits: Tensor = variables["model"](variables["inputs"])
    assert float((logits.argmax(1) == variables["labels"]).float().mean()) > 0.98
