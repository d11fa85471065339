"""Find a network's ReLU layers in execution order, whatever way they are written.

Names: a ReLU module goes by its module path (``features.3``), its further calls by ``_1``, ``_2``. A functional ReLU
goes by the path of the module whose forward calls it if that is the only ReLU function it calls (``conv3_1``), else by
that path and ``.relu``, ``.relu_1``; in the root module by its torch.fx node name (``relu``, ``relu_1``).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from nmfdiag.errors import NmfdiagError

RELU_MODULES = (nn.ReLU, nn.ReLU6)
RELU_FUNCTIONS = frozenset({F.relu, F.relu6, torch.relu, torch.relu_, F.relu_})
RELU_METHODS = frozenset({"relu", "relu_"})
OTHER_ACTIVATIONS = (
    nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.PReLU, nn.RReLU, nn.Mish, nn.Hardswish, nn.Softplus,
    nn.Tanh, nn.Sigmoid, nn.Hardsigmoid,
)  # fmt: skip
# What leaves (n, channels, length) in that order: modules, and functions and methods by their names.
KEEPS_CHANNELS = (
    nn.BatchNorm1d, nn.SyncBatchNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.Dropout, nn.Dropout1d, nn.Identity,
    nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d, *RELU_MODULES,
)  # fmt: skip
KEEPS_CHANNELS_NAMES = frozenset({
    "batch_norm", "group_norm", "instance_norm", "dropout", "dropout_", "add", "add_", "iadd", "__add__", "__iadd__",
    "__radd__", "relu", "relu_", "relu6", "hardtanh", "hardtanh_", "max_pool1d", "avg_pool1d", "adaptive_avg_pool1d",
    "clone", "contiguous",
})  # fmt: skip


@dataclass(frozen=True)
class ReluLayer:
    """One call of a ReLU.

    Attributes:
        name: Unique in its network; see the top of this module.
        index: Place in execution order, from 0.
        width: Number of channels.
        output_shape: Shape of the output without the batch axis.
        channel_dim: Axis of the channels, counted with the batch axis.
    """

    name: str
    index: int
    width: int
    output_shape: tuple[int, ...]
    channel_dim: int


@dataclass(frozen=True)
class Call:
    """Where a ReLU is called.

    Attributes:
        path: Path of the ReLU module, or of the module whose forward calls the function.
        is_module: Whether it is a ReLU module.
        function: Name of the function or method; empty for a module.
    """

    path: str
    is_module: bool
    function: str = ""


def call_names(calls: Sequence[Call]) -> list[str]:
    """Name each call by the rule at the top of this module; all names differ."""
    functions_in = Counter(call.path for call in calls if not call.is_module)
    taken = {call.path for call in calls if call.is_module}
    calls_of: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    names = []
    for call in calls:
        node = call.path.replace(".", "_") if call.is_module else call.function
        nodes[node] += 1
        if call.is_module:
            name, again = call.path, calls_of[call.path]
            calls_of[call.path] += 1
            if not again:
                names.append(name)
                continue
        elif not call.path:
            name, again = call.function, nodes[node] - 1
        elif functions_in[call.path] == 1:
            name, again = call.path, 0
        else:
            name = f"{call.path}.relu"
            again = calls_of[name]
            calls_of[name] += 1
        unique = f"{name}_{again}" if again else name
        while unique in taken:
            again += 1
            unique = f"{name}_{again}"
        taken.add(unique)
        names.append(unique)
    return names


def describe(call_outputs: Sequence[tuple[Call, Tensor, bool]]) -> list[ReluLayer]:
    """Make the layers from each ReLU's call, its output (n, ...) and whether a Conv1d made that."""
    layers = []
    names = call_names([call for call, _, _ in call_outputs])
    for index, (name, (_, output, from_conv1d)) in enumerate(zip(names, call_outputs, strict=True)):
        channel_dim = default_channel_dim(output.ndim, from_conv1d)
        layers.append(ReluLayer(name, index, output.shape[channel_dim], tuple(output.shape[1:]), channel_dim))
    return layers


