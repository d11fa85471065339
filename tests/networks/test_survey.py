"""A survey of a running network: what it calls, what it never calls, and how large outputs are."""

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.architectures import build
from nmfdiag.networks.survey import evaluating, largest_values, survey


class Gated(nn.Module):
    """A ReLU, a SiLU, a gate; a ReLU that is never called, and a head that only training calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.smooth = nn.Linear(4, 6), nn.ReLU(), nn.SiLU()
        self.gate, self.spare = nn.Sequential(nn.Linear(6, 6), nn.Sigmoid()), nn.ReLU()
        self.aux_head = nn.Sequential(nn.Linear(6, 2))
        self.unused = nn.Linear(6, 2)
        self.last = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.first(x))
        if self.training:
            self.aux_head(y)
        y = self.smooth(y) * self.gate(y)
        return self.last(y)


def test_what_is_called_and_what_is_not() -> None:
    model = Gated()
    result = survey(model, torch.randn(2, 4))
    assert [(layer.name, layer.kind, layer.width) for layer in result.layers] == [
        ("act", "ReLU", 6),
        ("smooth", "SiLU", 6),
    ]
    assert result.gates == {"gate.1": "Sigmoid"}
    assert result.never_called == {"spare": "ReLU", "aux_head": "Sequential"}
    assert result.bytes == 4 * (6 + 6)
    assert model.training and not any(module._forward_hooks for module in model.modules())


def test_heads_of_googlenet() -> None:
    model = build("googlenet", (3, 64, 64), 4)
    assert survey(model, torch.zeros(1, 3, 64, 64)).never_called == {"aux1": "InceptionAux", "aux2": "InceptionAux"}


def test_largest_values_of_each_sample() -> None:
    linear = nn.Linear(2, 2, bias=False)
    linear.weight = nn.Parameter(torch.eye(2))
    model = nn.Sequential(OrderedDict(linear=linear, act=nn.ReLU(), smooth=nn.LeakyReLU(0.5)))
    logits, largest = largest_values(model, torch.tensor([[-1.0, -2.0], [3.0, 1.0]]))
    assert [values.tolist() for values in largest] == [[0, 3], [0, 3]]
    assert logits.tolist() == [[0, 0], [3, 1]]


def test_the_mode_is_restored_and_errors_are_ours() -> None:
    model = Gated()
    with (
        pytest.raises(NmfdiagError, match=r"Gated can't take inputs of shape \(2, 5\)"),
        evaluating(model, torch.zeros(2, 5)),
    ):
        model(torch.zeros(2, 5))
    with pytest.raises(NmfdiagError, match=r"can't take inputs"):
        survey(model, torch.zeros(2, 5))
    assert model.training and not any(module._forward_hooks for module in model.modules())
