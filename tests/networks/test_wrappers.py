"""Wrappers around a network are removed, and nothing else is."""

import copy

import pytest
import torch
from torch import nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.networks.wrappers import unwrapped


@pytest.fixture
def inner() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def test_wrappers_are_taken_off(inner: nn.Module) -> None:
    assert unwrapped(inner) is inner
    assert unwrapped(torch.compile(inner, backend="eager")) is inner
    assert unwrapped(nn.DataParallel(inner)) is inner
    assert unwrapped(torch.compile(nn.DataParallel(nn.DataParallel(inner)), backend="eager")) is inner


def test_the_averaged_weights_are_kept(inner: nn.Module) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(copy.deepcopy(inner))
    averaged_model = copy.deepcopy(inner)
    with torch.no_grad():
        for parameter in averaged_model.parameters():
            parameter.add_(2.0)
    averaged.update_parameters(inner)
    averaged.update_parameters(averaged_model)
    x = torch.rand(5, 4)
    assert torch.equal(unwrapped(averaged)(x), averaged(x)) and not torch.allclose(averaged(x), inner(x))


def test_a_users_module_that_only_looks_like_a_wrapper_stays(inner: nn.Module) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -self.module(x)

    model = Scaled()
    assert unwrapped(model) is model


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torchscript_is_refused_with_its_cure(inner: nn.Module) -> None:
    for script in (torch.jit.trace(inner, torch.zeros(1, 4)), torch.jit.script(inner)):
        with pytest.raises(NmfdiagError, match=r"TorchScript.*load_state_dict"):
            unwrapped(script)


def test_a_wrapped_network_has_its_own_layers(inner: nn.Module) -> None:
    x = torch.rand(5, 4)
    for model in (torch.compile(inner, backend="eager"), nn.DataParallel(inner)):
        network = SplitNetwork(model, x)
        cut = network.cut("1", x)
        assert [layer.name for layer in network.layers] == ["1"] and network.traced
        assert torch.equal(network.resume(cut, cut.activation), inner(x))
