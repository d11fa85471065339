"""Hidden computations are reported; compiled functions are visible."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.networks.unseen_code import REMARK

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A function of the first linear map, and a visible ReLU or none."""

    def __init__(self, function: Callable[[Tensor], Tensor], is_visible: bool = True):
        super().__init__()
        self.a, self.b, self.c, self.function, self.seen = (
            nn.Linear(6, 8),
            nn.Linear(8, 8),
            nn.Linear(8, 4),
            function,
            is_visible,
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.b(self.function(self.a(x)))
        return self.c(torch.relu(h) if self.seen else h)


class OutsideOfPyTorch(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return torch.from_numpy(np.maximum(x.detach().numpy(), 0))


def in_a_thread(x: Tensor) -> Tensor:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(torch.relu, x).result()


def scripted() -> Callable[[Tensor], Tensor]:
    def positive(x: Tensor) -> Tensor:
        return torch.relu(x)

    return torch.jit.script(positive)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("place", ["script", "thread", "numpy"])
def test_what_is_out_of_sight_is_said(place: str) -> None:
    function = {"script": scripted, "thread": lambda: in_a_thread, "numpy": lambda: OutsideOfPyTorch.apply}[place]()
    torch.manual_seed(0)
    model = Net(function).eval()
    network = SplitNetwork(model, X[:2])
    assert [layer.name for layer in network.layers] == ["relu"] and network.remarks == [REMARK]
    cut = network.cut("relu", X)
    torch.testing.assert_close(cut.activation, torch.relu(model.b(torch.relu(model.a(X)))).detach())
    replacement = torch.rand_like(cut.activation)
    torch.testing.assert_close(network.resume(cut, replacement), model.c(replacement))
    with pytest.raises(NmfdiagError, match=r"no ReLU layer.*in TorchScript functions, in other threads or outside"):
        SplitNetwork(Net(function, is_visible=False), X)


FIXED, LINEAR = torch.rand(8), nn.Linear(8, 8)
IN_SIGHT: dict[str, Callable[[Tensor], Tensor]] = {
    "a constant": lambda x: x * FIXED,
    "a new constant": lambda x: x * torch.from_numpy(np.arange(8, dtype=np.float32)),
    "a loop over samples": lambda x: torch.stack([2 * row for row in x]),
    "a loop over channels": lambda x: torch.stack([2 * column for column in x.t()], 1),
    "a part": lambda x: torch.cat([x[:, :4], x[:, 4:]], 1),
    "another function's": lambda x: torch.func.functional_call(LINEAR, {"weight": torch.eye(8)}, (x,)),
}


@pytest.mark.parametrize("name", IN_SIGHT)
def test_what_is_in_sight_is_not_called_hidden(name: str) -> None:
    assert SplitNetwork(Net(IN_SIGHT[name]).eval(), X[:2], samples=(X, torch.arange(40) % 4)).remarks == []


def test_a_compiled_function_is_run_as_it_is_written() -> None:
    torch.manual_seed(0)
    model = Net(torch.compile(lambda x: torch.relu(x) * 1.5, backend="eager")).eval()
    network = SplitNetwork(model, X[:2])
    assert [layer.name for layer in network.layers] == ["relu", "relu_1"] and not network.skipped
    cut = network.cut("relu", X)
    torch.testing.assert_close(cut.activation, torch.relu(model.a(X)).detach())
    replacement = torch.rand_like(cut.activation)
    torch.testing.assert_close(network.resume(cut, replacement), model.c(torch.relu(model.b(1.5 * replacement))))
