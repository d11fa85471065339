"""Networks that can't be traced are cut too, and their layers have the same names."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.squeezenet import Fire

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.activations import RELUS
from nmfdiag.networks.architectures import build
from nmfdiag.networks.channels import ChannelTracer
from nmfdiag.networks.intercept import Replay
from nmfdiag.networks.prepare import PreparedNetwork
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.networks.trace import Recorder


class Untraceable(nn.Module):
    """Wraps a network behind a branch on values that have left PyTorch."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.numpy().sum() < 1e9 else x


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv1d(3, 5, 1), nn.BatchNorm1d(5), nn.Linear(5, 7)
        self.act, self.act6 = nn.ReLU(inplace=True), nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm(self.conv(x)))
        y = self.act6(self.linear(y.transpose(1, 2)))
        y = F.relu_(y - 0.1) + (y - 0.2).relu()
        return self.act(y.mean(1)) + torch.relu(y[:, 0])


class Aliased(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.act = nn.Linear(4, 4), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.act(x) * x


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def models() -> dict[str, tuple[nn.Module, Tensor]]:
    torch.manual_seed(0)
    act = nn.ReLU()
    return {
        "cnn": (build("cnn", (3, 8, 8), 4, width=4), torch.randn(2, 3, 8, 8)),
        "resnet": (build("resnet", (3, 8, 8), 4, width=4, blocks_a_stage=1), torch.randn(2, 3, 8, 8)),
        "fires": (nn.Sequential(Fire(3, 4, 5, 6), Fire(11, 4, 5, 6), nn.Flatten()), torch.randn(2, 3, 4, 4)),
        "squeezenet1_1": (build("squeezenet1_1", (3, 32, 32), 4), torch.randn(2, 3, 32, 32)),
        "reused": (nn.Sequential(nn.Linear(4, 4), act, nn.Linear(4, 4), act), torch.randn(2, 4)),
        "tokens": (Tokens(), torch.randn(2, 3, 6)),
        "aliased": (Aliased(), torch.randn(2, 4)),
    }


@pytest.mark.parametrize(
    "name",
    ["cnn", "resnet", "fires", "reused", "tokens", "aliased", pytest.param("squeezenet1_1", marks=pytest.mark.soak)],
)
def test_the_same_as_traced(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = models()[name]
    traced = SplitNetwork(model, inputs)
    monkeypatch.setattr(PreparedNetwork, "_trace", lambda *_: None)
    run = SplitNetwork(model, inputs)
    assert traced.traced and not run.traced
    assert run.layers == traced.layers
    for layer in traced.layers:
        cuts = traced.cut(layer.name, inputs), run.cut(layer.name, inputs)
        torch.testing.assert_close(cuts[0].activation, cuts[1].activation)
        replacement = torch.rand_like(cuts[0].activation)
        torch.testing.assert_close(
            traced.resume(cuts[0], replacement), run.resume(cuts[1], replacement), rtol=1e-4, atol=1e-5
        )


def test_an_untraceable_network() -> None:
    inner, inputs = models()["resnet"]
    inner.get_submodule("res1_1").eval()
    model, before = Untraceable(inner), inputs.clone()
    modes = [m.training for m in model.modules()]
    split = SplitNetwork(model, inputs)
    assert not split.traced
    expected = split.logits(inputs)
    assert [layer.name for layer in split.layers][:3] == ["inner.conv1", "inner.res1_1.relu", "inner.res1_1.relu_1"]
    for layer in split.layers:
        cut = split.cut(layer.name, inputs)
        torch.testing.assert_close(split.resume(cut, cut.activation), expected)
        assert not torch.allclose(split.resume(cut, torch.zeros_like(cut.activation)), expected)
    assert torch.equal(inputs, before)
    assert [m.training for m in model.modules()] == modes
    assert hooks(model) == 0


def test_an_observer_calls_nothing_that_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An observer's reads of a tensor in a hook would count as the network's, and be measured slowly."""
    model, inputs = models()["resnet"]
    followed: list[list[str]] = [[], []]
    for names, observer in zip(followed, (None, Recorder(model)), strict=True):
        monkeypatch.setattr(ChannelTracer, "follow", lambda _s, _f, name, *_, names=names: names.append(name))
        with torch.no_grad():
            Replay(model.eval(), RELUS).survey(inputs, observer)
    assert followed[0] == followed[1] != []


def test_failures_leave_nothing_behind() -> None:
    model = Untraceable(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)))
    handle = model.inner.register_forward_hook(lambda *_: None)
    split = SplitNetwork(model, torch.randn(2, 4))
    for fails in (lambda x: split.cut("inner.1", x), split.logits, lambda x: SplitNetwork(model, x)):
        with pytest.raises(NmfdiagError, match=r"Untraceable.*\(2, 5\)"):
            fails(torch.randn(2, 5))
    assert hooks(model) == 1 and all(m.training for m in model.modules())
    handle.remove()


def test_a_layer_that_is_not_called_this_time() -> None:
    model = Untraceable(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    split = SplitNetwork(model, torch.randn(2, 4))
    with pytest.raises(NmfdiagError, match=r"do not reach the ReLU 'inner.1'.*depends on its inputs"):
        split.cut("inner.1", torch.full((2, 4), 1e9))


def test_a_network_that_does_other_things_with_other_sizes() -> None:
    """Check every batch: those of two and three samples do not show the difference."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.linear(x)) * (5 if len(x) > 3 else 1)

    inputs = torch.randn(6, 4)
    split = SplitNetwork(Counting(), inputs)
    cut = split.cut("relu", inputs)
    assert cut.replayed
    replacement = torch.rand(6, 4)
    assert torch.equal(split.resume(cut, replacement), 5 * replacement)
