"""The axis of the channels follows from the operation that made a tensor, whatever the activation function and the network's way of running."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.networks.prepare import PreparedNetwork
from nmfdiag.networks.split import SplitNetwork


class Image(nn.Module):
    """(n, 3, 4, 5) to an activation of 6 or 7 channels, and to logits."""

    def __init__(self, act: Callable[[Tensor], Tensor]):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 6, 1), nn.Linear(3, 7)
        self.norm, self.batch_norm, self.act = nn.LayerNorm(7), nn.BatchNorm2d(6), act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.activation(x)).flatten(1)

    def activation(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Convolution(Image):
    def activation(self, x: Tensor) -> Tensor:
        y = self.batch_norm(self.conv(x))
        return 0.5 * y + F.dropout(F.max_pool2d(y, 1), 0.1, training=False)


class LastLinear(Image):
    def activation(self, x: Tensor) -> Tensor:
        return self.linear(x.permute(0, 2, 3, 1))


class NormalisedLinear(Image):
    def activation(self, x: Tensor) -> Tensor:
        y = F.linear(x.permute((0, 2, 3, 1)), self.linear.weight)
        return self.norm(y + torch.ones(7)).contiguous()


class MovedBack(Image):
    def activation(self, x: Tensor) -> Tensor:
        return torch.permute(self.linear(x.permute(0, 2, 3, 1)), (0, 3, 1, 2))


class MovedConvolution(Image):
    def activation(self, x: Tensor) -> Tensor:
        return self.conv(x).transpose(1, -1).transpose(1, 2)


class Gated(Image):
    def activation(self, x: Tensor) -> Tensor:
        a, b = torch.cat([y := self.linear(x.permute(0, 2, 3, 1)), y], dim=3).chunk(2, dim=-1)
        return a * b


class NormAlone(Image):
    def activation(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.permute(0, 2, 3, 1).repeat(1, 1, 1, 3)[..., :7], (7,))


class Residual(Image):
    """The branch in (n, c, h, w) that is added to the moved one says the same."""

    def activation(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + nn.functional.linear(y.permute(0, 2, 3, 1), torch.eye(6)).permute(0, 3, 1, 2)


WAYS = {
    Convolution: (1, 6), LastLinear: (3, 7), NormalisedLinear: (3, 7), MovedBack: (1, 7), MovedConvolution: (3, 6), Gated: (3, 7),
    NormAlone: (3, 7), Residual: (1, 6),
}  # fmt: skip


@pytest.mark.parametrize("act", [F.relu, F.gelu], ids=["relu", "gelu"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_images(way: type[Image], act: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, inputs = way(act).eval(), torch.randn(2, 3, 4, 5)
    activations = "relu" if act is F.relu else "all"
    [layer] = SplitNetwork(model, inputs, activations).layers
    assert (layer.channel_dim, layer.width) == WAYS[way]
    monkeypatch.setattr(PreparedNetwork, "_trace", lambda *_: None)
    assert SplitNetwork(model, inputs, activations).layers == [layer]


@pytest.mark.parametrize("traced", [True, False])
def test_sequences(traced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in wav2vec: layer norm of a convolution's channels, between two transpositions; and tokens."""

    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.linear = nn.Conv1d(3, 5, 1), nn.LayerNorm(5), nn.Linear(5, 7)

        def forward(self, x: Tensor) -> Tensor:
            y = F.gelu(self.norm(self.conv(x).transpose(1, 2)).transpose(1, 2))
            y = y.transpose(1, 2)
            return (F.relu(y).sum(2) + F.silu(self.linear(y)).sum(2)) * F.gelu(x.reshape(-1, 6, 3)).sum(2)

    if not traced:
        monkeypatch.setattr(PreparedNetwork, "_trace", lambda *_: None)
    split = SplitNetwork(Sequence(), torch.randn(2, 3, 6), "all")
    assert split.traced == traced
    assert [(x.channel_dim, x.width) for x in split.layers] == [(1, 5), (2, 5), (2, 7)]
    assert split.skipped == {
        "gelu_1": "which axis of (2, 6, 3) holds its channels can't be told after reshape (channel_dim= says it)"
    }


def test_a_block_on_the_last_axis_is_cut_without_copies() -> None:
    """Keep the layout of (n, h, w, channels), which is not an image of h channels."""
    model = LastLinear(F.gelu)
    inputs = torch.randn(2, 3, 4, 5)
    split = SplitNetwork(model, inputs, "all")
    cut = split.cut("gelu", inputs)
    assert cut.activation.is_contiguous()
    assert split.prepared.in_layout(cut.activation, 3).data_ptr() == cut.activation.data_ptr()
