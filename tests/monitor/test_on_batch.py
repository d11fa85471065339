"""A training's history of each sample, from one line in its loop: right to the last number, harmless, and within its share of the time."""

import json
import re
from collections import namedtuple
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

import nmfdiag
from nmfdiag.data.datasets import load
from nmfdiag.data.labels import NoisyLabels, randomize_labels
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.suspects.history import TrainingHistory
from nmfdiag.monitor import Indexed, MemorizationMonitor, sample_recorder

N, EPOCHS = 700, 12
Output = namedtuple("Output", "loss logits")
Batch = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, NoisyLabels]:
    dataset = load("digits")
    return dataset.inputs[:N].float() / 255, randomize_labels(dataset.labels[:N], 0.2, 10)


def trained(x: Tensor, y: Tensor, on_batch: Callable[..., object], on_epoch: Callable[..., object]) -> nn.Module:
    """Train plainly; the last batch is partial, and the last 20 samples are never used."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for epoch in range(1, EPOCHS + 1):
        for rows in torch.randperm(N - 20).split(64):
            logits = model(x[rows])
            on_batch(rows, logits, y[rows])
            optimizer.zero_grad()
            F.cross_entropy(logits, y[rows]).backward()
            optimizer.step()
            logits.detach().zero_()  # a loop may use the memory again
        on_epoch(model, epoch)
    return model


@pytest.fixture(scope="module")
def recorded(
    digits: tuple[Tensor, NoisyLabels], tmp_path_factory: pytest.TempPathFactory
) -> tuple[MemorizationMonitor, nn.Module, Path, list[list[Batch]]]:
    """The monitor of a training, its network, its folder, and the batches of each epoch as they were."""
    x, labels = digits
    folder, epochs = tmp_path_factory.mktemp("runs") / "first", [[]]  # type: ignore[var-annotated]
    monitor = MemorizationMonitor(x[:100], labels.given[:100], folder=folder, overhead=1e9)

    def on_batch(rows: Tensor, logits: Tensor, given_labels: Tensor) -> None:
        monitor.on_batch(rows, logits, given_labels)
        epochs[-1].append((rows, logits.detach().clone(), given_labels))

    def on_epoch(model: nn.Module, epoch: int) -> None:
        monitor.on_epoch_end(nn.Identity(), epoch)  # nothing to measure
        epochs.append([])

    return monitor, trained(x, labels.given, on_batch, on_epoch), folder, epochs[:-1]


def test_every_number_is_that_of_the_training(recorded: Any, digits: tuple[Tensor, NoisyLabels]) -> None:
    monitor, _, folder, epochs = recorded
    history = monitor.training_history
    for i in (0, 17, 333, int(history.forgotten.argmax())):
        margins, losses, predicted_as_given = [], [], []
        for batches in epochs:
            [(row, given_label)] = [
                (logits[k], int(y[k])) for rows, logits, y in batches for k in range(len(rows)) if rows[k] == i
            ]
            other_logits = [float(v) for c, v in enumerate(row) if c != given_label]
            margins.append(float(row[given_label]) - max(other_logits))
            losses.append(float(F.cross_entropy(row[None].double(), torch.tensor([given_label]))))
            predicted_as_given.append(margins[-1] > 0)
        assert history.margin[i] == pytest.approx(np.mean(margins), rel=1e-5)
        assert history.loss[i] == pytest.approx(np.mean(losses), rel=1e-4, abs=1e-6)
        assert history.confidence[i] == pytest.approx(np.exp(-np.array(losses)).mean(), rel=1e-5)
        first = predicted_as_given.index(True) if True in predicted_as_given else -2
        assert history.first_fitted[i] == first + 1
        assert history.forgotten[i] == sum(before and not after for before, after in pairwise(predicted_as_given))
        assert history.stayed[i] == (first >= 0 and all(predicted_as_given[first:]))
    assert len(history) == N - 20 and (history.epochs == EPOCHS).all() and history.forgotten.max() > 0
    assert np.array_equal(history.given, digits[1].given[: N - 20].numpy())
    assert history.n_epochs == EPOCHS and history.n_skipped == 0
    saved = TrainingHistory.load(folder)
    assert np.array_equal(saved.margin, history.margin) and np.array_equal(saved.first_fitted, history.first_fitted)


def test_the_training_is_the_same_to_the_last_bit(recorded: Any, digits: tuple[Tensor, NoisyLabels]) -> None:
    x, labels = digits
    alone = trained(x, labels.given, lambda *batch: None, lambda model, epoch: None)
    assert all(
        torch.equal(a, b) for a, b in zip(alone.state_dict().values(), recorded[1].state_dict().values(), strict=True)
    )


def test_the_history_finds_wrong_labels(recorded: Any, digits: tuple[Tensor, NoisyLabels]) -> None:
    monitor, model, folder, _ = recorded
    x, labels = digits
    wrong = labels.wrong.numpy()
    history = monitor.training_history
    assert roc_auc_score(wrong[: N - 20], -history.margin) > 0.95
    fitted_epochs = np.where(history.first_fitted < 0, EPOCHS + 1, history.first_fitted)
    assert roc_auc_score(wrong[: N - 20], fitted_epochs) > 0.9
    suspects = nmfdiag.suspects(model, x, labels.given, history=folder)
    assert roc_auc_score(wrong, suspects.score) > 0.95
    assert np.isnan(suspects.components["history"]).nonzero()[0].tolist() == list(range(N - 20, N))


@pytest.fixture
def monitor() -> MemorizationMonitor:
    return MemorizationMonitor(torch.rand(40, 4), torch.arange(40) % 4, overhead=1e9)


def ended(monitor: MemorizationMonitor, epoch: int = 1) -> TrainingHistory:
    monitor.on_epoch_end(nn.Identity(), epoch)
    return monitor.training_history


LOGITS = torch.tensor([[2.0, 0.5, -1], [0.25, 0.5, 4], [1, 3, 1.5]])
LABELS = torch.tensor([0, 1, 1])


@pytest.mark.parametrize(
    ("indices", "logits", "labels"),
    [
        ([0, 1, 4], LOGITS, [0, 1, 1]),
        (np.array([0, 1, 4], np.int32), LOGITS.bfloat16(), LABELS.numpy()),
        (torch.tensor([0, 1, 4], dtype=torch.int16), (LOGITS, torch.tensor(0.5)), LABELS.to(torch.uint8)),
        ((0, 1, 4), Output(torch.tensor(1.0), LOGITS.double().requires_grad_()), F.one_hot(LABELS, 3)),
        (torch.tensor([0, 1, 4]), LOGITS[:, :, None, None], F.one_hot(LABELS, 3).float()),
    ],
    ids=["lists", "bfloat16", "tuple", "record", "maps"],
)
def test_batches_of_any_form(monitor: MemorizationMonitor, indices: Any, logits: Any, labels: Any) -> None:
    monitor.on_batch(indices, logits, labels)
    history = ended(monitor)
    assert history.margin[[0, 1, 4]].tolist() == [1.5, -3.5, 1.5] and history.epochs.tolist() == [1, 1, 0, 0, 1]
    assert history.first_fitted.tolist() == [1, -1, -1, -1, 1] and np.isnan(history.margin[2:4]).all()


def test_a_sample_that_comes_twice_in_an_epoch_counts_by_its_mean(monitor: MemorizationMonitor) -> None:
    monitor.on_batch([3, 3, 1], torch.tensor([[2.0, 0], [0, 1], [0, 4]]), [0, 0, 1])
    history = ended(monitor)
    assert history.margin[[1, 3]].tolist() == [4, 0.5] and history.epochs.tolist() == [0, 1, 0, 1]
    assert history.first_fitted[[1, 3]].tolist() == [1, -1]  # not predicted as given each time
    monitor.on_batch([3], torch.tensor([[5.5, 0]]), [0])
    history = ended(monitor, 2)
    assert history.margin[3] == 3 and history.first_fitted[3] == 2 and history.epochs[3] == 2


def test_where_the_epochs_go_back_to_the_first_a_new_training_begins(monitor: MemorizationMonitor) -> None:
    for epoch in (1, 2, 1):
        monitor.on_batch([0, 900 if epoch == 2 else 1], torch.tensor([[epoch, 0.0], [1, 0]]), [0, 0])
        history = ended(monitor, epoch)
    assert history.n_epochs == 1 and history.epochs.tolist() == [1, 1] and history.margin[0] == 1


@pytest.mark.parametrize(
    ("indices", "logits", "labels", "message"),
    [
        ([0, 1], LOGITS, LABELS, "2 sample numbers, 3 rows of logits and 3 labels"),
        ([0.0, 1, 4], LOGITS, LABELS, r"sample numbers are float(32|64) \(3,\): accepted are whole"),
        (torch.tensor([True, False, True]), LOGITS, LABELS, "sample numbers are bool"),
        ([0, 1, 4], LOGITS[:, :1], LABELS, "two classes or more"),
        ([0, 1, 4], LOGITS[:, :, None].expand(3, 3, 7), LABELS, "two classes or more"),
        ([0, 1, 4], (LOGITS, LOGITS), LABELS, "give the logits themselves"),
        ([0, 1, 4], LOGITS, LABELS.float(), "labels are float32"),
        ([0, 1, 4], LOGITS, None, "labels are .*None"),
        ("abc", LOGITS, LABELS, "sample numbers are "),
        (["a", "b", "c"], LOGITS, LABELS, "sample numbers are "),
    ],
)
def test_a_batch_that_does_not_fit_is_logged_and_left_out(
    monitor: MemorizationMonitor, caplog: pytest.LogCaptureFixture, indices: Any, logits: Any, labels: Any, message: str
) -> None:
    monitor.on_batch(indices, logits, labels)
    assert re.search(message, caplog.text) and "training goes on" in caplog.text and "Traceback" not in caplog.text
    with pytest.raises(NmfdiagError, match="No sample has been recorded"):
        ended(monitor)
    monitor.on_batch([0, 1, 4], LOGITS, LABELS)
    assert ended(monitor, 2).n_epochs == 1


def test_samples_that_can_not_be_recorded_are_left_out_alone(
    monitor: MemorizationMonitor, caplog: pytest.LogCaptureFixture
) -> None:
    logits, mixed = LOGITS.repeat(3, 1), torch.tensor([[0.7, 0.3, 0], [0, 1, 0]])
    logits[2] = torch.nan
    monitor.on_batch([0, -1, 2, 2**40, 4, 5, 6, 7, 8], logits, [0, 0, 0, 0, 3, -100, 0, 1, 2])
    monitor.on_batch([9, 10], LOGITS[:2], mixed)
    history = ended(monitor)
    assert np.flatnonzero(history.epochs).tolist() == [0, 6, 7, 8, 10]
    assert "6 samples left out" in caplog.text and "training goes on" in caplog.text


def test_recording_keeps_to_its_share_and_counts_what_it_skips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = [0.0]
    monkeypatch.setattr("nmfdiag.monitor.sample_recorder.time.perf_counter", lambda: clock[0])
    monitor = MemorizationMonitor(torch.rand(40, 4), torch.arange(40) % 4, overhead=0.05, folder=tmp_path)
    labels_of = sample_recorder._labels_of

    def slow_labels(labels: Any) -> Tensor:
        clock[0] += 0.25
        return labels_of(labels)

    def measure(model: nn.Module) -> dict[str, Any]:
        clock[0] += 2.0
        return {"nmf": {"fc": {"relative": 0.5, "auc": 0.5}}}

    monkeypatch.setattr(sample_recorder, "_labels_of", slow_labels)
    monkeypatch.setattr(monitor, "_measure", measure)
    for epoch in range(1, 101):
        for _ in range(4):  # four batches take 10 s, and recording them 1 s
            clock[0] += 2.5
            monitor.on_batch([0, 1, 4], LOGITS, LABELS)
        monitor.on_epoch_end(nn.Identity(), epoch)
    history = monitor.training_history
    n_measured = sum(bool(line["curves"]) for line in monitor.history)
    assert history.n_epochs + history.n_skipped / 4 == 100 and history.epochs[0] == history.n_epochs > 10
    assert history.n_epochs * 1.0 <= 0.02 * 1000 + sample_recorder.GRACE and n_measured > 5
    assert history.n_epochs * 1.0 + n_measured * 2.0 <= 0.05 * 1000 + 3
    monitor.finish()
    assert TrainingHistory.load(tmp_path).n_skipped == history.n_skipped
    assert f"{history.n_skipped} skipped batches" in history.statement


def test_a_long_epoch_does_not_take_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(
        "nmfdiag.monitor.sample_recorder.time.perf_counter", lambda: clock.__setitem__(0, clock[0] + 1) or clock[0]
    )  # type: ignore[func-returns-value]
    recorder = sample_recorder.SampleRecorder(0.1)
    for _ in range(1000):
        recorder.add([0, 1, 4], LOGITS, LABELS)
        clock[0] += 1.0
    assert recorder._n_skipped > 800 and recorder._epoch_cost < 0.1 * clock[0] + 2


def test_a_file_stays_with_its_run(tmp_path: Path) -> None:
    for margin in (1.0, 2.0):
        monitor = MemorizationMonitor(torch.rand(40, 4), torch.arange(40) % 4, overhead=1e9, folder=tmp_path)
        monitor.on_batch([0], torch.tensor([[margin, 0]]), [0])
        ended(monitor)
    assert len(list(tmp_path.glob("history-*.npz"))) == len(list(tmp_path.glob("run*.jsonl"))) == 2
    id_in_header = json.loads((tmp_path / "run.jsonl").read_text().splitlines()[0])["id"]
    assert TrainingHistory.load(tmp_path / f"history-{id_in_header}.npz").margin.tolist() == [2.0]
    with pytest.raises(NmfdiagError, match="must hold one"):
        TrainingHistory.load(tmp_path)


def test_a_data_set_gives_its_samples_numbers(monitor: MemorizationMonitor) -> None:
    numbered = Indexed(TensorDataset(torch.arange(10.0)[:, None], torch.arange(10) % 2))
    for numbers, x, y in DataLoader(Subset(numbered, [3, 4, 9]), 2):
        monitor.on_batch(numbers, torch.cat([x, -x], 1), y)
    history = ended(monitor)
    assert history.margin[[3, 4, 9]].tolist() == [-6, 8, -18] and history.epochs.sum() == 3
    assert Indexed([{"x": 1, "label": 0}])[0] == {"x": 1, "label": 0, "index": 0} and numbered[-1][0] == 9
    with pytest.raises(NmfdiagError, match="are not read by number"):
        Indexed(iter([1, 2]))
