"""GELU and its like are layers on request: as modules and functions, traced or not, also in place; ReLUs stay the same."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models import ConvNeXt, MobileNetV3, VisionTransformer
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import signed_full_rank, signed_nmf
from nmfdiag.networks.activations import KINDS
from nmfdiag.networks.layers import Call, call_names
from nmfdiag.networks.matrix_fold import fold
from nmfdiag.networks.prepare import PreparedNetwork
from nmfdiag.networks.split import SplitNetwork, find_relu_layers, relu_layers

MODULES: dict[str, nn.Module] = {
    "ReLU": nn.ReLU(inplace=True), "ReLU6": nn.ReLU6(inplace=True), "GELU": nn.GELU("tanh"), "SiLU": nn.SiLU(inplace=True),
    "LeakyReLU": nn.LeakyReLU(0.1, inplace=True), "Hardswish": nn.Hardswish(inplace=True), "ELU": nn.ELU(inplace=True),
    "SELU": nn.SELU(inplace=True), "CELU": nn.CELU(inplace=True), "PReLU": nn.PReLU(4), "RReLU": nn.RReLU(inplace=True),
    "Mish": nn.Mish(inplace=True), "Softplus": nn.Softplus(),
}  # fmt: skip
Function = Callable[[Tensor], Tensor]
FUNCTIONS: list[tuple[str, Function]] = [
    ("GELU", F.gelu), ("SiLU", F.silu), ("LeakyReLU", F.leaky_relu), ("Hardswish", F.hardswish), ("ELU", F.elu),
    ("SELU", F.selu), ("CELU", F.celu), ("RReLU", F.rrelu), ("Mish", F.mish), ("Softplus", F.softplus),
    ("SiLU", lambda x: F.silu(x, inplace=True)), ("Hardswish", lambda x: F.hardswish(x, inplace=True)),
    ("LeakyReLU", lambda x: F.leaky_relu_(x, 0.3)), ("ELU", F.elu_), ("SELU", torch.selu_), ("CELU", torch.celu),
    ("PReLU", lambda x: F.prelu(x, torch.tensor([0.2]))), ("PReLU", lambda x: x.prelu(torch.tensor([0.2]))),
    ("ReLU", F.relu), ("ReLU", lambda x: x.relu_()), ("ReLU6", F.relu6),
]  # fmt: skip


class Chain(nn.Module):
    """Linear layers with an activation, module or function, behind each; gates in between."""

    def __init__(self, acts: list[nn.Module] | list[Function]):
        super().__init__()
        torch.manual_seed(0)
        self.linears = nn.ModuleList(nn.Linear(4, 4) for _ in acts)
        self.functions = [act for act in acts if not isinstance(act, nn.Module)]
        self.acts = nn.ModuleList(act for act in acts if isinstance(act, nn.Module))
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        for linear, act in zip(self.linears, self.functions or self.acts, strict=True):
            x = act(linear(x)) * self.gate(x)
        return torch.tanh(x) + torch.sigmoid(x)


class Untraceable(nn.Module):
    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.sum() < 1e9 else x


def untraced(model: nn.Module, inputs: Tensor, monkeypatch: pytest.MonkeyPatch) -> SplitNetwork:
    with monkeypatch.context() as patch:
        patch.setattr(PreparedNetwork, "_trace", lambda *_: None)
        return SplitNetwork(model, inputs, "all")


def check(traced: SplitNetwork, run: SplitNetwork, inputs: Tensor, step: int = 1) -> None:
    """Check that both cut alike and resume to the network's own answer, also from factors of the full rank."""
    assert traced.traced and not run.traced
    # At the beginning of a long chain of small layers some effects are too small for float32.
    assert len(run.layers) > len(traced.layers) // 2 and set(run.layers) <= set(traced.layers)
    expected = traced.logits(inputs)
    torch.testing.assert_close(run.logits(inputs), expected)
    for layer in run.layers[::step]:
        cuts = traced.cut(layer.name, inputs), run.cut(layer.name, inputs)
        torch.testing.assert_close(cuts[0].activation, cuts[1].activation, rtol=1e-4, atol=1e-5)
        A = fold(cuts[0].activation, layer.channel_dim)
        full = signed_full_rank(A)
        W, H = signed_nmf(A, [full]).factors(full)
        replacement = 3 * torch.randn_like(cuts[0].activation)
        first, second = (network.resume(cut, replacement) for network, cut in zip((traced, run), cuts, strict=True))
        moved = float((first - expected).abs().max())
        close = partial(torch.testing.assert_close, rtol=0, atol=0.02 * moved)
        close(first, second)
        for network, cut in zip((traced, run), cuts, strict=True):
            close(network.resume(cut, cut.activation), expected)
            close(network.resume_factored(cut, W, H), expected)


