"""A graph is compared with the network's own code by every logit that may win, however large others are."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.compression import compression_curve
from nmfdiag.measures.compute_profile import layer_profile
from nmfdiag.networks.outputs import same_logits
from nmfdiag.networks.split import SplitNetwork

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
LAST = torch.arange(6) >= 4
MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "large": lambda y: y.masked_fill(LAST, -1e9),
    "lowest": lambda y: y.masked_fill(LAST, torch.finfo(y.dtype).min),
    "added": lambda y: y - 1e7 * LAST,
    "most classes": lambda y: y.masked_fill(torch.arange(6) >= 2, -1e9),
    "by sample": lambda y: y.masked_fill(y < y.topk(3, 1).values[:, -1:], -1e9),
    "constant": lambda y: torch.cat([y[:, :4], torch.full((len(y), 1), -1e5)], 1),
}


class Masked(nn.Module):
    """A ReLU in place of what a view reads afterwards, which no graph has; and a mask."""

    def __init__(self, mask: Callable[[Tensor], Tensor]):
        super().__init__()
        self.a, self.b, self.mask = nn.Linear(6, 16), nn.Linear(16, 6), mask

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        view = h.view(-1, 4, 4)
        F.relu_(h)
        return self.mask(self.b(view.flatten(1)))


@pytest.mark.parametrize("name", MASKS)
def test_masked_classes_do_not_hide_a_wrong_graph(name: str) -> None:
    torch.manual_seed(0)
    model = Masked(MASKS[name]).eval()
    with torch.no_grad():
        activation = torch.relu(model.a(X))
        labels = model(X).argmax(1)
        U, S, V = torch.linalg.svd(activation.double(), full_matrices=False)
        expected = []
        for k in (1, 3):
            approximation = ((U[:, :k] * S[:k]) @ V[:k]).float()
            expected.append(float((model.mask(model.b(approximation)).argmax(1) == labels).double().mean()))
    assert max(expected) < 1.0
    assert compression_curve(model, "relu_", X, labels, method="pca", ranks=[1, 3]).accuracy == expected


def test_what_counts_as_the_same_logits() -> None:
    logits = torch.tensor([[3.0, 1.0, -2.0, -1e9], [0.5, 4.0, 1.0, -1e9], [-1.0, 2.0, 6.0, -1e9]])
    for same in (logits.clone(), logits * (1 + 1e-6), torch.cat([logits[:, :3] + 1e-5, logits[:, 3:]], 1)):
        assert same_logits(same, logits)
    for row in range(3):
        for column in range(3):
            changed = logits.clone()
            changed[row, column] += 0.1
            assert not same_logits(changed, logits)
            assert not same_logits(
                changed.masked_fill(LAST[1:5], -torch.inf), logits.masked_fill(LAST[1:5], -torch.inf)
            )
            assert not same_logits(changed[row : row + 1], logits[row : row + 1])
    tie = torch.tensor([[1.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    assert same_logits(tie + 1e-6, tie) and not same_logits(tie + torch.tensor([0.0, 0.01, 0.0]), tie)
    assert not same_logits(torch.full_like(logits, torch.nan), logits) and same_logits(
        logits * torch.nan, logits * torch.nan
    )


class TimeFirst(nn.Module):
    """The activation is (places, n, channels), and a mean row gives samples of other lengths other answers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.activation(x))

    def activation(self, x: Tensor) -> Tensor:
        return torch.relu(self.a(x.transpose(0, 1)).abs())

    def answer(self, activation: Tensor) -> Tensor:
        return self.b(activation.sum(0))


class ChannelsFirst(TimeFirst):
    """The activation is (channels, n)."""

    def __init__(self, width: int):
        super().__init__()
        self.W, self.V = nn.Parameter(torch.randn(width, 6)), nn.Parameter(torch.randn(2, width))

    def activation(self, x: Tensor) -> Tensor:
        return torch.relu(self.W @ x.t())

    def answer(self, activation: Tensor) -> Tensor:
        return (self.V @ activation).t()


