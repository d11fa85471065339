"""Find a network's ReLU layers, or all its activation layers, in execution order, whatever way they are written.

Names: an activation module goes by its module path (``features.3``), its further calls by ``_1``, ``_2``. A functional one goes by
the path of the module whose forward calls it if that is the only one it calls (``conv3_1``), else by that path and its function
(``conv3_1.relu``, ``conv3_1.relu_1``, ``mlp.gelu``); in the root module by its torch.fx node name (``relu``, ``relu_1``). Where other
activations are layers too, the ReLUs' names stay the same.
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
        name: Unique in its network; see the top of this module.
        index: Place in execution order, from 0.
        width: Number of channels.
        output_shape: Shape of the output without the batch axis.
        channel_dim: Axis of the channels, counted with the batch axis; :mod:`nmfdiag.networks.channels` tells how it is found.
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
        """Whether no value of it is negative, so that plain NMF takes it."""
        return KINDS[self.kind].non_negative


@dataclass(frozen=True)
class Call:
    """Where an activation function is called.

    Attributes:
        path: Path of its module, or of the module whose forward calls the function.
        is_module: Whether it is an activation module.
        function: Name of the function or method; empty for a module.
        kind: The activation function, as :class:`ReluLayer` has it.
        place: Which module with parameters has run before, and where it stands in the code: file, code and instruction of each frame.
        time: How often that place was passed before.
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
    others = [i for i, call in enumerate(calls) if call.kind not in RELUS]
    for some, beside in ((relus, []), (others, relus)):
        functions_in = Counter(calls[i].path for i in (*some, *beside) if not calls[i].is_module)
        taken = {calls[i].path for i in some if calls[i].is_module} | set(names.values())
        names |= zip(some, _named([calls[i] for i in some], functions_in, taken, set(names.values())), strict=True)
    return [names[i] for i in range(len(calls))]


def _named(calls: Sequence[Call], functions_in: Counter[str], taken: set[str], given: set[str]) -> list[str]:
    """Names of some calls.

    Args:
        calls: Which.
        functions_in: How many activation functions each module calls.
        taken: Names that are none of a function; those that are given away are added.
        given: Names that are none of a module either.
    """
    calls_of: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    names = []
    for call in calls:
        node = call.path.replace(".", "_") if call.is_module else call.function
        nodes[node] += 1
        if call.is_module:
            name, again = call.path, calls_of[call.path]
            calls_of[call.path] += 1
            if not again and name not in given:
                names.append(name)
                continue
        elif not call.path:
            name, again = call.function, nodes[node] - 1
        elif functions_in[call.path] == 1:
            name, again = call.path, 0
        else:
            name = f"{call.path}.{'relu' if call.kind in RELUS else call.function.rstrip('_')}"
            again = calls_of[name]
            calls_of[name] += 1
        unique = f"{name}_{again}" if again else name
        while unique in taken:
            again += 1
            unique = f"{name}_{again}"
        taken.add(unique)
        names.append(unique)
    return names


def describe(call_outputs: Sequence[tuple[Call, Tensor, Axis]]) -> list[ReluLayer]:
    """Make the layers from each activation's call, its output (n, ...) and where its channels are (axis 1 if not known)."""
    layers = []
    names = call_names([call for call, _, _ in call_outputs])
    for index, (name, (call, output, axis)) in enumerate(zip(names, call_outputs, strict=True)):
        shape = tuple(apart(output, axis).shape)
        dim = channel_dim(axis, len(shape))
        layers.append(ReluLayer(name, index, shape[dim] if shape else 1, shape[1:], dim, call.kind))
    return layers


def channel_dim(axis: Axis, n_dims: int) -> int:
    """Axis of the channels, after :func:`apart`, of an activation of so many axes; the likeliest where it is not known."""
    if axis.dim is None:
        return min(1, max(0, n_dims - 1))
    return axis.dim + (axis.blocks is not None and axis.blocks[0] == -1)


def apart(activation: Tensor, axis: Axis) -> Tensor:
    """View an activation so that its channels have one axis, and no places are on it."""
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
    """Say which activations were found where there is no layer, and what measures them.

    Args:
        model: The network.
        called: How often each kind of activation function was called.
        activations: Which kinds are layers.
    """
    modules: Counter[str] = Counter(kind_of_class(type(m)) or type(m).__name__ for m in model.modules()
                                    if isinstance(m, (*MODULES, *GATES)))  # fmt: skip
    others = modules | Counter(called)
    found = ", ".join(f"{n} {name}" for name, n in others.items()) or "no activation module"
    name = type(model).__name__
    if activations == "all":
        return NmfdiagError(
            f"{name} has no activation layer (found: {found}). Accepted are {', '.join(KINDS)}.{UNSEEN}"
        )
    words = (
        f"{name} has no ReLU layer (found: {found}). The paper's method needs non-negative activations: ReLU or ReLU6."
    )
    if any(kind in KINDS and kind not in RELUS for kind in called):
        words += (
            ' The method "signed" (signed NMF) measures the others, an extension of the paper; with activations="all" so do '
            '"pca" and "random".'
        )
    return NmfdiagError(words + UNSEEN)


def shape_error(model: nn.Module, inputs: Tensor, error: Exception) -> NmfdiagError:
    """Say which inputs a network failed on, and how."""
    name = type(model).__name__
    weights = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if inputs.is_floating_point() and weights and inputs.dtype not in weights:
        found = " and ".join(sorted(str(dtype) for dtype in weights))
        return NmfdiagError(
            f"{name} has weights of {found} and can't take inputs of {inputs.dtype}: give network.float(), and inputs in float32."
        )
    return NmfdiagError(
        f"{name} can't take inputs of shape {tuple(inputs.shape)} and type {inputs.dtype}: {error}{input_hint(model, inputs)}"
    )
