"""The monitor inside the real trainers of Lightning and Hugging Face: each epoch is measured, and training can be ended."""

import builtins
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from nmfdiag.data.datasets import load
from nmfdiag.errors import NmfdiagError
from nmfdiag.monitor.adapters import lightning_callback, trainer_callback
from nmfdiag.monitor.callback import MemorizationMonitor


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    dataset = load("digits")
    return dataset.inputs[:200].float() / 255, dataset.labels[:200]


def lightning_fit(digits: tuple[Tensor, Tensor], callbacks: list[Any], folder: Path, epochs: int = 3) -> Any:
    lightning = pytest.importorskip("lightning")

    class Net(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10))

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

        def training_step(self, batch: Any, _: int) -> Tensor:
            loss = F.cross_entropy(self(batch[0]), batch[1])
            self.log("train_loss", loss, on_epoch=True, on_step=False)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    model = Net()
    torch.manual_seed(1)
    trainer = lightning.Trainer(
        max_epochs=epochs, callbacks=callbacks, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(model, DataLoader(TensorDataset(*digits), 50, shuffle=True))
    return model


def test_lightning(digits: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    monitor = MemorizationMonitor(*digits, overhead=1e9, folder=tmp_path / "run")
    watched = lightning_fit(digits, [lightning_callback(monitor)], tmp_path)
    assert [line["epoch"] for line in monitor.history] == [1, 2, 3]
    assert all(line["curves"]["nmf"] and line["train_loss"] > 0 for line in monitor.history)
    assert '"result"' in (tmp_path / "run" / "run.jsonl").read_text().splitlines()[-1]
    alone = lightning_fit(digits, [], tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(watched.parameters(), alone.parameters(), strict=True))


def test_lightning_ends_when_the_alarm_is_raised(
    digits: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = MemorizationMonitor(*digits, overhead=1e9, patience=1)
    monkeypatch.setattr(monitor, "_measure", lambda model: {"nmf": {"net.2": {"relative": 0.5, "auc": 0.5}}})
    lightning_fit(digits, [lightning_callback(monitor, stop=True)], tmp_path, epochs=6)
    assert len(monitor.history) == 2 and monitor.should_stop


class Images(Dataset):
    def __init__(self, digits: tuple[Tensor, Tensor]):
        self.x = F.interpolate(digits[0], 32).repeat(1, 3, 1, 1)
        self.y = digits[1]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {"pixel_values": self.x[i], "labels": self.y[i]}


def test_hugging_face(digits: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=10, downsample_in_first_stage=True
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.ResNetForImageClassification(config)
    images = Images((digits[0][:80], digits[1][:80]))
    monitor = MemorizationMonitor(images.x, images.y, per_class=4, overhead=1e9, methods=["nmf"])
    arguments = transformers.TrainingArguments(
        str(tmp_path), num_train_epochs=2, per_device_train_batch_size=20, use_cpu=True, report_to=[], save_strategy="no",
        logging_strategy="epoch", disable_tqdm=True,
    )  # fmt: skip
    transformers.Trainer(model, arguments, train_dataset=images, callbacks=[trainer_callback(monitor)]).train()
    assert [line["epoch"] for line in monitor.history] == [1, 2]
    assert all(len(line["curves"]["nmf"]) >= 3 for line in monitor.history)


@pytest.mark.parametrize("make", [lightning_callback, trainer_callback], ids=["lightning", "transformers"])
def test_a_missing_package_is_named(make: Any, digits: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] in ("lightning", "pytorch_lightning", "transformers"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NmfdiagError, match="pip install"):
        make(MemorizationMonitor(*digits))
