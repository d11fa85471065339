"""A user's own network: small, trained here on a few samples, in each format that commands accept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from nmfdiag.networks.architectures import build

CLASSES, PER_CLASS, WIDTH = 3, 12, 16
SHAPE = (1, 4, 4)
MODULE_CODE = """
from torch import nn

from nmfdiag.networks.architectures import build


def make():
    return build("mlp", (1, 4, 4), 3, width=16, depth=3)


def smooth():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 3))
"""


@dataclass(frozen=True)
class Stranger:
    """A network, its samples as it takes them, and the folder of all its files."""

    folder: Path
    model: nn.Module
    inputs: Tensor
    labels: Tensor

    @property
    def weights(self) -> str:
        return str(self.folder / "weights.safetensors")

    @property
    def data(self) -> str:
        return str(self.folder / "samples.npz")

    @property
    def by_weights(self) -> list[str]:
        return ["--arch", "mlp", "--weights", self.weights, "--data", self.data]


def make_stranger(folder: Path, *, exported: bool = True) -> Stranger:
    """Train a network until it has memorised samples of noise, and write its files; exporting takes seconds."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    images = rng.integers(0, 256, (len(labels), *SHAPE), dtype=np.uint8)
    inputs, label_tensor = torch.from_numpy(images) / 255, torch.from_numpy(labels)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build("mlp", SHAPE, CLASSES, width=WIDTH, depth=3)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(150):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), label_tensor).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        assert bool((model(inputs).argmax(1) == label_tensor).all())
        activations = nn.Sequential(*list(model)[:-1])(inputs)
    np.savez(folder / "samples.npz", x=images, y=labels)
    np.savez(folder / "mislabelled.npz", x=images, y=(labels + 1) % CLASSES)
    torch.save(model.state_dict(), folder / "weights.pt")
    save_file(model.state_dict(), folder / "weights.safetensors")
    (folder / "stranger_code.py").write_text(MODULE_CODE)
    np.savez(
        folder / "activations.npz", activations=activations.numpy(), labels=labels,
        weight=model.classifier.weight.detach().numpy(), bias=model.classifier.bias.detach().numpy(),
    )  # fmt: skip
    if exported:
        shapes = ({0: torch.export.Dim("batch", min=1)},)
        torch.export.save(torch.export.export(model, (inputs[:4],), dynamic_shapes=shapes), folder / "network.pt2")
    return Stranger(folder, model, inputs, label_tensor)
