"""Describe a network's ReLU layers, or all its activation layers, in execution order, and name them.

An activation module is named by its module path (``features.3``), its further calls by ``_1``, ``_2``. A functional call is named by
the path of the module whose forward makes it if that makes only one (``conv3_1``), else by that path and its function
(``conv3_1.relu``, ``conv3_1.relu_1``, ``mlp.gelu``); in the root module by its torch.fx node name (``relu``, ``relu_1``). ReLUs keep
their names where other activations are layers too.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.activations import GATES, KINDS, MODULES, RELUS, kind_of_class
from nmfdiag.networks.channel_marks import Axis
from nmfdiag.networks.input_hints import input_hint

UNSEEN = " What a network calls in TorchScript functions, in other threads or outside of PyTorch can't be seen."


@dataclass(frozen=True)
class ReluLayer:
    """One call of a ReLU, or of another activation function.

    Attributes:
        name: Its name, unique in the network; see the top of this module.
        index: Its position in execution order, from 0.
        width: Number of channels.
        output_shape: Shape of the output without the batch axis.
        channel_dim: Axis of the channels, counting the batch axis, as found by :mod:`nmfdiag.networks.channels`.
        kind: The activation function, a name in :data:`nmfdiag.networks.activations.KINDS`.
    """

    name: str
    index: int
    width: int
    output_shape: tuple[int, ...]
    channel_dim: int
    kind: str = "ReLU"

    @property
    def non_negative(self) -> bool:
        """Return whether no output is negative, so that plain NMF applies."""
        return KINDS[self.kind].non_negative


@dataclass(frozen=True)
class Call:
    """A call of an activation function.

    Attributes:
        path: Path of its module, or of the module whose forward calls the function.
        is_module: Whether it is an activation module.
        function: Name of the function or method; empty for a module.
        kind: The activation function, as :class:`ReluLayer` has it.
        place: The last module with parameters before it, and its place in the code: file, code and instruction of each frame.
        time: Number of earlier passes of that place.
    """

    path: str
    is_module: bool
    function: str = ""
    kind: str = field(default="ReLU", compare=False)
    place: tuple[Any, ...] = ()
    time: int = 0


def call_names(calls: Sequence[Call]) -> list[str]:
    """Name each call by the rule at the top of this module; all names differ."""
    names: dict[int, str] = {}
    relus = [i for i, call in enumerate(calls) if call.kind in RELUS]
    other_calls = [i for i, call in enumerate(calls) if call.kind not in RELUS]
    for group, neighbours in ((relus, []), (other_calls, relus)):
        functions_in = Counter(calls[i].path for i in (*group, *neighbours) if not calls[i].is_module)
        used = {calls[i].path for i in group if calls[i].is_module} | set(names.values())
        names |= zip(
            group, _name_group([calls[i] for i in group], functions_in, used, set(names.values())), strict=True
        )
    return [names[i] for i in range(len(calls))]


def _name_group(calls: Sequence[Call], functions_in: Counter[str], used: set[str], reserved: set[str]) -> list[str]:
    """Name a group of calls.

    Args:
        calls: The calls.
        functions_in: Number of activation functions that each module calls.
        used: Names that a function can't have; extended in place.
        reserved: Names that a module can't have either.
    """
    calls_of: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    names = []
    for call in calls:
        node = call.path.replace(".", "_") if call.is_module else call.function
        nodes[node] += 1
        if call.is_module:
            name, repeats = call.path, calls_of[call.path]
            calls_of[call.path] += 1
            if not repeats and name not in reserved:
                names.append(name)
                continue
        elif not call.path:
            name, repeats = call.function, nodes[node] - 1
        elif functions_in[call.path] == 1:
            name, repeats = call.path, 0
        else:
            name = f"{call.path}.{'relu' if call.kind in RELUS else call.function.rstrip('_')}"
            repeats = calls_of[name]
            calls_of[name] += 1
        unique = f"{name}_{repeats}" if repeats else name
        while unique in used:
            repeats += 1
            unique = f"{name}_{repeats}"
        used.add(unique)
        names.append(unique)
    return names


def describe(call_outputs: Sequence[tuple[Call, Tensor, Axis]]) -> list[ReluLayer]:
    """Return the layers from each activation's call, its output (n, ...) and the axis of its channels (1 if unknown)."""
    layers = []
    names = call_names([call for call, _, _ in call_outputs])
    for index, (name, (call, output, axis)) in enumerate(zip(names, call_outputs, strict=True)):
        shape = tuple(apart(output, axis).shape)
        dim = channel_dim(axis, len(shape))
        layers.append(ReluLayer(name, index, shape[dim] if shape else 1, shape[1:], dim, call.kind))
    return layers


def channel_dim(axis: Axis, n_dims: int) -> int:
    """Return the axis of the channels of an activation after :func:`apart`; the likeliest one if it is unknown."""
    if axis.dim is None:
        return min(1, max(0, n_dims - 1))
    return axis.dim + (axis.blocks is not None and axis.blocks[0] == -1)


def apart(activation: Tensor, axis: Axis) -> Tensor:
    """View an activation so that its channels have one axis to themselves."""
    if axis.dim is None or axis.alone:
        return activation
    if axis.blocks is not None:
        return activation.unflatten(axis.dim, axis.blocks)
    return activation.flatten(axis.dim, axis.dim + len(axis.joined) - 1)


def together(activation: Tensor, axis: Axis) -> Tensor:
    """Undo :func:`apart`."""
    if axis.dim is None or axis.alone:
        return activation
    if axis.blocks is not None:
        return activation.flatten(axis.dim, axis.dim + 1)
    return activation.unflatten(axis.dim, axis.joined)


def no_layers_error(model: nn.Module, called: Mapping[str, int], activations: str) -> NmfdiagError:
    """Return the error for a network without layers: which activations were found, and how to measure them.

    Args:
        model: The network.
        called: Number of calls of each kind of activation function.
        activations: Choice of kinds that are layers.
    """
    modules: Counter[str] = Counter(kind_of_class(type(m)) or type(m).__name__ for m in model.modules()
                                    if isinstance(m, (*MODULES, *GATES)))  # fmt: skip
    counts = modules | Counter(called)
    listing = ", ".join(f"{n} {name}" for name, n in counts.items()) or "no activation module"
    name = type(model).__name__
    if activations == "all":
        return NmfdiagError(
            f"{name} has no activation layer (found: {listing}). Accepted are {', '.join(KINDS)}.{UNSEEN}"
        )
    message = f"{name} has no ReLU layer (found: {listing}). The paper's method needs non-negative activations: ReLU or ReLU6."
    if any(kind in KINDS and kind not in RELUS for kind in called):
        message += (
            ' The method "signed" (signed NMF) measures the others, an extension of the paper; with activations="all" so do '
            '"pca" and "random".'
        )
    return NmfdiagError(message + UNSEEN)


def shape_error(model: nn.Module, inputs: Tensor, error: Exception) -> NmfdiagError:
    """Return the error for inputs that a network failed on."""
    name = type(model).__name__
    weights = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if inputs.is_floating_point() and weights and inputs.dtype not in weights:
        dtypes = " and ".join(sorted(str(dtype) for dtype in weights))
        return NmfdiagError(
            f"{name} has weights of {dtypes} and can't take inputs of {inputs.dtype}: give network.float(), and inputs in float32."
        )
    return NmfdiagError(
        f"{name} can't take inputs of shape {tuple(inputs.shape)} and type {inputs.dtype}: {error}{input_hint(model, inputs)}"
    )