@pytest.mark.parametrize("size", [12, 13])
@pytest.mark.parametrize("variant", ["places", "channels"])
def test_an_axis_as_long_as_the_batch_is_not_the_batch(variant: str, size: int) -> None:
    torch.manual_seed(0)
    model = (TimeFirst() if variant == "places" else ChannelsFirst(size)).eval()
    inputs = torch.randn(12, size, 3) if variant == "places" else X[:12]
    with torch.no_grad():
        activation = model.activation(inputs)
        if variant == "places":  # twelve steps of the mean row are answered 1, two are answered 0
            model.b.weight.copy_(torch.stack([torch.zeros(8), torch.ones(8)]))
            model.b.bias.copy_(torch.tensor([float(activation.mean((0, 1)).sum()) * size / 2, 0.0]))
        of_channel = (0, 1) if variant == "places" else 1
        mean = activation.mean(of_channel, keepdim=True).expand_as(activation)
        labels = model.answer(mean).argmax(1)
    curve = compression_curve(model, "relu", inputs, labels, method="pca", ranks=[1])
    assert curve.mean_accuracy == 1.0
    assert compression_curve(model, "relu", inputs, 1 - labels, method="pca", ranks=[1]).mean_accuracy == 0.0


def test_a_batch_whose_answer_fails_is_left_out_with_the_reason() -> None:
    class Strict(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            h = self[1](self[0](x))
            if not h.any() and x.sum() > 0:
                raise OSError("nothing is left of it")
            return self[2](h)

    torch.manual_seed(0)
    model = Strict(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    inputs, labels = X.abs() * (torch.arange(40)[:, None] % 2 * 2 - 1), torch.arange(40) % 2
    profile = layer_profile(model, inputs, labels, methods=["pca"])
    assert [curve.class_idx for curve in profile.measured] == [0]
    [(place, reason)] = profile.skipped.items()
    assert place == "1, class 1, pca" and "nothing is left of it" in reason


MIXTURES: dict[str, Callable[[Tensor], Tensor]] = {
    "maximum": lambda x: x / x.abs().max(),
    "minimum": lambda x: x - x.amin(0),
    "distinct values": lambda x: x / len(x.unique()),
}


class Mixing(nn.Sequential):
    def __init__(self, variant: str):
        super().__init__(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
        self.variant = variant

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(MIXTURES[self.variant](x))


@pytest.mark.parametrize("variant", MIXTURES)
def test_answers_that_depend_on_others_are_seen(variant: str) -> None:
    torch.manual_seed(0)
    model, labels = Mixing(variant).eval(), torch.arange(40) % 4
    with torch.no_grad():
        assert not torch.allclose(model(X)[:2], model(X[:2]), rtol=0.01)
    network = SplitNetwork(model, X[:2])
    network.cut("1", X[labels == 1])
    assert "depends on the others of its batch" in network.mixes
    profile = layer_profile(model, X, labels, methods=["pca"])
    assert {curve.class_idx for curve in profile.measured} == {None}
    assert [remark for remark in profile.remarks if "depends on the others of its batch" in remark] == [
        *profile.remarks
    ]
    with pytest.raises(NmfdiagError, match="a batch of one class can't be measured"):
        compression_curve(model, "1", X[labels == 1], labels[labels == 1])


def test_the_largest_sample_shows_what_a_maximum_does() -> None:
    network = SplitNetwork(Mixing("maximum").eval(), X[:2], samples=(X, torch.arange(40) % 4))
    assert network.mixes and network.traced


def test_rounding_by_the_size_of_the_batch_is_no_mixing() -> None:
    class Rounded(Mixing):
        def forward(self, x: Tensor) -> Tensor:
            return nn.Sequential.forward(self, x) * (1 + 0.01 * (len(x) > 3))

    network = SplitNetwork(Rounded("").eval(), X[:2])
    network.cut("1", X)
    assert not network.mixes and not network.remarks
