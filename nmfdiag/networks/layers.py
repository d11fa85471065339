"""Find a network's ReLU layers in execution order, whatever way they are written.

Names: a ReLU module goes by its module path (``features.3``), its further calls by ``_1``, ``_2``. A functional ReLU goes by
the path of the module whose forward calls it if that is the only ReLU it calls (``conv3_1``), else by that path and
``.relu``, ``.relu_1``; in the root module by ``relu``, ``relu_1``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from nmfdiag.errors import NmfdiagError

RELU_MODULES = (nn.ReLU, nn.ReLU6)
RELU_FUNCTIONS = frozenset({F.relu, F.relu6, torch.relu, torch.relu_, F.relu_})
RELU_METHODS = frozenset({"relu", "relu_"})
OTHER_ACTIVATIONS = (
    nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.PReLU, nn.RReLU, nn.Mish, nn.Hardswish, nn.Softplus,
    nn.Tanh, nn.Sigmoid, nn.Hardsigmoid,
)  # fmt: skip


@dataclass(frozen=True)
class ReluLayer:
    """One call of a ReLU: its place in execution order, its output's shape without the batch, and its channel axis."""

    name: str
    index: int
    width: int
    output_shape: tuple[int, ...]
    channel_dim: int


@dataclass(frozen=True)
class Call:
    """Where a ReLU is called: the path of a ReLU module, or of the module whose forward calls a function."""

    path: str
    is_module: bool


def call_names(calls: Sequence[Call]) -> list[str]:
    """Name each call by the rule above."""
    a_path = Counter(call.path for call in calls if not call.is_module)
    seen: Counter[Call] = Counter()
    names = []
    for call in calls:
        again = f"_{seen[call]}" if seen[call] else ""
        seen[call] += 1
        if call.is_module or (call.path and a_path[call.path] == 1):
            names.append(call.path + again)
        else:
            names.append(f"{call.path}.relu{again}".lstrip("."))
    return names


def default_channel_dim(n_dims: int, from_conv1d: bool = False) -> int:
    """Axis of the channels: 1, but the last of (n, tokens, channels)."""
    return 2 if n_dims == 3 and not from_conv1d else 1


def no_layers_error(model: nn.Module) -> NmfdiagError:
    """Say which activations were found where there is no ReLU."""
    others = Counter(type(m).__name__ for m in model.modules() if isinstance(m, OTHER_ACTIVATIONS))
    found = ", ".join(f"{n} {name}" for name, n in others.items()) or "no activation module"
    return NmfdiagError(
        f"{type(model).__name__} has no ReLU layer (found: {found}). The method needs non-negative activations: ReLU or ReLU6."
    )


def find_relu_layers(model: nn.Module, example_input: torch.Tensor) -> list[ReluLayer]:
    """The ReLU layers with their widths and shapes; see :func:`relu_layers`."""
    from nmfdiag.networks.split import SplitNetwork

    return SplitNetwork(model, example_input).layers


def relu_layers(model: nn.Module, example_input: torch.Tensor) -> list[str]:
    """Names of the ReLU layers in execution order.

    Args:
        model: Any module; its mode is left as it was.
        example_input: A batch (n, ...) that it takes.

    Raises:
        NmfdiagError: If there is no ReLU, or the network can't take the input.

    >>> relu_layers(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), torch.zeros(1, 4))
    ['1']
    """
    return [layer.name for layer in find_relu_layers(model, example_input)]
