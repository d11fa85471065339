"""A program of ``torch.export`` becomes a network with the layers, names and answers of the exported one."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.read import read_exported
from nmfdiag.networks.split import SplitNetwork, find_relu_layers


class Net(nn.Module):
    """Every way in which an exported graph differs from a network: in place, called twice, functions, batch norm, a permutation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Conv2d(6, 6, 1), nn.ReLU6(inplace=True), nn.Dropout(0.5), nn.Conv2d(6, 6, 1))
        self.acts = nn.ModuleList(
            [nn.GELU("tanh"), nn.LeakyReLU(0.3), nn.SiLU(True), nn.ELU(0.7), nn.PReLU(6), nn.Hardswish()]
        )
        self.wide = nn.Linear(6, 9)
        self.softplus = nn.Softplus(2.0)
        self.head = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        x = self.relu(self.block(x) + x)
        x += F.relu(x - 1)
        for act in self.acts:
            x = act(x - 0.5)
        x = F.gelu(self.wide(x.permute(0, 2, 3, 1)))  # channels last, as in ConvNeXt
        return self.head(self.softplus(x).mean((1, 2)))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        net.bn.running_mean.copy_(torch.randn(6))  # type: ignore[union-attr]
        net.bn.running_var.copy_(torch.rand(6) + 0.5)  # type: ignore[union-attr]
    return net.eval()


def export(model: nn.Module, path: Path, *inputs: Tensor, free: bool = True) -> Path:
    inputs = inputs or (torch.randn(2, 3, 8, 8),)
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(model, inputs, dynamic_shapes=({0: batch},) * len(inputs) if free else None)
        torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def exported(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    path = export(network, tmp_path_factory.mktemp("exported") / "net.pt2")
    with pytest.raises(NmfdiagError, match=r"net\.pt2 is an exported program, and opening one can run code .*--trust"):
        read_exported(path, trust=False)
    return read_exported(path, trust=True)


def test_answers_names_and_kinds_are_the_networks(network: nn.Module, exported: nn.Module) -> None:
    x = torch.randn(5, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(exported(x), network(x), atol=1e-6)
    assert not exported.training and exported.input_shape == (3, 8, 8)
    expected, got = find_relu_layers(network, x, "all"), find_relu_layers(exported, x, "all")
    assert [(layer.kind, layer.width, layer.channel_dim) for layer in got] == [
        (layer.kind, layer.width, layer.channel_dim) for layer in expected
    ]
    without_module = {"acts.4": "prelu"}  # its weight is a tensor of the program
    assert [layer.name for layer in got] == [without_module.get(layer.name, layer.name) for layer in expected]
    assert {"relu", "block.1", "acts.0", "acts.3", "softplus"} <= {layer.name for layer in got}


def test_it_can_be_cut(network: nn.Module, exported: nn.Module) -> None:
    x = torch.randn(5, 3, 8, 8)
    split = SplitNetwork(exported, x)
    cut = split.cut("block.1", x)
    with torch.no_grad():
        assert torch.allclose(split.resume(cut, cut.activation), network(x), atol=1e-6)
    assert split.traced


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: None, "There is not an exported program"),
        (lambda p: p.write_bytes(b"PK"), "is not an exported program: accepted are files of torch.export.save"),
        (lambda p: torch.save({}, p), "is not an exported program"),
        (lambda p: p.write_bytes(b"PK\5\6" + bytes(8) + b"\xff" * 8 + bytes(2)), "is not an exported program"),
        (
            lambda p: export(nn.Sequential(nn.Linear(3, 2), nn.Dropout()).train(), p, torch.zeros(2, 3)),
            r"was exported in training mode \(.*\): call model\.eval\(\) before",
        ),
        (
            lambda p: export(nn.Linear(3, 2), p, torch.zeros(2, 3), free=False),
            r"batches of exactly 2: export it with dynamic_shapes=\(\{0: ",
        ),
        (
            lambda p: export(nn.Linear(3, 2).half(), p, torch.zeros(2, 3).half()),
            r"computes in torch\.float16 \(weight\)",
        ),
        (lambda p: export(nn.Bilinear(3, 3, 2), p, torch.zeros(2, 3), torch.zeros(2, 3)), "takes 2 inputs"),
    ],
    ids=["nothing", "no zip", "a state dict", "a damaged zip", "training", "one batch size", "half", "two inputs"],
)
def test_files_that_are_none(tmp_path: Path, write: Any, message: str) -> None:
    write(tmp_path / "x.pt2")
    with pytest.raises(NmfdiagError, match=message):
        read_exported(tmp_path / "x.pt2", trust=True)


def test_a_damaged_program_and_nan(tmp_path: Path) -> None:
    linear = nn.Linear(3, 2)
    path = export(linear, tmp_path / "x.pt2", torch.zeros(2, 3))
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"graph_module"', b'"graph_modula"'))
    with pytest.raises(NmfdiagError, match=r"x\.pt2 can't be opened: "):
        read_exported(path, trust=True)
    with torch.no_grad():
        linear.bias[0] = torch.nan
    with pytest.raises(NmfdiagError, match=r"holds NaN or infinite values, in bias"):
        read_exported(export(linear, path, torch.zeros(2, 3)), trust=True)