def test_every_module(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(MODULES) == set(KINDS)
    model, inputs = Chain(list(MODULES.values())).eval(), torch.randn(3, 4)
    traced = SplitNetwork(model, inputs, "all")
    assert [layer.kind for layer in traced.layers] == list(MODULES)
    assert [layer.name for layer in traced.layers] == [f"acts.{i}" for i in range(len(MODULES))]
    for part in (Chain(list(MODULES.values())[:7]).eval(), Chain(list(MODULES.values())[7:]).eval()):
        check(SplitNetwork(part, inputs, "all"), untraced(part, inputs, monkeypatch), inputs)


def test_every_function(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = Chain([function for _, function in FUNCTIONS]), torch.randn(3, 4)
    traced = SplitNetwork(model, inputs, "all")
    assert [layer.kind for layer in traced.layers] == [kind for kind, _ in FUNCTIONS]
    assert [layer.name for layer in traced.layers][:3] == ["gelu", "silu", "leaky_relu"]
    assert len({layer.name for layer in traced.layers}) == len(FUNCTIONS)
    for start in range(0, len(FUNCTIONS), 7):
        part = Chain([function for _, function in FUNCTIONS[start : start + 7]])
        check(SplitNetwork(part, inputs, "all"), untraced(part, inputs, monkeypatch), inputs)


def test_non_negative_kinds_are() -> None:
    x = torch.linspace(-9, 9, 200)[:, None].expand(-1, 4)
    for name, module in MODULES.items():
        assert KINDS[name].non_negative == bool(module.eval()(x.clone()).min() >= 0), name


def test_relus_are_the_same_layers_in_either_choice() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.act = nn.Linear(4, 4), nn.GELU()

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.linear(x)) + F.gelu(x) + self.act(x)

    model = nn.Sequential(Block(), nn.ReLU(), Block(), nn.Linear(4, 4), nn.GELU())
    inputs = torch.randn(2, 4)
    assert relu_layers(model, inputs) == ["0", "1", "2"]
    all_layers = find_relu_layers(model, inputs, "all")
    assert [layer.name for layer in all_layers if layer.kind == "ReLU"] == ["0", "1", "2"]
    assert [layer.name for layer in all_layers] == [
        "0", "0.gelu", "0.act", "1", "2", "2.gelu", "2.act", "4",
    ]  # fmt: skip
    assert relu_layers(Untraceable(model), inputs) == ["inner.0", "inner.1", "inner.2"]


def test_names_never_collide() -> None:
    calls = [
        Call("relu", True, kind="GELU"),
        Call("", False, "relu"),
        Call("gelu", True),
        Call("", False, "gelu", "GELU"),
    ]
    calls += [Call("a", False, "relu"), Call("a", False, "gelu", "GELU"), Call("a", True, kind="SiLU")]
    names = call_names(calls)
    assert len(set(names)) == len(names)
    assert [names[i] for i in (1, 2, 4)] == ["relu", "gelu", "a"]


def lively(model: nn.Module) -> nn.Module:
    """Draw weights so that every layer affects the logits: initial heads and layer scales are (nearly) zero."""
    for name, value in model.named_parameters():
        if value.ndim < 2 or "layer_scale" in name:
            nn.init.uniform_(value, -0.5 if name.endswith("bias") else 0.5, 0.9)
        else:
            nn.init.normal_(value, std=1.5 * value[0].numel() ** -0.5)
    return model.eval()


def transformer() -> nn.Module:
    return VisionTransformer(32, 16, 2, 2, 16, 24, num_classes=4)


def convnext() -> nn.Module:
    return ConvNeXt([CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 1)], num_classes=4)


