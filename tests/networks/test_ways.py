"""The way of samples through a network may depend on their values, their number or the layer: its own code decides."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.split import SplitNetwork

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

    def __init__(self, variant: str):
        super().__init__()
        self.variant, self.a, self.b, self.second = variant, nn.Linear(6, 8), nn.Linear(8, 4), nn.Linear(6, 4)
        self.put: Callable[[Tensor], Tensor] = lambda h: h

    def forward(self, x: Tensor) -> Tensor:
        h = self.put(torch.relu(self.a(x) + 1))
        y, hard = self.b(torch.tanh(h)), h.sum(1) < 0.1
        if HARD[self.variant](hard) > 0:
            y = torch.where(hard[:, None], self.second(x), y)
        return y


@pytest.mark.parametrize("variant", HARD)
def test_how_many_are_chosen_is_a_decision(variant: str) -> None:
    torch.manual_seed(0)
    model = Refined(variant).eval()
    network = SplitNetwork(model, X[:2], samples=(X, Y))
    cut = network.cut("relu", X)
    for replacement in (cut.activation * 0, cut.activation * (torch.arange(40) % 2)[:, None], cut.activation.flip(0)):
        model.put = lambda _, replacement=replacement: replacement  # type: ignore[misc]
        expected = model(X)
        model.put = lambda h: h
        torch.testing.assert_close(network.resume(cut, replacement), expected)


class Experts(nn.Module):
    """A layer that only some of the samples reach, where the code asks how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(6, 8), nn.ReLU()) for _ in range(4))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        out, expert_of = x.new_zeros(len(x), 8), x[:, 0].long()
        for i, expert in enumerate(self.experts):
            rows = (expert_of == i).nonzero().flatten()
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


class Pieces(nn.Module):
    """Runs its batch in pieces, in one of several ways."""

    def __init__(self, variant: str, size: int):
        super().__init__()
        self.variant, self.size, self.a, self.b = variant, size, nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "first":  # and all others otherwise
            return torch.cat([self.b(torch.relu(self.a(x[: self.size]))), self.b(self.a(x[self.size :]).abs())])
        if self.variant == "decides":
            x = x + 1 if bool((x > 100).any()) else x
        relu = torch.relu if self.variant != "clamp" else lambda h: h.clamp(min=0)
        return torch.cat([self.b(relu(self.a(piece))) for piece in x.split(self.size)])


@pytest.mark.parametrize("variant", ["relu", "clamp", "first", "decides"])
def test_some_of_the_samples_are_not_measured_as_all(variant: str) -> None:
    torch.manual_seed(0)
    model = Pieces(variant, 16).eval()
    network = SplitNetwork(model, X[:2], samples=(X[:12], Y[:12]))
    [name] = [layer.name for layer in network.layers]
    whole = network.cut(name, X[:16])
    replacement = torch.rand_like(whole.activation)
    torch.testing.assert_close(network.resume(whole, replacement), model.b(replacement))
    with pytest.raises(NmfdiagError, match=r"can't be measured on this batch: .* a batch of 40 samples.*as a whole"):
        network.cut(name, X)


@pytest.mark.parametrize(("variant", "size"), [("relu", 1), ("clamp", 1), ("relu", 2), ("decides", 4)])
def test_what_is_seen_to_run_in_pieces_is_left_out(variant: str, size: int) -> None:
    network = SplitNetwork(Pieces(variant, size).eval(), X[:2], samples=(X, Y))
    with pytest.raises(NmfdiagError, match=r"No layer .* times a batch.*pieces"):
        network.checked_layers()


class Choosing(nn.Module):
    """One activation for several layers; the samples choose which of them run."""

    def __init__(self, variant: str):
        super().__init__()
        self.variant, self.act, self.head = variant, nn.ReLU(), nn.Linear(6, 4)
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        layer_of = x[:, 0].long()
        if self.variant == "one":  # the whole batch goes to one
            return self.head(self.act(self.layers[int(layer_of.double().mean())](x)))
        h = torch.zeros_like(x) if self.variant != "skipped" else x
        for i, layer in enumerate(self.layers):
            rows = layer_of == i
            if bool(rows.any()):
                if self.variant == "skipped":
                    h = self.act(layer(h))
                elif self.variant == "weights":
                    h[rows] = self.act(F.linear(x[rows], layer.weight))
                else:
                    h[rows] = self.act(layer(x[rows]))
        return self.head(h)


@pytest.mark.parametrize("variant", ["experts", "skipped", "one"])
def test_a_shared_activation_is_one_layer_after_each_module(variant: str) -> None:
    torch.manual_seed(0)
    samples = X.clone()
    samples[:, 0] = Y + 0.5
    model = Choosing(variant).eval()
    network = SplitNetwork(model, samples[:2], samples=(samples, Y))
    assert len(network.layers) == 4
    experts_by_layer: dict[str, set[int]] = {}
    for batch in (samples, *(samples[label == Y] for label in range(4))):
        experts = batch[:, 0].long()
        ran = [int(experts.double().mean())] if variant == "one" else experts.unique().tolist()
        before: list[Tensor] = []
        handles = [m.register_forward_hook(lambda _m, _i, o, outputs=before: outputs.append(o)) for m in model.layers]
        model(batch)
        for handle in handles:
            handle.remove()
        for layer in network.layers:
            try:
                activation = network.cut(layer.name, batch).activation
            except NmfdiagError as error:
                assert f"do not reach the ReLU '{layer.name}'" in str(error)
                continue
            same = {i for i, h in zip(ran, before, strict=True) if torch.equal(torch.relu(h), activation)}
            experts_by_layer.setdefault(layer.name, same).intersection_update(same)
    assert sorted(experts_by_layer.values(), key=str) == [{0}, {1}, {2}, {3}]


def test_a_shared_activation_that_nothing_tells_apart_is_left_out() -> None:
    samples = X.clone()
    samples[:, 0] = Y + 0.5
    network = SplitNetwork(Choosing("weights").eval(), samples[:2], samples=(samples, Y))
    assert network.layers == []
    assert all("calls it 1 to 4 times a batch" in reason for reason in network.skipped.values())


class Kernels(nn.Module):
    """Each sample has its own convolution: samples and channels share an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Linear(3, 8 * 27), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        kernels = self.w(x.mean((2, 3))).view(n * 8, 3, 3, 3)
        h = torch.relu(F.conv2d(x.reshape(1, n * 3, 5, 5), kernels, groups=n, padding=1))
        return self.b(h.view(n, 8, 5, 5).mean((2, 3)))


def test_samples_are_no_channels() -> None:
    network = SplitNetwork(Kernels().eval(), torch.randn(2, 3, 5, 5))
    assert network.layers == [] and "grows with the batch" in network.skipped["relu"]
