"""Every way of writing a ReLU is found and named once, and its channel axis is known."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.architectures import build
from nmfdiag.networks.layers import Call, ReluLayer, call_names
from nmfdiag.networks.split import SplitNetwork, find_relu_layers, relu_layers


class Ways(nn.Module):
    """Each way of writing a ReLU, once, in the root module."""

    def __init__(self) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(4, 4) for _ in range(9))
        self.act, self.act6 = nn.ReLU(inplace=True), nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        a = self.linears
        x = self.act(a[0](x))
        x = self.act6(a[1](x))
        x = F.relu(a[2](x))
        x = torch.relu(a[3](x))
        x = F.relu(a[4](x), inplace=True)
        x = torch.relu_(a[5](x))
        x = F.relu6(a[6](x))
        x = a[7](x).relu()
        x = a[8](x).relu_()
        return self.act(x)


class One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.linear(x))


class Two(One):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.linear(F.relu(self.linear(x))))


class OwnReLU(nn.ReLU):
    pass


class OwnReLU6(nn.ReLU6):
    pass


def test_every_way_is_found_in_order() -> None:
    names = relu_layers(Ways(), torch.randn(2, 4))
    assert names == ["act", "act6", "relu", "relu_1", "relu_2", "relu_", "relu6", "relu_3", "relu__1", "act_1"]


def test_the_papers_names() -> None:
    assert relu_layers(build("cnn", (3, 16, 16), 4, width=4), torch.randn(1, 3, 16, 16))[:3] == [
        "conv1_1", "conv1_2", "conv2_1",
    ]  # fmt: skip
    assert relu_layers(build("mlp", (1, 4, 4), 4, width=8), torch.randn(1, 1, 4, 4)) == [f"fc{i}" for i in range(1, 6)]


def test_functions_go_by_their_module() -> None:
    model = nn.Sequential(One(), Two(), OwnReLU(), OwnReLU6())
    assert relu_layers(model, torch.randn(2, 4)) == ["0", "1.relu", "1.relu_1", "2", "3"]


def test_a_reused_module_is_several_layers() -> None:
    act, block = nn.ReLU(), One()
    model = nn.Sequential(nn.Linear(4, 4), act, nn.Linear(4, 4), act, block, block)
    assert relu_layers(model, torch.randn(2, 4)) == ["1", "1_1", "4.relu", "4.relu_1"]


def test_names_never_collide() -> None:
    calls = [Call("relu", True), Call("relu", True), Call("relu_1", True), Call("", False, "relu")]
    calls += [Call("a.relu", True), Call("a", False, "relu"), Call("a", False, "relu"), Call("", False, "relu")]
    names = call_names(calls)
    assert len(set(names)) == len(names)
    assert names[0] == "relu" and names[2] == "relu_1" and names[4] == "a.relu"


def test_root_names_are_the_graphs() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.linear = One(), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.linear(self.one(F.relu(x))))

    model = Mixed()
    nodes = [node.name for node in torch.fx.symbolic_trace(model).graph.nodes]
    names = relu_layers(model, torch.randn(2, 4))
    assert names[1] == "one"
    assert names[0] in nodes and names[2] in nodes


def test_what_a_layer_says() -> None:
    first, *_, last = find_relu_layers(build("cnn", (3, 16, 16), 4, width=4), torch.randn(2, 3, 16, 16))
    assert first == ReluLayer("conv1_1", 0, 4, (4, 16, 16), 1)
    assert last == ReluLayer("conv4_3", 9, 16, (16, 2, 2), 1)


@pytest.mark.parametrize("functional", [False, True])
def test_channels_of_sequences(functional: bool) -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.linear = nn.Conv1d(3, 5, 3, padding=1), nn.BatchNorm1d(5), nn.Linear(5, 7)

        def forward(self, x: Tensor) -> Tensor:
            conv = F.conv1d(x, self.conv.weight, padding=1) if functional else self.conv(x)
            y = F.relu(self.norm(conv))
            y = F.relu(self.norm(y) + y)
            return F.relu(self.linear(y.transpose(1, 2))).mean(1)

    layers = find_relu_layers(Sequence(), torch.randn(2, 3, 6))
    assert [(x.channel_dim, x.width) for x in layers] == [(1, 5), (1, 5), (2, 7)]


def test_channels_of_volumes_and_vectors() -> None:
    volume = nn.Sequential(nn.Conv3d(1, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(24, 6), nn.ReLU())
    assert [(x.channel_dim, x.width) for x in find_relu_layers(volume, torch.randn(2, 1, 2, 2, 2))] == [(1, 3), (1, 6)]


def test_no_relu_names_what_there_is() -> None:
    with pytest.raises(NmfdiagError, match=r"no ReLU layer \(found: .*SiLU"):
        relu_layers(build("efficientnet_b0", (3, 32, 32), 4), torch.randn(1, 3, 32, 32))
    with pytest.raises(NmfdiagError, match="2 GELU"):
        relu_layers(nn.Sequential(nn.GELU(), nn.GELU()), torch.randn(1, 4))
    with pytest.raises(NmfdiagError, match="no activation module"):
        relu_layers(nn.Linear(4, 4), torch.randn(1, 4))


def test_a_transformers_relus_are_found() -> None:
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    split = SplitNetwork(nn.Sequential(encoder, nn.Flatten(), nn.Linear(24, 2)), torch.randn(2, 3, 8))
    assert [(x.name, x.width, x.channel_dim) for x in split.layers] == [("0", 16, 2)]
