"""A run's file is never another run's: several started at once, put aside, full disks, removed folders; values of any type are JSON."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nmfdiag.monitor import run_file
from nmfdiag.monitor.callback import MemorizationMonitor
from nmfdiag.monitor.run_file import RunFile
from nmfdiag.monitor.run_reader import MOST_EPOCHS, monitored_runs
from nmfdiag.monitor.trainer import under_way

PROBE = (torch.rand(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 4)
HEADER = {"name": "x", "experiment": "monitor", "recipe": None, "probe": {}, "provenance": {}}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def strict(text: str) -> Any:
    """JSON as every reader takes it: without NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [strict(line) for line in path.read_text().splitlines()]


def epochs_by_run(folder: Path) -> dict[str, list[int]]:
    return {
        lines[0]["name"]: [line["epoch"] for line in lines if "epoch" in line]
        for lines in map(lines_of, folder.rglob("run*.jsonl"))
    }


def test_runs_begun_at_once_in_one_folder_keep_all_their_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda form: "20260101-120000")  # all in one second
    files = [RunFile(tmp_path, HEADER | {"name": f"run {i}"}) for i in range(6)]

    def write(file: RunFile) -> None:
        file.begin()
        for epoch in range(1, 21):
            file.write({"epoch": epoch, "curves": {}})

    threads = [threading.Thread(target=write, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert epochs_by_run(tmp_path) == {f"run {i}": list(range(1, 21)) for i in range(6)}
    assert len(list(tmp_path.iterdir())) == 6


def test_a_file_that_is_missed_while_it_is_renamed_is_not_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (RunFile(tmp_path, HEADER | {"name": name}) for name in ("first", "second"))
    first.write({"epoch": 1, "curves": {}})
    second.begin()  # puts the first one's file aside
    read, n_reads = Path.glob, 0

    def missing_once(folder: Path, pattern: str) -> list[Path]:
        nonlocal n_reads
        n_reads += 1
        return list(read(folder, pattern)) if n_reads > 1 else []

    monkeypatch.setattr(Path, "glob", missing_once)
    first.write({"epoch": 2, "curves": {}})
    assert n_reads == 2
    assert sorted(len(lines_of(path)) for path in tmp_path.iterdir()) == [1, 3]


def test_a_run_goes_on_in_its_own_file_when_another_takes_the_name(tmp_path: Path) -> None:
    first = RunFile(tmp_path / "f", HEADER | {"name": "first"})
    first.write({"epoch": 1, "curves": {}})
    second = RunFile(tmp_path / "f", HEADER | {"name": "second"})
    second.write({"epoch": 1, "curves": {}})
    [aside] = [run for run in monitored_runs(tmp_path)[0] if run.run.name == "first"]
    assert not under_way(aside, time.time())
    first.write({"epoch": 2, "curves": {}})
    assert epochs_by_run(tmp_path) == {"first": [1, 2], "second": [1]}
    runs, problems = monitored_runs(tmp_path)
    assert problems == [] and all(under_way(run, time.time()) for run in runs)
    assert lines_of(tmp_path / "f" / "run.jsonl")[0]["name"] == "second"


def test_what_could_not_be_written_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RunFile(tmp_path, HEADER)
    file.write({"epoch": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            file.write({"epoch": 2})
    assert [line.get("epoch") for line in lines_of(tmp_path / "run.jsonl")[1:]] == [1]
    file.write({"epoch": 3})
    assert [line.get("epoch") for line in lines_of(tmp_path / "run.jsonl")[1:]] == [1, 2, 3]


def test_a_removed_folder_is_written_again_from_the_beginning(tmp_path: Path) -> None:
    monitor = MemorizationMonitor(*PROBE, folder=tmp_path / "run", overhead=1e9)
    monitor.on_epoch_end(network(), 1)
    (tmp_path / "run" / "run.jsonl").unlink()
    (tmp_path / "run").rmdir()
    monitor.on_epoch_end(network(), 2)
    [monitored], problems = monitored_runs(tmp_path)
    assert problems == [] and [line["epoch"] for line in monitored.run.epochs] == [1, 2]


def test_a_changed_directory_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monitor = MemorizationMonitor(*PROBE, folder="first", overhead=1e9)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monitor.on_epoch_end(network(), 1)
    assert epochs_by_run(tmp_path) == {"first": [1]} and not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "number",
    [
        3,
        np.int64(3),
        np.uint8(3),
        np.array(3),
        torch.tensor(3),
        torch.tensor([3], dtype=torch.int16),
        3.0,
        np.float32(3),
    ],
    ids=repr,
)
def test_an_epoch_is_a_whole_number_of_any_type(tmp_path: Path, number: Any) -> None:
    monitor = MemorizationMonitor(*PROBE, folder=tmp_path / "run", overhead=1e9)
    line = monitor.on_epoch_end(network(), number)
    assert type(line["epoch"]) is int and line["curves"]["nmf"]
    assert epochs_by_run(tmp_path) == {"run": [3]}


@pytest.mark.parametrize(
    "number",
    [True, np.bool_(True), torch.tensor(True), 1.5, -1, float("nan"), "3", None, MOST_EPOCHS, torch.ones(2)],
    ids=repr,
)
def test_what_is_no_epoch_is_said_once_and_leaves_the_run_readable(
    tmp_path: Path, number: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = MemorizationMonitor(*PROBE, folder=tmp_path / "run", overhead=1e9)
    monitor.on_epoch_end(network(), 1)
    monitor.on_epoch_end(network(), number)
    monitor.on_epoch_end(network(), number)
    monitor.on_epoch_end(network(), 2)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1 and "number must be whole" in warnings[0].getMessage()
    [monitored], problems = monitored_runs(tmp_path)
    assert problems == [] and [line["epoch"] for line in monitored.run.epochs] == [1, 2]


def test_logged_values_of_any_type_are_json_and_collide_with_nothing(tmp_path: Path) -> None:
    monitor = MemorizationMonitor(*PROBE, folder=tmp_path / "run", overhead=1e9)
    logs: dict[str, Any] = {
        "a": torch.tensor(0.5, requires_grad=True), "b": np.float16(0.5), "c": torch.tensor([0.5]), "d": torch.tensor(0.5).bfloat16(),
        "nan": float("nan"), "inf": np.float32("inf"), "huge": 10**400, "text": "7", "many": torch.ones(3), "none": None,
        "curves": 1, "seconds": 2, "should_stop": 3, "result": 4, "stopped": 5, "\ud800": 6,
    }  # fmt: skip
    monitor.on_epoch_end(network(), 1, **logs)
    line = lines_of(tmp_path / "run" / "run.jsonl")[1]
    assert [line[name] for name in "abcd"] == [0.5] * 4 and line["nan"] is None and line["inf"] is None
    assert not {"huge", "text", "many", "none"} & set(line) and line["curves"]["nmf"] and line["should_stop"] is False
    assert [line[f"logged_{name}"] for name in ("curves", "seconds", "should_stop")] == [1, 2, 3]
    [monitored], problems = monitored_runs(tmp_path)
    assert (
        problems == []
        and not monitored.run.finished
        and monitored.run.stopped == ""
        and under_way(monitored, time.time())
    )
    monitor.finish(accuracy=torch.tensor(0.5), loss=float("nan"), note="good")  # type: ignore[arg-type]
    assert lines_of(tmp_path / "run" / "run.jsonl")[-1]["result"] == {"epochs": 1, "accuracy": 0.5, "loss": None}


def test_the_end_measures_an_epoch_that_was_skipped_and_only_that(tmp_path: Path) -> None:
    model, monitor = network(), MemorizationMonitor(*PROBE, folder=tmp_path / "run", overhead=1e-9)
    for epoch in (1, 2, 3):
        monitor.on_epoch_end(model, epoch, train_loss=0.5)
    assert [bool(line["curves"]) for line in monitor.history] == [True, False, False]
    monitor.finish(model, accuracy=0.5)
    [monitored], problems = monitored_runs(tmp_path)
    run = monitored.run
    assert [bool(line["curves"]) for line in run.epochs] == [True, False, True] and not problems and run.replaced == 0
    assert run.result == {"epochs": 3, "accuracy": 0.5} and run.epochs[2]["curves"] == monitor.history[2]["curves"]
    assert run.epochs[2]["train_loss"] == 0.5 and run.epochs[2]["curves"].keys() == run.epochs[0]["curves"].keys()
    assert len(lines_of(tmp_path / "run" / "run.jsonl")) == 5
    full = MemorizationMonitor(*PROBE, folder=tmp_path / "all", overhead=1e9)
    full.on_epoch_end(model, 1)
    full.finish(model)
    assert lines_of(tmp_path / "all" / "run.jsonl")[-1] == {"result": {"epochs": 1}}


def test_where_epochs_go_back_the_later_ones_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = MemorizationMonitor(*PROBE, folder=tmp_path / "run", patience=2, overhead=1e9)
    values = {(1, 0): 0.5, (2, 0): 0.9, (3, 0): 0.8, (4, 0): 0.7, (2, 1): 0.4, (3, 1): 0.6}
    stops = []
    for key in values:
        monkeypatch.setattr(
            monitor, "_measure", lambda model, value=values[key]: {"nmf": {"1": {"relative": value, "auc": value}}}
        )
        monitor.on_epoch_end(network(), key[0])
        stops.append(monitor.should_stop)
    assert stops == [False, False, False, True, False, False] and monitor.best_epoch == 3
    [monitored], _ = monitored_runs(tmp_path)
    assert [line["epoch"] for line in monitored.run.epochs] == [1, 2, 3] and monitored.run.replaced == 3
    assert monitored.run.layer_values("nmf", "1", "relative") == [0.5, 0.4, 0.6]
    assert epochs_by_run(tmp_path)["run"] == [epoch for epoch, _ in values]  # nothing is lost


def test_runs_at_any_depth_are_listed(tmp_path: Path) -> None:
    places = ["first", "grid/seed0", "grid/seed1", "a/b/c/d"]
    for place in (*places, "."):
        RunFile(tmp_path / place, HEADER | {"name": place}).begin()
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "grid" / "again").symlink_to(tmp_path, target_is_directory=True)
    runs, problems = monitored_runs(tmp_path)
    assert problems == [] and {*places, tmp_path.name} <= {run.place for run in runs}


def test_a_folder_that_is_too_large_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmfdiag.monitor.run_reader.MOST_FILES", 2)
    for i in range(4):
        RunFile(tmp_path / str(i), HEADER | {"name": str(i)}).begin()
    runs, problems = monitored_runs(tmp_path)
    assert len(runs) == 2 and len(problems) == 1 and "only the first 2 runs are shown" in problems[0]


@pytest.mark.parametrize(
    "make", [lambda p: p.write_text("in the way"), lambda p: p.mkdir(mode=0o500)], ids=["file", "locked"]
)
def test_a_run_that_can_not_be_begun_is_told_at_once(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "run")
    if os.access(tmp_path / "run", os.W_OK) and (tmp_path / "run").is_dir():
        pytest.skip("nothing is locked for this user")
    with pytest.raises(ValueError, match="can't be written"):
        MemorizationMonitor(*PROBE, folder=tmp_path / "run")


def test_an_interrupted_line_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b"')

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with path.open("rb+", buffering=0) as file, pytest.raises(KeyboardInterrupt):
        run_file.write_line(file, b'{"c": 2}')
    assert path.read_bytes() == b'{"a": 1}\n'
