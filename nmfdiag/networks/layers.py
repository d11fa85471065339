"""Find a network's ReLU layers, or all its activation layers, in execution order, whatever way they are written.

Names: an activation module goes by its module path (``features.3``), its further calls by ``_1``, ``_2``. A functional one goes by
the path of the module whose forward calls it if that is the only one it calls (``conv3_1``), else by that path and its function
(``conv3_1.relu``, ``conv3_1.relu_1``, ``mlp.gelu``); in the root module by its torch.fx node name (``relu``, ``relu_1``). Where other
activations are layers too, the ReLUs' names stay the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from nmfdiag.data.samples import as_inputs
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.activations import GATES, KINDS, MODULES, RELUS, kind_of_call, kind_of_class
from nmfdiag.networks.channels import Axis, axes_in, function_name
from nmfdiag.networks.hints import input_hint


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
    """

    path: str
    is_module: bool
    function: str = ""
    kind: str = "ReLU"


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
    """Make the layers from each activation's call, its output (n, ...) and what is known of its channels' axis."""
    layers = []
    names = call_names([call for call, _, _ in call_outputs])
    for index, (name, (call, output, axis)) in enumerate(zip(names, call_outputs, strict=True)):
        dim, shape = axis.resolve(output.ndim), tuple(output.shape)
        layers.append(ReluLayer(name, index, shape[dim] if shape else 1, shape[1:], dim, call.kind))
    return layers


def activation_nodes(graph: fx.GraphModule, kinds: frozenset[str]) -> list[fx.Node]:
    """The nodes of a traced network that are activation functions of some kinds, in execution order."""
    return [node for node in graph.graph.nodes if _kind_of(graph, node) in kinds]


def _kind_of(graph: fx.GraphModule, node: fx.Node) -> str | None:
    if node.op == "call_module":
        return kind_of_class(type(graph.get_submodule(str(node.target))))
    if node.op not in ("call_function", "call_method"):
        return None
    return kind_of_call(node.target, _owner(node)[1])


def calls_of(graph: fx.GraphModule, nodes: Sequence[fx.Node], kinds: frozenset[str]) -> list[Call]:
    """Where the activation functions of nodes of :func:`activation_nodes` are called."""
    calls = []
    for node in nodes:
        kind = _kind_of(graph, node) or ""
        path, owner = (str(node.target), None) if node.op == "call_module" else _owner(node)
        is_module = owner is None or kind_of_class(owner) in kinds
        calls.append(Call(path, is_module, "" if is_module else function_name(node.target), kind))
    return calls


def _owner(node: fx.Node) -> tuple[str, type]:
    """Path and class of the module whose forward made a node; the root's path is empty."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", nn.Module)
    return path, kind if isinstance(kind, type) else type(kind)


def axes_of(graph: fx.GraphModule, nodes: Sequence[fx.Node], outputs: Sequence[Tensor]) -> list[Axis]:
    """What is known of the channels' axis of each node, whose outputs have the shapes of ``outputs``."""
    by_dims = {n_dims: axes_in(graph, n_dims) for n_dims in {output.ndim for output in outputs}}
    return [by_dims[output.ndim][node] for node, output in zip(nodes, outputs, strict=True)]


def logits_of(output: Any) -> Tensor:
    """The logits (n, classes) in what a network returns: the tensor, the entry or attribute ``logits``, or the first such tensor.

    Raises:
        NmfdiagError: If there are none of two classes or more in it.
    """
    if isinstance(output, dict):
        named = output.get("logits")
        values = list(output.values())
    else:
        named = getattr(output, "logits", None)
        values = list(output) if isinstance(output, tuple | list) else []
    meant = next((value for value in (output, named) if isinstance(value, Tensor)), None)
    found = [value for value in ([meant] if meant is not None else values) if isinstance(value, Tensor)]
    for value in found:
        if value.ndim == 2 and value.shape[1] > 1:
            return value.detach()
    if not found:
        got = type(output).__name__
        raise NmfdiagError(f"The network must return logits, a tensor or a tuple or dict with one; got {got}.")
    one = found[0].ndim == 1 or (found[0].ndim == 2 and found[0].shape[1] == 1)
    cure = " Of a network with one logit x make one with two, torch.cat([-x, x], 1)." if one else ""
    raise NmfdiagError(
        f"The network must return logits (n, classes), a row a sample and two classes or more; got {tuple(found[0].shape)}.{cure}"
    )


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
        return NmfdiagError(f"{name} has no activation layer (found: {found}). Accepted are {', '.join(KINDS)}.")
    words = (
        f"{name} has no ReLU layer (found: {found}). The paper's method needs non-negative activations: ReLU or ReLU6."
    )
    if any(kind in KINDS and kind not in RELUS for kind in called):
        words += (
            ' The method "signed" (signed NMF) measures the others, an extension of the paper; with activations="all" so do '
            '"pca" and "random".'
        )
    return NmfdiagError(words)


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


def find_relu_layers(model: nn.Module, example_input: Tensor, activations: str = "relu") -> list[ReluLayer]:
    """The layers with their widths and shapes; see :func:`relu_layers`."""
    from nmfdiag.networks.split import SplitNetwork

    return SplitNetwork(model, example_input, activations).layers


def relu_layers(model: nn.Module, example_input: Tensor, activations: str = "relu") -> list[str]:
    """Names of the ReLU layers in execution order.

    Args:
        model: Any module; its mode is left as it was.
        example_input: A batch (n, ...) that it takes.
        activations: ``"relu"``: ReLU and ReLU6, the paper's; ``"all"``: GELU, SiLU and their like too.

    Raises:
        NmfdiagError: If there is no such layer, or the network can't take the input.

    >>> import torch
    >>> relu_layers(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), torch.zeros(1, 4))
    ['1']
    """
    return [layer.name for layer in find_relu_layers(model, as_inputs(example_input, model), activations)]
