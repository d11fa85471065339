"""A network cut at a ReLU gives its own logits back, and leaves the model, the inputs and the cut unchanged."""

from collections import namedtuple
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.architectures import ARCHITECTURES, build
from nmfdiag.networks.matrix_fold import fold, unfold
from nmfdiag.networks.split import SplitNetwork

TORCHVISION = {
    "resnet18": 32, "alexnet": 63, "vgg11_bn": 32, "squeezenet1_1": 32, "mobilenet_v2": 32, "densenet121": 32,
    "googlenet": 32, "shufflenet_v2_x0_5": 32,
}  # fmt: skip
LARGE = {"alexnet", "densenet121", "googlenet", "mobilenet_v2", "vgg11_bn"}
EVERY = {
    "densenet121": 11, "googlenet": 7, "mobilenet_v2": 5, "resnet18": 3, "shufflenet_v2_x0_5": 11, "squeezenet1_1": 5,
}  # fmt: skip


def no_hooks(model: nn.Module) -> bool:
    return not any(
        m._forward_hooks or m._forward_pre_hooks or m._forward_hooks_always_called or m._forward_hooks_with_kwargs
        for m in model.modules()
    )


def lively(model: Any) -> Any:
    """Draw weights so large that every ReLU affects the logits."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, 0.1, 0.4)
    return model


def check_every_layer(model: nn.Module, inputs: Tensor, traced: bool = True, step: int = 1) -> None:
    before = inputs.clone()
    split = SplitNetwork(model, inputs)
    assert split.traced is traced
    expected = split.logits(inputs)
    scale = expected.abs().max()
    assert len({layer.name for layer in split.layers}) == len(split.layers)
    for place, layer in enumerate(split.layers):
        assert layer.index == place
        if place % step:  # of a network with many alike
            continue
        cut = split.cut(layer.name, inputs)
        activation_before = cut.activation.clone()
        assert tuple(cut.activation.shape[1:]) == layer.output_shape
        assert cut.activation.shape[layer.channel_dim] == layer.width
        assert cut.activation.min() >= 0
        zeroed = split.resume(cut, torch.zeros_like(cut.activation))
        assert not torch.equal(zeroed, expected), layer.name
        back = unfold(fold(cut.activation, layer.channel_dim), cut.activation.shape, layer.channel_dim)
        torch.testing.assert_close(split.resume(cut, back), expected, rtol=1e-4, atol=1e-5 * float(scale) + 1e-7)
        assert torch.equal(cut.activation, activation_before)
    assert torch.equal(inputs, before)
    assert no_hooks(model)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_our_networks(name: str) -> None:
    torch.manual_seed(0)
    model = lively(build(name, (3, 16, 16), 4, width=8))
    check_every_layer(model, torch.randn(2, 3, 16, 16))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.soak) if name in LARGE else name for name in TORCHVISION]
)
def test_torchvisions_networks(name: str) -> None:
    torch.manual_seed(0)
    model = lively(build(name, (3, TORCHVISION[name], TORCHVISION[name]), 4))
    check_every_layer(model, torch.randn(1, 3, TORCHVISION[name], TORCHVISION[name]), step=EVERY.get(name, 1))


class Corrupting(nn.Module):
    """Writes in place over the input, a skip connection, a chunk of one and the activation."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.last = nn.Linear(4, 4), nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.linear(x)
        left, right = skip.chunk(2, dim=1)
        y = F.relu(self.linear(skip))
        x.mul_(2)
        skip.add_(1)
        left.add_(right)
        y.sub_(skip)
        return self.last(F.relu(y[:, :2] + left, True)) + x.sum()