def default_channel_dim(n_dims: int, from_conv1d: bool = False) -> int:
    """Axis of the channels: 1, but the last of (n, tokens, channels), and 0 where there is no other."""
    if n_dims < 2:
        return 0
    return 2 if n_dims == 3 and not from_conv1d else 1


def relu_nodes(graph: fx.GraphModule) -> list[fx.Node]:
    """The nodes of a traced network that are ReLUs, in execution order."""
    return [node for node in graph.graph.nodes if _is_relu(graph, node)]


def _is_relu(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(graph.get_submodule(str(node.target)), RELU_MODULES)
    if node.op == "call_method":
        return node.target in RELU_METHODS
    if node.op != "call_function":
        return False
    return node.target in RELU_FUNCTIONS or (node.target is F.hardtanh and issubclass(_owner(node)[1], RELU_MODULES))


def call_of(node: fx.Node) -> Call:
    """Where the ReLU of a node of :func:`relu_nodes` is called."""
    if node.op == "call_module":
        return Call(str(node.target), is_module=True)
    path, kind = _owner(node)
    if issubclass(kind, RELU_MODULES):
        return Call(path, is_module=True)
    return Call(path, is_module=False, function=function_name(node.target))


def function_name(target: Any) -> str:
    """Name of a function, or of a method given by its name."""
    return target if isinstance(target, str) else getattr(target, "__name__", "")


def _owner(node: fx.Node) -> tuple[str, type]:
    """Path and class of the module whose forward made a node; the root's path is empty."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", nn.Module)
    return path, kind if isinstance(kind, type) else type(kind)


def from_conv1d(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node's input comes from a Conv1d, with nothing between that moves the channel axis."""
    seen, waiting = set(), list(node.all_input_nodes)
    while waiting:
        source = waiting.pop()
        if source in seen:
            continue
        seen.add(source)
        if source.op == "call_module":
            module = graph.get_submodule(str(source.target))
            if isinstance(module, nn.Conv1d):
                return True
            keeps = isinstance(module, KEEPS_CHANNELS)
        else:
            name = function_name(source.target)
            if source.op == "call_function" and name == "conv1d":
                return True
            keeps = source.op in ("call_function", "call_method") and name in KEEPS_CHANNELS_NAMES
        if keeps:
            waiting.extend(source.all_input_nodes)
    return False


def logits_of(output: Any) -> Tensor:
    """The logits in what a network returns: the tensor, the entry or attribute ``logits``, or the first tensor.

    Raises:
        NmfdiagError: If there is no tensor in it.
    """
    if isinstance(output, dict):
        named = output.get("logits")
        values = list(output.values())
    else:
        named = getattr(output, "logits", None)
        values = list(output) if isinstance(output, tuple | list) else []
    for value in (output, named, *values):
        if isinstance(value, Tensor):
            return value.detach()
    got = type(output).__name__
    raise NmfdiagError(f"The network must return logits, a tensor or a tuple or dict with one; got {got}.")


def no_layers_error(model: nn.Module) -> NmfdiagError:
    """Say which activations were found where there is no ReLU."""
    others = Counter(type(m).__name__ for m in model.modules() if isinstance(m, OTHER_ACTIVATIONS))
    found = ", ".join(f"{n} {name}" for name, n in others.items()) or "no activation module"
    return NmfdiagError(
        f"{type(model).__name__} has no ReLU layer (found: {found}). "
        "The method needs non-negative activations: ReLU or ReLU6."
    )


def shape_error(model: nn.Module, inputs: Tensor, error: Exception) -> NmfdiagError:
    """Say which inputs a network failed on, and how."""
    return NmfdiagError(
        f"{type(model).__name__} can't take inputs of shape {tuple(inputs.shape)} and type {inputs.dtype}: {error}"
    )


def find_relu_layers(model: nn.Module, example_input: Tensor) -> list[ReluLayer]:
    """The ReLU layers with their widths and shapes; see :func:`relu_layers`."""
    from nmfdiag.networks.split import SplitNetwork

    return SplitNetwork(model, example_input).layers


def relu_layers(model: nn.Module, example_input: Tensor) -> list[str]:
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
