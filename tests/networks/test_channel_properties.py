"""The axis of the channels through random compositions of operations, where it is known by construction."""

import random
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.measures.compression import compression_curve
from nmfdiag.networks.split import SplitNetwork

CHANNELS = 10
Step = tuple[str, Callable[[Tensor, int], tuple[Tensor, int]]]


def _places(x: Tensor, axis: int) -> list[int]:
    return [dim for dim in range(1, x.ndim) if dim != axis]


def _first_place(x: Tensor, axis: int) -> int:
    return _places(x, axis)[0]


def _pool(x: Tensor, axis: int) -> tuple[Tensor, int]:
    pooled = F.max_pool2d(x.movedim(axis, 1), 2, 1)
    return pooled.movedim(1, axis), axis


STEPS: list[Step] = [
    ("crop", lambda x, a: (x.narrow(_first_place(x, a), 1, x.shape[_first_place(x, a)] - 1), a)),
    ("slice channels", lambda x, a: (x.index_select(a, torch.arange(1, x.shape[a])), a)),
    ("permute", lambda x, a: (x.permute(0, 3, 1, 2), {1: 2, 2: 3, 3: 1}[a])),
    ("transpose", lambda x, a: (x.transpose(1, 2), {1: 2, 2: 1, 3: 3}[a])),
    ("squeeze", lambda x, a: (x.unsqueeze(1).squeeze(1), a)),
    ("views", lambda x, a: (x.reshape(len(x), x.shape[1], -1).unflatten(2, x.shape[2:]), a)),
    ("all in one and back", lambda x, a: (x.flatten(1).view(x.shape), a)),
    ("pad", lambda x, a: (F.pad(x.movedim(a, 1), (1, 0, 0, 1)).movedim(1, a), a)),
    ("upsample", lambda x, a: (F.interpolate(x.movedim(a, 1), scale_factor=2, mode="bilinear").movedim(1, a), a)),
    ("max pool", _pool),
    ("lp pool", lambda x, a: (F.lp_pool2d(x.movedim(a, 1), 2, 2, 1).movedim(1, a), a)),
    ("average pool", lambda x, a: (F.avg_pool2d(x.movedim(a, 1), 2, 1, padding=1).movedim(1, a), a)),
    ("mean over a place", lambda x, a: (x.mean(_first_place(x, a), keepdim=True).expand(x.shape), a)),
    ("largest over a place", lambda x, a: (x.amax(_first_place(x, a), keepdim=True) + x, a)),
    ("tanh", lambda x, a: (x.tanh(), a)),
    ("cumulated", lambda x, a: (x.cumsum(_first_place(x, a)), a)),
    ("norm", lambda x, a: (x / (x.norm(dim=a, keepdim=True) + 1), a)),
    ("twice", lambda x, a: (torch.cat([x, -x], dim=a), a)),
    ("half", lambda x, a: (x.chunk(2, dim=a)[0], a)),
    ("skip", lambda x, a: (x + 0.5 * x.flip(_first_place(x, a)), a)),
    ("roll", lambda x, a: (x.roll(1, _first_place(x, a)), a)),
]


