"""A training of two processes, for the tests: :func:`run` is one of them."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from nmfdiag.monitor.adapters import lightning_callback, trainer_callback
from nmfdiag.monitor.callback import MemorizationMonitor

EPOCHS = 4
X, Y = torch.randn(80, 8, generator=torch.Generator().manual_seed(0)), torch.arange(80) % 4
MESSAGES: list[str] = []


class MessageHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        MESSAGES.append(record.getMessage())


class CommunicatingNetwork(nn.Module):
    """A network that averages over the processes: in one process alone, it would wait for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.first(x))
        mean = hidden.detach().mean(0)
        dist.all_reduce(mean)
        return self.last(hidden - mean / 2)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))


def make_monitor(folder: Path, *, falls: bool = False) -> MemorizationMonitor:
    """Return a monitor; with ``falls`` each measurement is lower, so that its alarm comes at the second epoch."""
    monitor = MemorizationMonitor(X, Y, folder=folder, patience=1, overhead=1e9)
    if falls:
        values = iter(range(EPOCHS, 0, -1))
        monitor._measure = lambda model: {"nmf": {"2": {"relative": (v := next(values)), "auc": v}}}  # type: ignore[method-assign]
    return monitor


def monitor_result(monitor: MemorizationMonitor, epochs: int) -> dict[str, Any]:
    return {
        "epochs": epochs, "measured": sum(bool(line["curves"]) for line in monitor.history), "alarm": monitor.alarm,
        "best": monitor.best_epoch, "said": [message for message in MESSAGES if "nmfdiag" in message or "stopped:" in message],
    }  # fmt: skip


def plain(rank: int, folder: Path) -> dict[str, Any]:
    """Train in a plain loop, with several networks and mistakes."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)

    def loop(name: str, model: nn.Module, *, falls: bool, breaks: bool = False, calls: bool = True) -> dict[str, Any]:
        MESSAGES.clear()
        monitor, parallel = make_monitor(folder / name, falls=falls), nn.parallel.DistributedDataParallel(model)
        optimizer, epoch = torch.optim.SGD(parallel.parameters(), 0.1), 0
        if breaks:
            monitor._measure = lambda model: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        while epoch < EPOCHS and not monitor.should_stop:
            epoch += 1
            optimizer.zero_grad()
            F.cross_entropy(parallel(X[rank::2]), Y[rank::2]).backward()
            optimizer.step()
            if calls:
                monitor.on_epoch_end(parallel, epoch, loss=0.5)
        monitor.finish()
        return monitor_result(monitor, epoch)

    results = {
        "whole": loop("whole", network(), falls=False),
        "alarm": loop("alarm", network(), falls=True),
        "broken": loop("broken", network(), falls=False, breaks=True),
        "talking": loop("talking", CommunicatingNetwork(), falls=False),
        "one calls": loop("one calls", network(), falls=True, calls=rank == 0),
    }
    dist.destroy_process_group()
    return results


def lightning(rank: int, folder: Path) -> dict[str, Any]:
    """Train with Lightning, whose second process is started here rather than by its trainer."""
    from lightning import LightningModule, Trainer

    class Net(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: Any, _: int) -> Tensor:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    monitor = make_monitor(folder / "run", falls=True)
    trainer = Trainer(
        max_epochs=EPOCHS, accelerator="cpu", devices=2, strategy="ddp", callbacks=[lightning_callback(monitor, stop=True)],
        enable_checkpointing=False, logger=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Net(), DataLoader(TensorDataset(X, Y), 20))
    return monitor_result(monitor, trainer.current_epoch)


class Classifier(nn.Module):
    """A network for Hugging Face's trainer, which expects the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.net(pixel_values)
        return {"logits": logits} if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


class Rows(Dataset):
    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {"pixel_values": X[i], "labels": Y[i]}


def transformers(rank: int, folder: Path) -> dict[str, Any]:
    """Train with Hugging Face's trainer."""
    from transformers import Trainer, TrainingArguments

    monitor = make_monitor(folder / "run", falls=True)
    arguments = TrainingArguments(
        str(folder / "out"), num_train_epochs=EPOCHS, per_device_train_batch_size=20, use_cpu=True, report_to=[], save_strategy="no",
        disable_tqdm=True, ddp_backend="gloo",
    )  # fmt: skip
    trainer = Trainer(Classifier(), arguments, train_dataset=Rows(), callbacks=[trainer_callback(monitor, stop=True)])
    trainer.train()
    return monitor_result(monitor, round(trainer.state.epoch or 0))


def accelerate(rank: int, folder: Path) -> dict[str, Any]:
    """Train in a loop with Hugging Face's Accelerate, with real measurements."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = network()
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), 0.1))
    loader = accelerator.prepare(DataLoader(TensorDataset(X, Y), 20))
    monitor = make_monitor(folder / "run")
    epoch = 0
    while epoch < 3:
        epoch += 1
        for x, y in loader:
            optimizer.zero_grad()
            accelerator.backward(F.cross_entropy(model(x), y))
            optimizer.step()
        monitor.on_epoch_end(model, epoch)
        if monitor.should_stop:
            break
    monitor.finish()
    return monitor_result(monitor, epoch)


def run(name: str, rank: int, folder: Path, environment: dict[str, str]) -> None:
    """Run one process of a training; it writes its results into ``RANK.json`` in the folder."""
    os.environ.update(environment)
    os.chdir(folder)
    torch.set_num_threads(1)
    logging.getLogger("nmfdiag").addHandler(MessageHandler())
    logging.getLogger("nmfdiag").setLevel(logging.INFO)
    (folder / f"{rank}.json").write_text(json.dumps(globals()[name](rank, folder)))
