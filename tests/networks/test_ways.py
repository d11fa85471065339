"""Which way samples take through a network may depend on their values, their number or the layer: the truth is its own code's."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.networks import SplitNetwork

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 4
HARD: dict[str, Callable[[Tensor], int]] = {
    "numel": lambda hard: hard.nonzero().numel(),
    "shape": lambda hard: torch.where(hard)[0].shape[0],
    "length": lambda hard: len(hard[hard]),
    "size": lambda hard: hard.masked_select(hard).clone().size(0),
    "pieces": lambda hard: len(hard.nonzero().unbind()),
    "slice": lambda hard: len(hard[: hard.sum()]),
    "unique": lambda hard: hard.unique().numel() - 1,
}


class Refined(nn.Module):
    """Samples of which nothing is left, none of them as they are, go to a second head; ``put`` replaces the ReLU's output."""

    def __init__(self, how: str):
        super().__init__()
        self.how, self.a, self.b, self.second = how, nn.Linear(6, 8), nn.Linear(8, 4), nn.Linear(6, 4)
        self.put: Callable[[Tensor], Tensor] = lambda h: h

    def forward(self, x: Tensor) -> Tensor:
        h = self.put(torch.relu(self.a(x) + 1))
        y, hard = self.b(torch.tanh(h)), h.sum(1) < 0.1
        if HARD[self.how](hard) > 0:
            y = torch.where(hard[:, None], self.second(x), y)
        return y


@pytest.mark.parametrize("how", HARD)
def test_how_many_are_chosen_is_a_decision(how: str) -> None:
    torch.manual_seed(0)
    model = Refined(how).eval()
    network = SplitNetwork(model, X[:2], samples=(X, Y))
    cut = network.cut("relu", X)
    for other in (cut.activation * 0, cut.activation * (torch.arange(40) % 2)[:, None], cut.activation.flip(0)):
        model.put = lambda _, other=other: other  # type: ignore[misc]
        expected = model(X)
        model.put = lambda h: h
        torch.testing.assert_close(network.resume(cut, other), expected)


class Experts(nn.Module):
    """A layer that only some of the samples reach, where the code asks how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(6, 8), nn.ReLU()) for _ in range(4))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        out, to = x.new_zeros(len(x), 8), x[:, 0].long()
        for i, expert in enumerate(self.experts):
            rows = (to == i).nonzero().flatten()
            if len(rows):
                out = out.index_add(0, rows, expert(x[rows]))
        return self.head(out)


def test_layers_that_the_first_samples_do_not_reach_are_found() -> None:
    samples = X.clone()
    samples[:, 0] = Y + 0.5
    network = SplitNetwork(Experts().eval(), samples[:2], samples=(samples, Y))
    assert [layer.name for layer in network.layers] == [f"experts.{i}.1" for i in range(4)]


class Rows(nn.Module):
    """As many rows as are above nothing; the code takes that number into a shape."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.a(x))
        rows = (h.sum(1) > 1e-6).nonzero().flatten()
        return self.b(torch.zeros_like(h).index_copy(0, rows, h[rows].tanh().view(rows.shape[0], 8)))


def test_another_number_of_rows_is_run_by_the_networks_own_code() -> None:
    torch.manual_seed(0)
    model = Rows().eval()
    network = SplitNetwork(model, X[:2])
    cut = network.cut("relu", X)
    assert torch.equal(network.resume(cut, torch.zeros_like(cut.activation)), model.b.bias.expand(40, 4))
    half = cut.activation * (torch.arange(40) % 2)[:, None]
    torch.testing.assert_close(network.resume(cut, half), F.linear(half.tanh(), model.b.weight, model.b.bias))