class Composed(nn.Module):
    """A map of 10 channels, some steps, and a ReLU."""

    def __init__(self, source: str, names: list[str]):
        super().__init__()
        self.made, self.names = source, names
        self.conv, self.linear, self.up = (
            nn.Conv2d(2, CHANNELS, 1),
            nn.Linear(2, CHANNELS),
            nn.ConvTranspose2d(2, CHANNELS, 1),
        )
        self.axis = 0

    def forward(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        weight = self.linear.weight
        y, axis = {
            "conv": lambda: (self.conv(x), 1),
            "transposed": lambda: (self.up(x), 1),
            "linear": lambda: (self.linear(last), 3),
            "matmul": lambda: (last @ weight.t(), 3),
            "matmul on the left": lambda: ((weight @ x.flatten(2)).unflatten(2, x.shape[2:]), 1),
            "einsum": lambda: (torch.einsum("nhwc,oc->nhwo", last, weight), 3),
            "einsum to the front": lambda: (torch.einsum("nchw,oc->nohw", x, weight), 1),
        }[self.made]()
        steps = dict(STEPS)
        for name in self.names:
            y, axis = steps[name](y, axis)
        self.axis, self.width = axis, y.shape[axis]
        return F.relu(y).flatten(1).sum(1, keepdim=True) * torch.ones(1, 2)


def described_axis(model: Composed) -> tuple[int, int]:
    x = torch.randn(2, 2, 6, 7, generator=torch.Generator().manual_seed(1))
    model(x)
    expected = model.axis, model.width
    [layer] = SplitNetwork(model, x).layers
    assert (layer.channel_dim, layer.width) == expected, (model.made, model.names)
    return expected


@pytest.mark.parametrize(
    "source",
    [
        *("conv", "linear", "matmul on the left", "einsum to the front"),
        *(pytest.param(source, marks=pytest.mark.soak) for source in ("transposed", "matmul", "einsum")),
    ],
)
def test_every_step_alone(source: str) -> None:
    torch.manual_seed(0)
    for name, _ in STEPS:
        described_axis(Composed(source, [name]))


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 8))])
def test_random_compositions(seed: int) -> None:
    torch.manual_seed(seed)
    draw = random.Random(seed)
    for _ in range(6):
        names = [draw.choice(STEPS)[0] for _ in range(4)]
        source = draw.choice(["conv", "linear", "matmul", "einsum to the front"])
        described_axis(Composed(source, names))


class Written(nn.Module):
    """One function, written in several ways."""

    def __init__(self, way: str):
        super().__init__()
        self.way = way
        self.conv, self.head = nn.Conv2d(1, 12, 3), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.way == "flat":
            return self.head(F.relu(y.flatten(1)).unflatten(1, y.shape[1:]).mean((2, 3)))
        if self.way == "places last":
            return self.head(F.relu(y.permute(0, 2, 3, 1).flatten(1)).view(len(x), -1, 12).mean(1))
        if self.way == "groups":
            return self.head(F.relu(y.unflatten(1, (3, 4))).mean((3, 4)).flatten(1))
        if self.way == "in the batch":
            return self.head(F.relu(y.flatten(0, 1)).mean((1, 2)).view(-1, 12))
        if self.way == "time first":
            return self.head(F.relu(y.flatten(2).permute(2, 0, 1)).mean(0))
        return self.head(F.relu(y).mean((2, 3)))


def test_one_function_written_in_many_ways_has_one_auc() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(30, 1, 6, 6), torch.arange(30) % 3
    plain = Written("plain")
    expected = compression_curve(plain, "relu", x, y, seed=1)
    assert 0.2 < expected.auc < 0.9
    for way in ("flat", "places last", "groups", "in the batch", "time first"):
        model = Written(way)
        model.load_state_dict(plain.state_dict())
        curve = compression_curve(model, "relu", x, y, seed=1)
        assert curve.shape == expected.shape and curve.auc == pytest.approx(expected.auc, abs=0.02), way


def test_what_cannot_be_known_is_asked_for() -> None:
    class Attention(nn.Module):
        """The scores of an attention map have no channels."""

        def __init__(self) -> None:
            super().__init__()
            self.query, self.key = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return (
                F.relu(self.query(x) @ self.key(x).transpose(1, 2)).sum(1)[:, :3] + F.relu(self.query(x)).sum(1)[:, :3]
            )

    model, x = Attention(), torch.randn(2, 5, 4)
    split = SplitNetwork(model, x)
    assert [layer.name for layer in split.layers] == ["relu_1"]
    assert "can't be told after matmul (channel_dim= says it)" in split.skipped["relu"]
    split_by_argument = SplitNetwork(model, x, channel_dim={"relu": 2})
    assert [(layer.name, layer.width) for layer in split_by_argument.layers] == [("relu", 5), ("relu_1", 4)]
