"""Monitored runs on the disk, the one that the dashboard trains itself, and that watching a training leaves its weights alone."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from planted_run_files import HEAD, epoch_line, write_run
from timeouts import wait_until

from nmfdiag.cli import main
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.child_process import State
from nmfdiag.monitor.run_reader import Run, monitored_runs, run_files, runs_folder
from nmfdiag.monitor.train_watched import train_watched
from nmfdiag.monitor.trainer import QUIET_SECONDS, TRAINABLE, Command, Trainer, train_command, under_way
from nmfdiag.zoo import recipes
from nmfdiag.zoo.recipes import recipe
from nmfdiag.zoo.training import train

DONE = {"result": {"epochs": 12}}


def only(folder: Path) -> Run:
    [monitored], problems = monitored_runs(folder)
    assert problems == []
    return monitored.run


def test_runs_are_found_newest_first_with_and_without_a_recipe(tmp_path: Path) -> None:
    write_run(tmp_path, "old", age=900, p=0.4)
    write_run(tmp_path, "new", age=10, end_line=DONE)
    write_run(tmp_path, "new", age=300, file="run-20260101-120000.jsonl")
    (tmp_path / "new" / "notes.jsonl").write_text("{}")
    runs, problems = monitored_runs(tmp_path)
    assert [(run.run.name, run.path.name) for run in runs] == [
        ("new", "run.jsonl"), ("new", "run-20260101-120000.jsonl"), ("old", "run.jsonl"),
    ]  # fmt: skip
    assert problems == [] and list(run_files(tmp_path)) == [run.path for run in runs]
    assert runs[0].run.recipe is None and runs[0].run.finished and runs[0].run.layers == ["a", "b"]
    assert runs[2].run.recipe is not None and runs[2].run.recipe.label_noise == 0.4 and not runs[2].run.finished
    assert monitored_runs(tmp_path / "nowhere") == ([], [])


def test_a_run_under_way_or_killed_in_a_line_stays_readable_and_grows(tmp_path: Path) -> None:
    path = write_run(tmp_path, epochs=3)
    path.write_text(path.read_text() + '{"epoch": 4, "cur')
    assert len(only(tmp_path).epochs) == 3 and not only(tmp_path).finished
    before = run_files(tmp_path)
    path.write_text(path.read_text().rsplit("\n", 1)[0] + "\n" + json.dumps(epoch_line(4, 4)) + "\n")
    assert run_files(tmp_path) != before and len(only(tmp_path).epochs) == 4
    path.write_text(path.read_text() + json.dumps({"stopped": "cancelled"}) + "\n")
    assert only(tmp_path).stopped == "cancelled" and len(only(tmp_path).epochs) == 4


@pytest.mark.parametrize(
    "content",
    [
        "", "[1]\n", '{"name": "x"}\n', '{"oops\n{}\n', "\xff",
        json.dumps(HEAD | {"name": "x", "recipe": None}) + '\n{"epoch": 1}\n',
        json.dumps(HEAD | {"name": "x", "recipe": None}) + '\n{"epoch": "1", "curves": {}}\n',
        json.dumps(HEAD | {"name": "x", "recipe": None}) + '\n{"epoch": 1, "curves": {"nmf": {"a": {"auc": "high"}}}}\n',
        json.dumps(HEAD | {"name": "x", "recipe": {"depth": 3}}) + "\n",
    ],
    ids=["empty", "list", "no header", "damaged", "no text", "no curves", "no epoch", "no number", "no recipe"],
)  # fmt: skip
def test_what_can_not_be_read_is_reported_beside_the_others(tmp_path: Path, content: str) -> None:
    write_run(tmp_path, "good")
    path = write_run(tmp_path, "bad")
    path.write_bytes(content.encode("latin-1"))
    runs, problems = monitored_runs(tmp_path)
    assert [run.run.name for run in runs] == ["good"]
    assert len(problems) == 1 and problems[0].startswith("bad: ")


def test_a_run_is_under_way_until_it_ends_or_falls_silent(tmp_path: Path) -> None:
    write_run(tmp_path, "fresh", age=1)
    write_run(tmp_path, "silent", age=QUIET_SECONDS + 1)
    write_run(tmp_path, "done", age=1, end_line=DONE)
    write_run(tmp_path, "cancelled", age=1, end_line={"stopped": "cancelled"})
    write_run(tmp_path, "aside", age=1, file="run-20260101-120000.jsonl")
    runs, _ = monitored_runs(tmp_path)
    assert [run.run.name for run in runs if under_way(run, time.time())] == ["fresh"]


def test_the_folder_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NMFDIAG_RUNS", str(tmp_path))
    assert runs_folder() == tmp_path
    monkeypatch.delenv("NMFDIAG_RUNS")
    assert runs_folder() == Path("runs")


def test_a_watched_training_gives_the_same_weights_to_the_last_bit(tmp_path: Path) -> None:
    short = replace(recipe("digits-mlp-p0.4-s0"), n_train=200, max_epochs=3, arch_options={"width": 16, "depth": 2})
    lines: list[dict[str, float]] = []
    alone = train(short)
    watched = train_watched(short, tmp_path, on_epoch=lines.append)
    pairs = zip(alone.model.state_dict().values(), watched.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs) and watched.log == alone.log == lines
    run = only(tmp_path)
    assert run.finished and run.result["test_accuracy"] == alone.test_accuracy
    assert run.recipe == short and run.series("test_loss") == [line["test_loss"] for line in alone.log]
    assert all(set(line["curves"]["nmf"]) == set(run.layers) for line in run.epochs)


def test_the_command_line_watches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = replace(recipe("digits-mlp-p0-s0"), n_train=100, max_epochs=2, arch_options={"width": 16, "depth": 2})
    monkeypatch.setitem(recipes.RECIPES, short.name, short)
    runs = tmp_path / "runs"
    command = ["zoo", "train", short.name, "--device", "cpu", "--out", str(tmp_path / "zoo")]
    assert main([*command, "--watch", str(runs)]) == 0
    assert only(runs).name == short.name and (tmp_path / "zoo" / short.name / "entry.json").is_file()
    first = (tmp_path / "zoo" / short.name / "weights.safetensors").read_bytes()
    assert main(command) == 0
    assert (tmp_path / "zoo" / short.name / "weights.safetensors").read_bytes() == first


def script(code: str) -> Command:
    """Return a command in place of the training: it runs ``code`` with the name, the runs and the weights as arguments."""
    return lambda name, runs, out: [sys.executable, "-c", code, name, str(runs), str(out)]


def waited(trainer: Trainer, until: Callable[[], bool]) -> State:
    wait_until(until)
    return trainer.state()


WRITES = (
    "import sys, pathlib, time; f = pathlib.Path(sys.argv[2], sys.argv[1], 'run.jsonl'); f.parent.mkdir(parents=True); "
    f"f.write_text({json.dumps(HEAD | {'name': 'x', 'recipe': None})!r} + chr(10)); "
)


def test_one_at_a_time_and_cancel_ends_it_and_its_run(tmp_path: Path) -> None:
    trainer = Trainer(script(WRITES + "pathlib.Path(sys.argv[3], 'weights').touch(); time.sleep(600)"))
    assert trainer.state() == State()
    trainer.cancel()
    name = TRAINABLE[0]
    trainer.start(name, tmp_path)
    with pytest.raises(NmfdiagError, match="one at a time"):
        trainer.start(TRAINABLE[1], tmp_path)
    assert trainer._child is not None
    process, weights = trainer._child.process, trainer._child.path
    waited(trainer, lambda: bool(monitored_runs(tmp_path)[0]))
    assert trainer.state() == State(name, running=True) and weights.is_dir()
    trainer.cancel()
    assert trainer.state() == State(name) and process.poll() is not None and not weights.exists()
    assert only(tmp_path).stopped == "cancelled"


def test_a_failed_process_shows_its_last_line_and_another_can_be_started(tmp_path: Path) -> None:
    code = "import sys; sys.stderr.write('10%\\r20%\\nnmfdiag: no such data\\n\\n'); sys.exit(2)"
    trainer = Trainer(script(code))
    trainer.start(TRAINABLE[0], tmp_path)
    state = waited(trainer, lambda: not trainer.state().running)
    assert state == State(TRAINABLE[0], problem="nmfdiag: no such data")
    trainer.start(TRAINABLE[0], tmp_path)
    waited(trainer, lambda: not trainer.state().running)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("raise SystemExit(3)", "code 3"),
        ("import os, sys; sys.stderr.write('30%'); sys.stderr.flush(); os.kill(os.getpid(), 9)", "signal 9"),
        ("", ""),
    ],
    ids=["silent", "killed", "well"],
)
def test_how_a_process_ended_is_told(tmp_path: Path, code: str, problem: str) -> None:
    trainer = Trainer(script(code))
    trainer.start(TRAINABLE[0], tmp_path)
    state = waited(trainer, lambda: not trainer.state().running)
    assert problem in state.problem and bool(state.problem) == bool(problem)


def test_an_older_run_of_the_name_is_not_marked(tmp_path: Path) -> None:
    path = write_run(tmp_path, TRAINABLE[0])
    before = path.read_bytes()
    trainer = Trainer(script("import time; time.sleep(600)"))
    trainer.start(TRAINABLE[0], tmp_path)
    trainer.cancel()
    assert path.read_bytes() == before


def test_only_small_networks_are_trained_and_never_through_a_shell(tmp_path: Path) -> None:
    trainer = Trainer()
    with pytest.raises(NmfdiagError, match="takes too long"):
        trainer.start("cifar10-cnn-p0-s0", tmp_path)
    with pytest.raises(NmfdiagError, match="No zoo network"):
        trainer.start("digits-mlp-p0-s0; true", tmp_path)
    with pytest.raises(NmfdiagError, match="can't be trained"):
        Trainer(lambda *_: ["/no/such/program"]).start(TRAINABLE[0], tmp_path)
    command = train_command("digits-mlp-p0-s0", tmp_path / "a b", tmp_path)
    assert command[0] == sys.executable and str(tmp_path / "a b") in command
