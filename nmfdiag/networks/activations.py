"""The activation functions whose outputs are layers: ReLU, the paper's, and its relatives.

Gates (sigmoid, tanh, softmax) are not layers: they only weigh other activations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError


@dataclass(frozen=True)
class Kind:
    """An activation function.

    Attributes:
        module: Its module class.
        functions: Its functions, including those that write in place.
        methods: Names of its tensor methods.
        non_negative: Whether no output is negative, so that plain NMF applies.
    """

    module: type[nn.Module]
    functions: tuple[Callable[..., Any], ...]
    methods: tuple[str, ...] = ()
    non_negative: bool = False


RELU = Kind(nn.ReLU, (F.relu, F.relu_, torch.relu, torch.relu_), ("relu", "relu_"), non_negative=True)
RELU6 = Kind(nn.ReLU6, (F.relu6,), non_negative=True)
KINDS: dict[str, Kind] = {
    "ReLU": RELU,
    "ReLU6": RELU6,
    "GELU": Kind(nn.GELU, (F.gelu,)),
    "SiLU": Kind(nn.SiLU, (F.silu,)),
    "LeakyReLU": Kind(nn.LeakyReLU, (F.leaky_relu, F.leaky_relu_)),
    "Hardswish": Kind(nn.Hardswish, (F.hardswish,)),
    "ELU": Kind(nn.ELU, (F.elu, F.elu_)),
    "SELU": Kind(nn.SELU, (F.selu, F.selu_, torch.selu, torch.selu_)),
    "CELU": Kind(nn.CELU, (F.celu, F.celu_, torch.celu, torch.celu_)),
    "PReLU": Kind(nn.PReLU, (F.prelu, torch.prelu), ("prelu",)),
    "RReLU": Kind(nn.RReLU, (F.rrelu, F.rrelu_, torch.rrelu, torch.rrelu_)),
    "Mish": Kind(nn.Mish, (F.mish,)),
    "Softplus": Kind(nn.Softplus, (F.softplus,), non_negative=True),
}
RELUS = frozenset({"ReLU", "ReLU6"})
ACTIVATIONS = {"relu": RELUS, "all": frozenset(KINDS)}
"""Kinds that are layers, by choice: the paper's, or all."""
GATES = (nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.Softmax)
MODULES = tuple(kind.module for kind in KINDS.values())
RELU_FUNCTIONS = frozenset(RELU.functions + RELU6.functions)
# Functions, methods by their names (as torch.fx has them), and methods themselves (as torch calls them).
_KIND_OF: dict[Any, str] = {
    called: name
    for name, kind in KINDS.items()
    for called in (*kind.functions, *kind.methods, *(getattr(Tensor, method) for method in kind.methods))
}


def kinds_of(activations: str) -> frozenset[str]:
    """Return the names of the kinds in a choice of activations.

    Raises:
        NmfdiagError: If the choice is not in :data:`ACTIVATIONS`.
    """
    if activations not in ACTIVATIONS:
        raise NmfdiagError(f"Unknown activations {activations!r}: accepted are {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[activations]


def kind_of_class(cls: type | None) -> str | None:
    """Return the kind of a module's class; None if it has none."""
    if cls is None or not issubclass(cls, MODULES):
        return None
    return next(name for name, kind in KINDS.items() if issubclass(cls, kind.module))


def kind_of_call(called: Any, inside: type | None) -> str | None:
    """Return the kind of a called function, method or method name; None if it has none.

    Args:
        called: The function, method or name.
        inside: Class of the module whose forward calls it.
    """
    if called is F.hardtanh:  # what nn.ReLU6 calls
        kind = kind_of_class(inside)
        return kind if kind in RELUS else None
    try:
        return _KIND_OF.get(called)
    except TypeError:  # not hashable, so none of these functions
        return None


def relu_kind(source: Tensor, output: Tensor) -> str | None:
    """Return the kind of ReLU that turns a tensor into an output; None if there is none, or no value is negative."""
    if (
        source.shape != output.shape
        or not output.is_floating_point()
        or not output.ndim
        or source.device != output.device
        or source.layout is not torch.strided
        or output.layout is not torch.strided
    ):
        return None
    if not bool((source < 0).any()) or not bool((output >= 0).all()) or not bool((output > 0).any()):
        return None
    if torch.equal(source.clamp(min=0), output):
        return "ReLU"
    clipped = float(output.detach().max())
    return "ReLU6" if clipped < float(source.detach().max()) and torch.equal(source.clamp(0, clipped), output) else None
