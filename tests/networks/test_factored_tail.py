"""Resuming from a layer's factors gives the same as resuming from their product."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.architectures import build
from nmfdiag.networks.factored_tail import pays
from nmfdiag.networks.matrix_fold import fold, unfold
from nmfdiag.networks.split import Cut, SplitNetwork

LARGE = ["resnet18", "vgg11_bn", "googlenet", "densenet121"]


class Grouped(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4), nn.Flatten(), nn.LazyLinear(4))


class ReadTwice(nn.Module):
    """Two convolutions and a skip connection read the activation."""

    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1, bias=False)
        self.last, self.skip = nn.Linear(8, 4), skip

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.a(x))
        z = self.b(y) * 2 + self.c(y)
        return self.last((z + y if self.skip else z).mean((2, 3)))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.relu(self.a(x)), self.b.weight, self.b.bias, padding=1).mean((2, 3))


class Pooled(nn.Module):
    """Every pooling between, by functions; a flattened map of more than one place."""

    def __init__(self, flatten: Any) -> None:
        super().__init__()
        self.a, self.last, self.flatten = nn.Conv2d(3, 8, 3), nn.Linear(8 * 4, 4), flatten

    def forward(self, x: Tensor) -> Tensor:
        y = F.avg_pool2d(F.relu(self.a(x)), 3, stride=2, padding=1)
        return self.last(self.flatten(F.adaptive_avg_pool2d(y, 2)))


class WritesOver(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.a(x))
        z = self.b(y)
        y.add_(1)
        return z.mean((2, 3)) + self.b(y).mean((2, 3))


class OwnConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.square())


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(5, 8), nn.BatchNorm1d(12)
        self.next, self.last = nn.Linear(8, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.norm(self.next(F.relu(self.embed(x)))))).mean(1)


def after_conv(*after: nn.Module, norm: bool = True) -> nn.Module:
    """Return a convolution of eight channels, a ReLU and the layers under test."""
    middle = [nn.BatchNorm2d(8)] if norm else []
    return nn.Sequential(nn.Conv2d(3, 8, 3), *middle, nn.ReLU(), *after)


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4)]


def cases() -> dict[str, tuple[nn.Module, tuple[int, ...], set[str]]]:
    """Networks, the shape of their inputs, and the layers that fold."""
    image, relu6, twice = (6, 3, 12, 12), nn.ReLU6(), nn.Conv2d(8, 8, 3, padding=1)
    frozen = nn.BatchNorm2d(8, affine=False)
    return {
        "strided, dilated": (after_conv(nn.Conv2d(8, 6, 3, 2, 1, 2), *head(6)), image, {"2"}),
        "even kernel": (after_conv(nn.Conv2d(8, 6, (2, 3), padding="same"), *head(6)), image, {"2"}),
        "reflect": (after_conv(nn.Conv2d(8, 6, 3, padding=2, padding_mode="reflect"), *head(6)), image, {"2"}),
        "circular": (after_conv(nn.Conv2d(8, 6, 3, padding=1, padding_mode="circular"), *head(6)), image, {"2"}),
        "replicate": (after_conv(nn.Conv2d(8, 6, 3, padding=1, padding_mode="replicate"), *head(6)), image, {"2"}),
        "norm and ReLU": (
            after_conv(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(True), nn.Conv2d(8, 8, 1), frozen, *head(8)),
            image,
            {"2", "5"},
        ),
        "idle between": (after_conv(nn.Identity(), nn.Dropout(), nn.Conv2d(8, 6, 3), *head(6)), image, {"2"}),
        "max pool": (after_conv(nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), *head(6)), image, set()),
        "mean pool": (after_conv(nn.AvgPool2d(3, 2, 1), nn.Conv2d(8, 6, 3), *head(6)), image, {"2"}),
        "flattened": (after_conv(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4)), image, {"2"}),
        "flattened, twice read": (Pooled(lambda y: (z := y.flatten(1)) + z), image, set()),
        "flatten method": (Pooled(lambda y: y.flatten(1)), image, {"relu"}),
        "flatten function": (Pooled(lambda y: torch.flatten(y, start_dim=1)), image, {"relu"}),
        "flattened from 2": (Pooled(lambda y: torch.flatten(y, 2).flatten(1)), image, set()),
        "grouped": (Grouped(), image, set()),
        "transposed": (after_conv(nn.ConvTranspose2d(8, 6, 3), *head(6)), image, set()),
        "own forward": (after_conv(OwnConv(8, 6, 3), *head(6)), image, set()),
        "ReLU6, reused": (nn.Sequential(nn.Conv2d(3, 8, 3), relu6, twice, relu6, twice, *head(8)), image, {"1", "1_1"}),
        "read twice": (ReadTwice(skip=False), image, {"relu"}),
        "skip connection": (ReadTwice(skip=True), image, {"relu"}),
        "functional": (Functional(), image, set()),
        "writes over": (WritesOver(), image, set()),
        "sequence": (
            nn.Sequential(nn.Conv1d(3, 8, 3), nn.ReLU(), nn.Conv1d(8, 6, 5, padding=2), nn.AdaptiveAvgPool1d(1), nn.Flatten()),
            (6, 3, 20),
            {"1"},
        ),
        "volume": (nn.Sequential(nn.Conv3d(2, 8, 2), nn.ReLU(), nn.Conv3d(8, 3, 3), nn.Flatten()), (6, 2, 4, 4, 4), {"1"}),
        "tokens": (Tokens(), (6, 12, 5), {"relu", "relu_1"}),
        "vectors": (nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 4)), (20, 5), {"1"}),
        "weight norm": (
            after_conv(nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 6, 3)), *head(6)), image, {"2"},
        ),
    }  # fmt: skip


def lively(model: Any) -> Any:
    """Set statistics, scales and weights that distinguish every path."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.6, 1.4)
            if module.affine:
                nn.init.uniform_(module.weight, 0.8, 1.2)
                nn.init.uniform_(module.bias, 0.1, 0.4)
    return model


