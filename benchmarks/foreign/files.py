"""Checkpoints as different programs leave them: which `nmfdiag` opens, and what it says of the others.

``python benchmarks/foreign/files.py OUT.csv`` writes SqueezeNet 1.1 with random weights (ten classes, 32x32) in every form, opens
each with random samples as ``--weights FILE --data DATA`` does, and holds the opened network's logits against the original's.
"""

import csv
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn

import nmfdiag
from nmfdiag.zoo.open_network import open_checkpoint, open_exported, open_factory

ARCH, SIZE = "squeezenet1_1", 64
Write = Callable[[nn.Module, Path], nn.Module | None]
"""Writes a network; returns the one that it wrote where that is another."""

WAYS: dict[str, tuple[str, Write]] = {}


def way(description: str, file: str) -> Callable[[Write], Write]:
    """Register a program's way to write a network."""

    def register(write: Write) -> Write:
        WAYS[description] = (file, write)
        return write

    return register


def prefixed(model: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    """Return the network's tensors with a wrapper's name before theirs."""
    return {prefix + name: tensor for name, tensor in model.state_dict().items()}


@way("torch.save(model.state_dict())", "plain.pth")
def _(model: nn.Module, path: Path) -> None:
    torch.save(model.state_dict(), path)


@way("the same before PyTorch 1.6 (no zip)", "legacy.pth")
def _(model: nn.Module, path: Path) -> None:
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)


@way("safetensors", "plain.safetensors")
def _(model: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)


@way("float16", "half.pth")
def _(model: nn.Module, path: Path) -> None:
    torch.save({name: tensor.half() for name, tensor in model.state_dict().items()}, path)


@way("a training checkpoint: model_state_dict, optimizer, epoch", "training.pt")
def _(model: nn.Module, path: Path) -> None:
    optimizer = torch.optim.Adam(model.parameters())
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    torch.save(
        {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "epoch": 3}, path
    )


@way("DataParallel inside torch.compile", "wrapped.pth")
def _(model: nn.Module, path: Path) -> None:
    torch.save(prefixed(model, "_orig_mod.module."), path)


@way("an averaged network (swa_utils.AveragedModel)", "averaged.pth")
def _(model: nn.Module, path: Path) -> None:
    torch.save(torch.optim.swa_utils.AveragedModel(model).state_dict(), path)


@way("Lightning's Trainer", "lightning.ckpt")
def _(model: nn.Module, path: Path) -> None:
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters({"learning_rate": 0.1, "path": Path("a/path")})
            self.net, self.weight = model, nn.Parameter(torch.zeros(1))

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            return self.weight.sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD([self.weight], 0.1)

    trainer = lightning.Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=path.parent,
    )  # fmt: skip
    trainer.fit(Module(), torch.utils.data.DataLoader([0]))
    trainer.save_checkpoint(path)


@way("torch.save(model): the whole network", "whole.pt")
def _(model: nn.Module, path: Path) -> None:
    torch.save(model, path)


@way("torch.jit.save", "script.pt")
def _(model: nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.trace(model, torch.zeros(1, 3, SIZE, SIZE)), path)


@way("torch.export", "exported.pt2")
def _(model: nn.Module, path: Path) -> None:
    batch = {0: torch.export.Dim("batch", min=1, max=1024)}
    torch.export.save(torch.export.export(model, (torch.zeros(2, 3, SIZE, SIZE),), dynamic_shapes=(batch,)), path)


@way("the optimizer's state only", "optimizer.pt")
def _(model: nn.Module, path: Path) -> None:
    torch.save(torch.optim.SGD(model.parameters(), 0.1).state_dict(), path)


@way("another network's weights (AlexNet)", "alexnet.pth")
def _(model: nn.Module, path: Path) -> nn.Module:
    alexnet = torchvision.models.alexnet(num_classes=10).eval()
    torch.save(alexnet.state_dict(), path)
    return alexnet


@way("a network of one's own", "own.pth")
def _(model: nn.Module, path: Path) -> None:
    torch.save(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)).state_dict(), path)


@way("a NaN among the weights", "nan.pth")
def _(model: nn.Module, path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["features.3.squeeze.weight"][0] = torch.nan
    torch.save(state, path)


@way("half of a download", "cut.pth")
def _(model: nn.Module, path: Path) -> None:
    torch.save(model.state_dict(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@way("Keras", "model.keras")
def _(model: nn.Module, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"\x89HDF")


@way("NumPy arrays", "weights.npz")
def _(model: nn.Module, path: Path) -> None:
    np.savez(path, **{name: tensor.numpy() for name, tensor in model.state_dict().items()})


def squeezenet() -> nn.Module:
    """Return the network that ``--model benchmarks.foreign.files:squeezenet`` names."""
    return torchvision.models.get_model(ARCH, num_classes=10)


def outcome_of(original: nn.Module, open_file: Callable[[], Any]) -> str:
    """Open a file and return the outcome as text."""
    try:
        opened = open_file()
        with torch.inference_mode():
            difference = float((opened.model(opened.inputs) - original.eval()(opened.inputs)).abs().max())
        network = opened.provenance.get("network", "")
        return f"opens ({network})" if difference < 1e-2 else f"WRONG: logits differ by {difference:.2g} ({network})"
    except nmfdiag.NmfdiagError as error:
        return f"says: {error}"
    except Exception as error:
        return f"BREAKS: {type(error).__name__}: {error}"


def main(out: Path) -> None:
    """Open all files, and write a line for each."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = squeezenet().eval()
    with tempfile.TemporaryDirectory() as folder, out.open("w", encoding="utf-8", newline="") as file:
        data = Path(folder) / "train.npz"
        x = np.random.default_rng(0).integers(0, 256, (40, 3, SIZE, SIZE), dtype=np.uint8)
        np.savez(data, x=x, y=np.arange(40) % 10)
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["written by", "file", "opened by", "outcome"])
        for description, (name, write) in WAYS.items():
            path = Path(folder) / name
            expected = write(model, path) or model
            ways = {"--weights": lambda path=path: open_checkpoint("auto", path, data)}
            if path.suffix == ".pt2":
                ways["--exported"] = lambda path=path: open_exported(path, data)
                ways["--exported --trust"] = lambda path=path: open_exported(path, data, trust=True)
            if path.suffix == ".ckpt":
                ways["--model --weights"] = lambda path=path: open_factory(f"{__name__}:squeezenet", data, weights=path)
            for option, open_file in ways.items():
                line = [description, name, option, outcome_of(expected, open_file).replace(folder, "")]
                table.writerow(line)
                print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