def mobilenet() -> nn.Module:
    """Return a block with ReLU and two with Hardswish, one of them with a skip connection."""
    blocks = [(8, 3, 8, 8, True, "RE", 2), (8, 5, 24, 16, True, "HS", 2), (16, 5, 24, 16, True, "HS", 1)]
    return MobileNetV3([InvertedResidualConfig(*block, 1, 1.0) for block in blocks], 32, num_classes=4)  # type: ignore[arg-type]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], str, int, int]] = {
    "vit": (transformer, "GELU", 2, 2),
    "convnext": (convnext, "GELU", 3, 3),
    "mobilenet": (mobilenet, "Hardswish", 7, 1),
    "convnext_tiny": (lambda: torchvision.models.convnext_tiny(num_classes=4), "GELU", 18, 3),
    "efficientnet_b0": (lambda: torchvision.models.efficientnet_b0(num_classes=4), "SiLU", 49, 1),
    "mobilenet_v3_small": (lambda: torchvision.models.mobilenet_v3_small(num_classes=4), "Hardswish", 19, 1),
}


LARGE = {"convnext_tiny", "efficientnet_b0", "mobilenet_v3_small"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.soak) if name in LARGE else name for name in NETWORKS]
)
def test_torchvisions_networks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, kind, n, channel_dim = NETWORKS[name]
    torch.manual_seed(0)
    model, inputs = lively(make()), torch.randn(2, 3, 32, 32)
    traced = SplitNetwork(model, inputs, "all")
    layers_of_kind = [layer for layer in traced.layers if layer.kind == kind]
    assert len(layers_of_kind) == n and {layer.channel_dim for layer in layers_of_kind} == {channel_dim}
    assert all(traced.cut(layers_of_kind[i].name, inputs).activation.min() < 0 for i in (0, -1))
    check(traced, untraced(model, inputs, monkeypatch), inputs, step=17 if name in LARGE else 2)
    if "convnext" in name:
        width = 384 if name == "convnext_tiny" else 32
        assert (layers_of_kind[0].width, layers_of_kind[0].output_shape) == (width, (8, 8, width))
    if "mobilenet" in name:
        n_relus = 14 if name == "mobilenet_v3_small" else 4
        assert len(find_relu_layers(model, inputs)) == len(traced.layers) - n == n_relus


def test_a_hugging_face_transformer() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=32, patch_size=16,
        num_labels=4,
    )  # fmt: skip
    torch.manual_seed(0)
    model, inputs = lively(transformers.ViTForImageClassification(config)), torch.randn(2, 3, 32, 32)
    split = SplitNetwork(model, inputs, "all")
    assert [(x.kind, x.width, x.output_shape, x.channel_dim) for x in split.layers] == [("GELU", 24, (5, 24), 2)] * 2
    expected = model(inputs).logits
    for layer in split.layers:
        cut = split.cut(layer.name, inputs)
        torch.testing.assert_close(split.resume(cut, cut.activation), expected)
        assert not torch.allclose(split.resume(cut, -cut.activation), expected)
    with pytest.raises(NmfdiagError, match=r"found: 2 GELU.*\"signed\""):
        SplitNetwork(model, inputs)


def test_torchs_own_encoder() -> None:
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
    split = SplitNetwork(nn.Sequential(encoder, nn.Flatten(), nn.Linear(24, 2)), torch.randn(2, 3, 8), "all")
    assert [(x.name, x.width, x.channel_dim, x.kind) for x in split.layers] == [("0", 16, 2, "GELU")]


def test_no_layer_says_what_measures_what_there_is() -> None:
    inputs = torch.randn(2, 4)
    with pytest.raises(
        NmfdiagError, match=r"no ReLU layer \(found: 1 GELU, 1 Tanh\).*\"signed\".*extension.*activations=\"all\""
    ):
        relu_layers(nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Tanh()), inputs)
    with pytest.raises(NmfdiagError, match=r"found: 1 Sigmoid, 1 Mish, 1 SiLU.*\"signed\""):
        relu_layers(Chain([F.mish, F.silu]), inputs)
    for activations in ("relu", "all"):
        with pytest.raises(NmfdiagError, match=r"layer \(found: 1 Sigmoid\)") as gates:
            relu_layers(nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()), inputs, activations)
        assert "signed" not in str(gates.value)
    with pytest.raises(NmfdiagError, match="Unknown activations 'gelu': accepted are relu, all"):
        relu_layers(transformer(), torch.randn(1, 3, 32, 32), "gelu")
    split = SplitNetwork(nn.Sequential(nn.Linear(4, 4), nn.GELU()), inputs, "all")
    with pytest.raises(NmfdiagError, match="The activation layers are: 1"):
        split.layer("2")