def factors(cut: Cut, channel_dim: int, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return random W and H of the activation's size, and a mean row."""
    A = fold(cut.activation, channel_dim)
    W, H = torch.rand(A.shape[0], k), torch.rand(k, A.shape[1])
    return W * (A.mean() / (0.25 * k) + 0.1), H, A.mean(dim=0)


def check(split: SplitNetwork, layer: str, inputs: Tensor, k: int = 2) -> None:
    cut, channel_dim = split.cut(layer, inputs), split.layer(layer).channel_dim
    activation_before = cut.activation.clone()
    W, H, offset = factors(cut, channel_dim, k)
    factors_before = W.clone(), H.clone()
    for row in (None, offset):
        product = W @ H if row is None else W @ H + row
        expected = split.resume(cut, unfold(product, cut.activation.shape, channel_dim))
        got = split.resume_factored(cut, W, H, row)
        scale = float(expected.abs().max())
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * scale, msg=lambda m: f"{layer}: {m}")
        assert not torch.allclose(got, split.resume(cut, cut.activation), rtol=1e-3, atol=1e-3 * scale), layer
    assert torch.equal(cut.activation, activation_before)
    assert torch.equal(W, factors_before[0]) and torch.equal(H, factors_before[1])


def folds(split: SplitNetwork, layer: str, inputs: Tensor, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return whether a layer resumes from the factors without forming their product."""
    cut = split.cut(layer, inputs)
    called: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(SplitNetwork, "resume", lambda *_: called.append(1))
        split.resume_factored(cut, *factors(cut, split.layer(layer).channel_dim, 2)[:2])
    return not called


@pytest.mark.parametrize("name", cases())
def test_small_networks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, shape, expected = cases()[name]
    inputs = torch.randn(shape)
    model(inputs)  # lazy layers learn their sizes
    split = SplitNetwork(lively(model), inputs)
    assert split.traced
    for layer in split.layers:
        check(split, layer.name, inputs)
    assert {x.name for x in split.layers if folds(split, x.name, inputs, monkeypatch)} == expected


@pytest.mark.parametrize(
    ("name", "unfolded"),
    [
        ("cnn", {"conv1_2", "conv2_2", "conv3_3"}),
        ("mlp", set()),
        ("resnet", set()),
        ("audio_cnn", {"conv1_2", "conv2_2", "conv3_2", "conv4_2"}),
    ],
)
def test_our_networks(name: str, unfolded: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    inputs, options = torch.randn(12, 3, 16, 16), {"blocks_a_stage": 1} if name == "resnet" else {}
    split = SplitNetwork(lively(build(name, (3, 16, 16), 4, width=8, **options)), inputs)
    for layer in split.layers:
        check(split, layer.name, inputs)
    assert {x.name for x in split.layers if not folds(split, x.name, inputs, monkeypatch)} == unfolded


@pytest.mark.parametrize("name", ["squeezenet1_1", *(pytest.param(name, marks=pytest.mark.soak) for name in LARGE)])
def test_torchvisions_networks(name: str) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(2, 3, 64, 64)
    split = SplitNetwork(lively(build(name, (3, 64, 64), 4)), inputs)
    for layer in split.layers[:: max(1, len(split.layers) // 5)]:
        if layer.width * layer.output_shape[-1] > 8:
            check(split, layer.name, inputs)


def test_against_the_network_itself_with_the_product_put_in() -> None:
    torch.manual_seed(0)
    model: Any = lively(after_conv(nn.Conv2d(8, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), *head(6))).eval()
    inputs = torch.randn(5, 3, 9, 9)
    split = SplitNetwork(model, inputs)
    cut = split.cut("2", inputs)
    W, H, offset = factors(cut, 1, 3)
    product = (W @ H + offset).view(5, 7, 7, 8).permute(0, 3, 1, 2)
    handle = model[2].register_forward_hook(lambda *_: product)
    expected = model(inputs).detach()
    handle.remove()
    torch.testing.assert_close(split.resume_factored(cut, W, H, offset), expected, rtol=1e-4, atol=1e-5)


def test_hooks_of_the_network_are_heard() -> None:
    model: Any = after_conv(nn.Conv2d(8, 6, 3), *head(6))
    inputs = torch.randn(6, 3, 12, 12)
    handle = model[3].register_forward_hook(lambda _module, _inputs, output: output * 2)
    check(SplitNetwork(model, inputs), "2", inputs)
    handle.remove()


def test_it_reads_the_parameters_as_they_are() -> None:
    model: Any = lively(after_conv(nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), *head(6)))
    inputs = torch.randn(6, 3, 12, 12)
    split = SplitNetwork(model, inputs)
    cut = split.cut("2", inputs)
    factor = factors(cut, 1, 2)
    before = split.resume_factored(cut, *factor)
    names = [name for name, _ in model.named_modules()]
    with torch.no_grad():
        model[3].weight.mul_(2)
        model[4].bias.add_(1)
    assert not torch.allclose(split.resume_factored(cut, *factor), before)
    check(split, "2", inputs)
    assert [name for name, _ in model.named_modules()] == names
    assert all(module.training for module in model.modules())


def test_an_untraced_network() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = after_conv(nn.Conv2d(8, 6, 3), *head(6))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) if x.numpy().sum() < 1e9 else x

    inputs = torch.randn(6, 3, 12, 12)
    split = SplitNetwork(lively(Branching()), inputs)
    assert not split.traced
    check(split, "inner.2", inputs)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = lively(after_conv(nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), *head(6))).to(dtype)
    inputs = torch.randn(6, 3, 12, 12).to(dtype)
    split = SplitNetwork(model, inputs)
    cut = split.cut("2", inputs)
    W, H, _ = (x.double() if dtype == torch.float64 else x.float() for x in factors(cut, 1, 2))
    expected = split.resume(cut, unfold((W @ H).to(dtype), cut.activation.shape, 1))
    got = split.resume_factored(cut, W, H)
    assert got.dtype == dtype
    close = 1e-9 if dtype == torch.float64 else 0.05
    torch.testing.assert_close(got, expected, rtol=close, atol=close * float(expected.abs().max()))


def test_no_factor_at_all_is_zero() -> None:
    inputs = torch.randn(6, 3, 12, 12)
    split = SplitNetwork(after_conv(nn.Conv2d(8, 6, 3), *head(6)), inputs)
    cut = split.cut("2", inputs)
    got = split.resume_factored(cut, torch.rand(600, 0), torch.rand(0, 8))
    torch.testing.assert_close(got, split.resume(cut, torch.zeros_like(cut.activation)))


def test_wrong_factors() -> None:
    inputs = torch.randn(6, 3, 12, 12)
    split = SplitNetwork(after_conv(*head(8)), inputs)
    cut = split.cut("2", inputs)
    for W, H in [((600, 2), (2, 7)), ((599, 2), (2, 8)), ((600, 3), (2, 8)), ((600,), (1, 8))]:
        with pytest.raises(NmfdiagError, match=r"'2' needs factors of shape \(600, k\) and \(k, 8\)"):
            split.resume_factored(cut, torch.rand(W), torch.rand(H))


def test_it_pays_for_few_factors_and_many_rows() -> None:
    assert pays(51200, 64, 47) and not pays(51200, 64, 49)
    assert pays(50, 512, 32) and not pays(50, 512, 48)
    assert not pays(10**6, 1, 1)
