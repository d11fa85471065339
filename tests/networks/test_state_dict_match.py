"""Weights are loaded into a network that exists already."""

import pytest
import torch
from torch import nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.state_dict_match import load_weights


class Own(nn.Module):
    """A user's network: a part is called ``module``, and a table of indices is state."""

    def __init__(self, inside: bool = False) -> None:
        super().__init__()
        self.module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU())
        if not inside:
            self.head = nn.Linear(3, 2)
            self.register_buffer("order", torch.tensor([0, 1]))


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("before", ["", "module.", "model.", "_orig_mod.model."])
def test_weights_of_the_users_own_network(before: str, inside: bool) -> None:
    source, target = Own(inside), Own(inside)
    source.module[1].running_mean.uniform_()  # type: ignore[index, operator, union-attr]
    if not inside:
        source.order.copy_(torch.tensor([1, 0]))  # type: ignore[operator, union-attr]
    state = {
        before + name: value.half() if value.is_floating_point() else value
        for name, value in source.state_dict().items()
    }
    load_weights(target, {name: value for name, value in state.items() if not name.endswith("batches_tracked")})
    for name, value in target.state_dict().items():
        assert torch.allclose(value, source.state_dict()[name], atol=2e-3), name
        assert value.dtype == source.state_dict()[name].dtype


def test_weights_whose_only_attribute_was_taken_off() -> None:
    """Load weights as from a Lightning checkpoint, where that module is the network."""
    source, target = Own(inside=True), Own(inside=True)
    load_weights(target, {name.removeprefix("module."): value for name, value in source.state_dict().items()})
    assert torch.equal(target.module[0].weight, source.module[0].weight)  # type: ignore[index, union-attr]


def test_weights_that_dont_fit_leave_the_network() -> None:
    target = Own()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    state = dict(before)
    states = {
        "NaN or infinite values, in head.bias": state | {"head.bias": torch.full((2,), torch.nan)},
        "they lack 1 of its 10 tensors \\('head.bias'\\), it lacks 1 of theirs \\('tail'\\)": {
            ("tail" if name == "head.bias" else name): value for name, value in state.items()
        },
        r"shapes differ in 1 \(head\.bias: \(3,\) here, \(2,\) in the network\)": state | {"head.bias": torch.zeros(3)},
    }
    for message, wrong_state in states.items():
        with pytest.raises(NmfdiagError, match=f"The weights w.pth .*{message}"):
            load_weights(target, wrong_state, title="w.pth")
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())
    with pytest.raises(NmfdiagError, match="The size of 'weight' in the network is not known yet: call it on a sample"):
        load_weights(nn.LazyLinear(3), {"weight": torch.zeros(3, 3)})
