"""The monitor in a training loop: it disturbs nothing, never breaks it, writes a readable file, and its alarm can be withdrawn."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.data.datasets import load
from nmfdiag.data.labels import randomize_labels
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.compression import compression_curves
from nmfdiag.measures.stopping import Standing
from nmfdiag.monitor.callback import MemorizationMonitor
from nmfdiag.monitor.epoch_probe import Probe
from nmfdiag.zoo.registry import lookup


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    dataset = load("digits")
    return dataset.inputs[:300].float() / 255, randomize_labels(dataset.labels[:300], 0.4, 10).given


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 48), nn.ReLU(inplace=True),
        nn.Linear(48, 10),
    )  # fmt: skip


def trained(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    epochs: int,
    after: Callable[[nn.Module, int], object] = lambda m, e: None,
) -> nn.Module:
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    x, y = data
    for epoch in range(1, epochs + 1):
        model.train()
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        after(model, epoch)
    return model


def test_training_is_the_same_to_the_last_bit(digits: tuple[Tensor, Tensor]) -> None:
    monitor = MemorizationMonitor(*digits, overhead=1e9)
    alone = trained(network(), digits, 3)
    watched = trained(network(), digits, 3, lambda model, epoch: monitor.on_epoch_end(model, epoch))
    assert all(
        torch.equal(a, b) for a, b in zip(alone.state_dict().values(), watched.state_dict().values(), strict=True)
    )
    grads = zip(alone.parameters(), watched.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in grads if a.grad is not None and b.grad is not None)
    assert watched.training and len(monitor.history) == 3
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in watched.modules())
    assert set(monitor.history[0]["curves"]) == {"nmf", "random"} and len(monitor.history[0]["curves"]["nmf"]) == 2


def test_a_measurement_agrees_with_whole_curves() -> None:
    entry = lookup("digits-cnn-p0.4-s0")
    pool = entry.load_pool()
    batches = [
        (pool.inputs[pool.given_labels == c][:10], pool.given_labels[pool.given_labels == c][:10]) for c in range(3)
    ]
    model = entry.load_model()
    probe = Probe(batches, layers=["conv3_2"], methods=["nmf"])
    for values in (
        probe.measure(model),
        probe.measure(model),
    ):  # the second one starts from the first one's components
        for layer in ("conv3_2",):
            curves = compression_curves(model, layer, batches)
            whole = sum(curve.auc for curve in curves) / len(curves)  # type: ignore[union-attr]
            assert values["nmf"][layer]["auc"] == pytest.approx(whole, abs=0.06)
            assert values["nmf"][layer]["baseline"] == 1


def test_an_error_while_measuring_never_reaches_the_training(
    digits: tuple[Tensor, Tensor], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monitor = MemorizationMonitor(*digits, folder=tmp_path / "run", writers=[lambda values, epoch: 1 / 0])
    line = monitor.on_epoch_end(nn.Linear(3, 2), 1)
    assert line["curves"] == {} and "could not measure epoch 1" in caplog.text
    (tmp_path / "run" / "run.jsonl").unlink()
    (tmp_path / "run").rmdir()
    (tmp_path / "run").write_text("in the way")
    monitor._cost = 0
    monitor.on_epoch_end(network(), 2)
    assert "could not write epoch 2" in caplog.text and len(monitor.history) == 2 and not monitor.should_stop


def test_a_run_is_one_file_that_stays_readable(digits: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    folder = tmp_path / "first"
    monitor = MemorizationMonitor(*digits, folder=folder, overhead=1e9)
    trained(network(), digits, 2, lambda model, epoch: monitor.on_epoch_end(model, epoch, train_loss=1.5))
    lines = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
    assert lines[0]["name"] == "first" and [line.get("epoch") for line in lines[1:]] == [1, 2]
    assert "odd" not in monitor.on_epoch_end(network(), 3, odd=torch.ones(2), words="x")  # type: ignore[arg-type]
    assert lines[1]["train_loss"] == 1.5 and lines[1]["curves"] == monitor.history[0]["curves"]
    MemorizationMonitor(*digits, folder=folder)
    assert len(list(folder.glob("run*.jsonl"))) == 2  # an earlier run is put aside, not overwritten


def test_the_alarm_comes_after_patience_and_is_withdrawn(
    digits: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[dict[str, float], int]] = []
    monitor = MemorizationMonitor(*digits, patience=2, overhead=1e9, writers=[lambda v, e: calls.append((v, e))])
    values = iter([0.5, 0.8, 0.7, 0.75, 0.9])
    monkeypatch.setattr(monitor, "_measure", lambda model: {"nmf": {"fc": {"relative": (v := next(values)), "auc": v}}})
    alarms = []
    for epoch in range(1, 6):
        monitor.on_epoch_end(nn.Identity(), epoch)
        alarms.append(monitor.should_stop)
    assert alarms == [False, False, False, True, False] and monitor.best_epoch == 5
    assert calls[0] == ({"nmfdiag/nmf/fc": 0.5}, 1)
    assert Standing({1: 0.1, 2: 0.3, 3: 0.3}, 2).since == 1 and Standing({}, 2).since == 0


def test_measuring_keeps_to_its_share_of_the_time(
    digits: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("nmfdiag.monitor.callback.time.perf_counter", lambda: clock[0])
    monitor = MemorizationMonitor(*digits, overhead=0.05)

    def measure(model: nn.Module) -> dict[str, object]:
        clock[0] += 2.0
        return {"nmf": {"fc": {"relative": 0.5, "auc": 0.5}}}

    monkeypatch.setattr(monitor, "_measure", measure)
    for epoch in range(1, 61):
        clock[0] += 10.0
        monitor.on_epoch_end(nn.Identity(), epoch)
    looks = [line["epoch"] for line in monitor.history if line["curves"]]
    assert looks[:3] == [1, 5, 9] and len(looks) * 2.0 <= 0.05 * 600 + 2.0


def test_wrapped_networks_are_unwrapped(digits: tuple[Tensor, Tensor]) -> None:
    monitor = MemorizationMonitor(*digits, overhead=1e9)
    line = monitor.on_epoch_end(nn.DataParallel(network()), 1)
    assert len(line["curves"]["nmf"]) == 2
    assert monitor.on_epoch_end(copy.deepcopy(network()).double(), 2)["curves"] == {}  # inputs are float32: logged


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measure": "loss"}, "Unknown measure 'loss'"),
        ({"patience": 0}, "must be positive"),
        ({"methods": ["ica"]}, "Unknown method 'ica'"),
        ({"probe_labels": torch.arange(300)}, "no class has two samples"),
        ({"probe_labels": torch.zeros(3, dtype=torch.long)}, "300 probe inputs but 3 labels"),
    ],
    ids=["measure", "patience", "method", "classes", "lengths"],
)
def test_what_is_wrong_is_said_at_once(digits: tuple[Tensor, Tensor], change: dict[str, object], message: str) -> None:
    options = {"probe_inputs": digits[0], "probe_labels": digits[1]} | change
    with pytest.raises(NmfdiagError, match=message):
        MemorizationMonitor(**options)  # type: ignore[arg-type]