class AliasedReLU(nn.Module):
    """Reads the input of an in-place ReLU after it: it must see the replaced activation."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        y = x.relu_()
        return self.b(y) * x[:, :3]


def test_in_place_operations_spoil_nothing() -> None:
    torch.manual_seed(0)
    model, inputs = Corrupting(), torch.randn(5, 4)
    check_every_layer(model, inputs)
    split = SplitNetwork(model, inputs)
    cut = split.cut("relu", inputs)
    replacement = cut.activation + 1
    first, replacement_before = split.resume(cut, replacement), replacement.clone()
    assert torch.equal(split.resume(cut, replacement), first)
    assert torch.equal(replacement, replacement_before)


def test_an_in_place_relus_input_is_its_output() -> None:
    torch.manual_seed(0)
    model, inputs = AliasedReLU(), torch.randn(5, 4)
    check_every_layer(model, inputs)
    split = SplitNetwork(model, inputs)
    assert not split.resume(split.cut("relu_", inputs), torch.zeros(5, 4)).any()


def test_the_head_runs_once_and_parameters_are_shared() -> None:
    model: Any = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    inputs = torch.randn(3, 4)
    split = SplitNetwork(model, inputs)
    cut = split.cut("1", inputs)
    expected = split.logits(inputs)
    with torch.no_grad():
        model[0].weight.zero_()
        torch.testing.assert_close(split.resume(cut, cut.activation), expected)
        model[2].weight.zero_()
    torch.testing.assert_close(split.resume(cut, cut.activation), model[2].bias.detach().expand(3, 2))


def test_results_are_detached() -> None:
    model, inputs = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.randn(3, 4, requires_grad=True)
    split = SplitNetwork(model, inputs)
    cut = split.cut("1", inputs)
    got = (cut.activation, split.logits(inputs), split.resume(cut, cut.activation.clone().requires_grad_()))
    assert not any(value.requires_grad for value in got)


Named = namedtuple("Named", "aux logits")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: (y, None),
        lambda y: [None, y],
        lambda y: {"aux": y * 0, "logits": y},
        lambda y: {"loss": None, "out": y},
        lambda y: Named(y * 0, y),
    ],
)
def test_outputs_in_a_container(wrap: Any) -> None:
    class Wrapped(nn.Sequential):
        def forward(self, x: Tensor) -> Any:
            return wrap(super().forward(x))

    check_every_layer(Wrapped(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(3, 4))


def test_no_logits() -> None:
    class Silent(nn.Module):
        def forward(self, x: Tensor) -> str:
            return "nothing"

    with pytest.raises(NmfdiagError, match=r"must return logits.*str"):
        SplitNetwork(Silent(), torch.randn(1, 4))


def test_modes_are_restored() -> None:
    model: Any = build("resnet", (3, 8, 8), 4, width=4)
    inputs = torch.randn(2, 3, 8, 8)
    model[1].bn1.eval()
    modes = [m.training for m in model.modules()]
    statistics = model[0].bn.running_mean.clone()
    split = SplitNetwork(model, inputs)
    cut = split.cut("conv1", inputs)
    split.resume(cut, cut.activation)
    wrong = torch.randn(2, 5, 8, 8)
    for fails in (lambda: split.cut("conv1", wrong), lambda: split.logits(wrong), lambda: SplitNetwork(model, wrong)):
        with pytest.raises(NmfdiagError, match=r"\(2, 5, 8, 8\).*channels"):
            fails()
    assert [m.training for m in model.modules()] == modes
    assert no_hooks(model)
    assert torch.equal(model[0].bn.running_mean, statistics)


def test_wrong_activation() -> None:
    split = SplitNetwork(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.randn(3, 4))
    with pytest.raises(NmfdiagError, match=r"\(3, 4\), got \(3, 5\)"):
        split.resume(split.cut("1", torch.randn(3, 4)), torch.randn(3, 5))


def test_unknown_layer() -> None:
    split = SplitNetwork(build("cnn", (3, 8, 8), 4, width=4), torch.randn(1, 3, 8, 8))
    with pytest.raises(NmfdiagError, match=r"'conv2_l'.*Did you mean 'conv2_.'.*conv1_1, conv1_2"):
        split.cut("conv2_l", torch.randn(1, 3, 8, 8))
    assert split.layer("conv2_1").index == 2


@pytest.mark.parametrize(("shape", "channel_dim"), [((3, 4), 1), ((2, 3, 5), 1), ((2, 3, 5), 2), ((2, 3, 4, 5), 1)])
def test_fold_and_unfold(shape: tuple[int, ...], channel_dim: int) -> None:
    activation = torch.rand(shape)
    A = fold(activation, channel_dim)
    assert A.shape == (activation.numel() // shape[channel_dim], shape[channel_dim])
    assert torch.equal(unfold(A, shape, channel_dim), activation)


def test_fold_is_a_view_of_channels_last() -> None:
    activation = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    A = fold(activation, 1)
    assert A.data_ptr() == activation.data_ptr()
    assert torch.equal(A[1], activation[0, :, 0, 1])
    back = unfold(A, activation.shape, 1)
    assert back.data_ptr() == A.data_ptr() and back.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("name", "channels"), [("cnn", 1), ("cnn", 3), ("resnet", 3), ("audio_cnn", 1)])
def test_a_convolutions_activation_is_its_matrix(name: str, channels: int) -> None:
    """Head and tail run in channels_last memory: no activation is copied to become a matrix, nor back."""
    inputs = torch.randn(2, channels, 16, 16)
    split = SplitNetwork(build(name, (channels, 16, 16), 4, width=4), inputs)
    for layer in split.layers:
        activation = split.cut(layer.name, inputs).activation
        A = fold(activation, layer.channel_dim)
        assert A.data_ptr() == activation.data_ptr() and A.is_contiguous()
        back = unfold(A, activation.shape, layer.channel_dim)
        assert back.data_ptr() == A.data_ptr()
        assert split.prepared.in_layout(back).data_ptr() == A.data_ptr()


def test_a_network_that_cant_take_channels_last() -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(F.relu(self.conv(x)).view(x.shape[0], -1))

    check_every_layer(Views(), torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize(
    "name", ["resnet18", *(pytest.param(name, marks=pytest.mark.soak) for name in ("vgg11_bn", "densenet121"))]
)
def test_torchvisions_in_place_relus_need_no_copies(name: str) -> None:
    split = SplitNetwork(build(name, (3, 32, 32), 4), torch.randn(2, 3, 32, 32))
    assert not any(split._parts(layer.name).tail_writes for layer in split.layers[::12])


@pytest.mark.parametrize("name", ["cnn", "resnet", "mlp"])
def test_pieces(name: str) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(5, 3, 8, 8)
    options = {"blocks_a_stage": 1} if name == "resnet" else {}
    split = SplitNetwork(lively(build(name, (3, 8, 8), 4, width=4, **options)), inputs)
    for layer in split.layers:
        cut = split.cut(layer.name, inputs)
        assert split.pieces(cut) == [cut]
        pieces = split.pieces(cut, max_bytes=2 * cut.activation[0].nbytes)
        assert [len(piece.activation) for piece in pieces] == [2, 2, 1]
        assert pieces[0].activation.data_ptr() == cut.activation.data_ptr()
        logits = torch.cat([split.resume(piece, piece.activation) for piece in pieces])
        torch.testing.assert_close(logits, split.resume(cut, cut.activation))


def test_samples_that_depend_on_each_other_stay_together() -> None:
    class Batch(nn.Module):
        def __init__(self, norm: nn.Module) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(4, 4), norm

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(F.relu(self.linear(x)))

    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(0)

    class Sized(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / x.shape[0]

    inputs = torch.randn(5, 4)
    for norm in (nn.BatchNorm1d(4, track_running_stats=False), Mean(), Sized()):
        split = SplitNetwork(Batch(norm), inputs)
        cut = split.cut("relu", inputs)
        assert split.pieces(cut, max_bytes=1) == [cut], norm
