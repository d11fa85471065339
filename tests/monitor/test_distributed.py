"""Trainings that processes share: one measures and writes, all stop together or none, and nobody waits for who doesn't come."""

import itertools
import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import distributed_training
import pytest
import torch
import torch.distributed as dist
from distributed_training import EPOCHS, X, Y
from process_kills import context
from torch import nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.monitor import distributed
from nmfdiag.monitor.callback import MemorizationMonitor
from nmfdiag.monitor.distributed import Ranks, runnable_alone

PATIENT_SECONDS = 240


def run_two(loop: str, folder: Path) -> list[dict[str, Any]]:
    """Return the reports of the two processes of a training."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = []
    for rank in range(2):
        reports = {"RANK": rank, "LOCAL_RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        environment = {name: str(value) for name, value in reports.items()}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        process = context().Process(
            target=distributed_training.run, args=(loop, rank, folder, environment), daemon=True
        )
        process.start()
        processes.append(process)
    try:
        for process in processes:
            process.join(PATIENT_SECONDS)
    finally:
        for process in processes:
            process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def written(folder: Path) -> list[int]:
    """Return the epochs of the only run of a folder, which has ended."""
    [file] = folder.iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert file.name == "run.jsonl" and "result" in lines[-1]
    return [line["epoch"] for line in lines[1:-1]]


def test_a_plain_loop_of_two_processes(tmp_path: Path) -> None:
    first, second = run_two("plain", tmp_path)
    member = list(range(1, EPOCHS + 1))
    assert first["alarm"]["epochs"] == second["alarm"]["epochs"] == 2 and written(tmp_path / "alarm") == [1, 2]
    assert (
        first["alarm"]["alarm"] == second["alarm"]["alarm"] and first["alarm"]["best"] == second["alarm"]["best"] == 1
    )
    assert first["whole"]["epochs"] == second["whole"]["epochs"] == len(written(tmp_path / "whole"))
    assert first["whole"]["measured"] == first["whole"]["epochs"] and second["whole"]["measured"] == 0
    for name in ("broken", "talking", "one calls"):
        assert first[name]["epochs"] == second[name]["epochs"] == EPOCHS and written(tmp_path / name) == member
    assert first["broken"]["measured"] == first["talking"]["measured"] == 0
    assert len(first["talking"]["said"]) == 1 and "communicates with the other processes" in first["talking"]["said"][0]
    assert first["one calls"]["alarm"] and "must also call on_epoch_end" in first["one calls"]["said"][-1]


@pytest.mark.soak
@pytest.mark.parametrize("trainer", ["lightning", "transformers"])
def test_trainers_of_two_processes_stop_together(tmp_path: Path, trainer: str) -> None:
    pytest.importorskip(trainer)
    first, second = run_two(trainer, tmp_path)
    assert first["epochs"] == second["epochs"] == 2 and written(tmp_path / "run") == [1, 2]
    assert (first["measured"], second["measured"]) == (2, 0)


@pytest.mark.soak
def test_a_loop_with_accelerate(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    first, second = run_two("accelerate", tmp_path)
    assert first["epochs"] == second["epochs"] == len(written(tmp_path / "run"))
    assert (first["measured"], second["measured"]) == (first["epochs"], 0)


class Group:
    """A stand-in for ``torch.distributed`` of several processes, all of which are this one; ``rank`` says which."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, size: int = 2):
        self.rank, store = 0, dist.HashStore()
        stand_in = SimpleNamespace(
            is_available=lambda: True, is_initialized=lambda: True, get_world_size=lambda: size, get_rank=lambda: self.rank,
            distributed_c10d=SimpleNamespace(_get_default_store=lambda: store),
        )  # fmt: skip
        monkeypatch.setattr(distributed, "dist", stand_in)
        monkeypatch.setattr(distributed, "LONGEST_WAIT", 0.2)
        monkeypatch.setattr(distributed, "LONGEST_FAREWELL", 0.2)
        monkeypatch.setattr(distributed, "_numbers", itertools.count(1))  # 0 is the members' own

    def member(self, rank: int) -> Ranks:
        self.rank = rank
        count = Ranks()
        count._number = 0
        count._store = None
        count._generation = 0
        count._measures = None
        count._join()
        if rank == 0:
            count._claim()
        return count

    def __call__(self, rank: int) -> None:
        self.rank = rank


def test_who_does_not_hear_goes_on_and_so_do_all(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch)
    first, second = group.member(0), group.member(1)
    group(1)
    assert not second.arrive()
    assert second.agreed() == {"stop": False}  # process 0 did not answer in time
    group(0)
    assert first.arrive()
    first.decide({"stop": True})  # too late
    assert first.agreed() == {"stop": False}


def test_who_holds_the_decision_leaves_last(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    group = Group(monkeypatch)
    first, second = group.member(0), group.member(1)
    for member in (first, second):
        group(member is second)
        member.arrive()
    group(0)
    first.decide({"stop": True})
    readings: list[Any] = []

    def second_reads(_: float) -> None:
        group(1)
        readings.append(second.agreed())
        group(0)

    monkeypatch.setattr(distributed, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=second_reads))
    assert first.agreed() == {"stop": True} and readings == [{"stop": True}]
    assert first.agreed() == {"stop": True} and len(readings) == 1  # waits once
    assert not caplog.records


def test_who_never_reads_is_not_waited_for_twice(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    group = Group(monkeypatch)
    first, second = group.member(0), group.member(1)
    pauses: list[float] = []
    monkeypatch.setattr(distributed, "time", SimpleNamespace(monotonic=lambda: len(pauses) * 0.1, sleep=pauses.append))
    for epoch in (1, 2):
        for member in (first, second):
            group(member is second)
            member.arrive()
        group(0)
        first.decide({"stop": True})
        assert first.agreed() == {"stop": True}, epoch
    assert len(pauses) == 3 and [record.message for record in caplog.records] == [
        "Some processes did not read should_stop within 0 s: if nothing else stops them, they go on."
    ]


def test_a_monitor_in_the_last_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch, size=4)
    last = group.member(3)
    assert last.arrive() and last.measures
    last.decide({"stop": True})
    assert last.agreed() == {"stop": True}


def test_divided_weights_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class FSDPModule(nn.Linear):
        pass

    model = nn.Sequential(FSDPModule(2, 2), nn.ReLU())
    assert runnable_alone(model) is model  # in one process it has all of them
    Group(monkeypatch)
    with pytest.raises(NmfdiagError, match="divided among the processes"):
        runnable_alone(model)
    assert runnable_alone(nn.DataParallel(nn.Linear(2, 2))).weight.shape == (2, 2)


def test_the_run_is_begun_when_it_is_known_who_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monitor = MemorizationMonitor(X, Y, folder=tmp_path / "run", overhead=1e9)
    assert not (tmp_path / "run").exists()
    monitor.on_epoch_end(distributed_training.network(), 1)
    monitor.finish()
    assert written(tmp_path / "run") == [1] and torch.is_grad_enabled()
