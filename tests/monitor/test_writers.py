"""The monitor's values in the real TensorBoard and the real Weights & Biases (offline), read back from the files that they wrote."""

import json
import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.data.datasets import load
from nmfdiag.monitor.adapters import tensorboard_writer, wandb_writer
from nmfdiag.monitor.callback import MemorizationMonitor, Writer

EPOCHS, WANDB_BLOCK = 3, 32768
LAYERS = ("2", "5")


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    dataset = load("digits")
    return dataset.inputs[:200].float() / 255, dataset.labels[:200]


def watched(
    digits: tuple[Tensor, Tensor], writers: list[Writer], each_batch: Callable[[float], None] = lambda loss: None
) -> MemorizationMonitor:
    """Train and log every batch, as users' loops do."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    monitor = MemorizationMonitor(*digits, overhead=1e9, writers=writers)
    for epoch in range(1, EPOCHS + 1):
        for x, y in zip(digits[0].split(50), digits[1].split(50), strict=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            each_batch(float(loss.detach()))
        monitor.on_epoch_end(model, epoch)
    return monitor


def areas(monitor: MemorizationMonitor) -> dict[str, list[float]]:
    """Return the values that every writer must get: each method's and layer's AuC over epochs."""
    return {
        f"nmfdiag/{method}/{layer}": [line["curves"][method][layer]["auc"] for line in monitor.history]
        for method in ("nmf", "random")
        for layer in LAYERS
    }


def test_tensorboard(digits: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tensorboard.SummaryWriter(str(tmp_path)) as summary:
        monitor = watched(digits, [tensorboard_writer(summary)])
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    expected = areas(monitor)
    assert sorted(events.Tags()["scalars"]) == sorted(expected)
    for name, values in expected.items():
        assert [event.step for event in events.Scalars(name)] == [1, 2, 3]
        assert [event.value for event in events.Scalars(name)] == pytest.approx(values)  # float32 on disk


def wandb_records(file: Path) -> list[Any]:
    """Return the records of an offline run: a LevelDB log after seven bytes of header."""
    from wandb.proto.wandb_internal_pb2 import Record

    raw, values, part, records = file.read_bytes(), 7, b"", []
    while values + 7 <= len(raw):
        left = WANDB_BLOCK - values % WANDB_BLOCK
        if left < 7:
            values += left
            continue
        _, length, kind = struct.unpack("<IHB", raw[values : values + 7])
        part, values = part + raw[values + 7 : values + 7 + length], values + 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            records.append(Record.FromString(part))
            part = b""
    return records


def test_wandb_beside_what_the_loop_logs_itself(
    digits: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    for variable in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    quiet = wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True)
    run = wandb.init(project="nmfdiag", dir=tmp_path, mode="offline", settings=quiet)
    try:
        monitor = watched(digits, [wandb_writer(run)], lambda loss: run.log({"loss": loss}))
    finally:
        run.finish()
        wandb.teardown()  # only then is the file whole
    records = wandb_records(next(tmp_path.rglob("*.wandb")))
    rows = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    assert sum("loss" in row for row in rows) == 4 * EPOCHS  # none of the loop's own was lost
    calls = [row for row in rows if "nmfdiag/epoch" in row]
    assert [row["nmfdiag/epoch"] for row in calls] == [1, 2, 3]
    for name, values in areas(monitor).items():
        assert [row[name] for row in calls] == pytest.approx(values)
    metrics = [record.metric for record in records if record.WhichOneof("record_type") == "metric"]
    assert [metric.step_metric for metric in metrics if metric.glob_name == "nmfdiag/*"] == ["nmfdiag/epoch"]


def test_a_writer_that_fails_takes_nothing_from_the_others(
    digits: tuple[Tensor, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(values: dict[str, float], epoch: int) -> None:
        raise ConnectionError("the server is away")

    epochs: list[int] = []
    monitor = MemorizationMonitor(
        *digits, folder=tmp_path / "run", writers=[broken, lambda values, epoch: epochs.append(epoch)]
    )
    torch.manual_seed(0)
    with caplog.at_level(logging.WARNING):
        monitor.on_epoch_end(nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)), 1)
    assert epochs == [1] and "could not tell writer 0 of epoch 1; training goes on" in caplog.text
    lines = [json.loads(line) for line in (tmp_path / "run" / "run.jsonl").read_text().splitlines()]
    assert lines[-1]["epoch"] == 1 and lines[-1]["curves"] == monitor.history[0]["curves"]
