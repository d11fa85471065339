"""Cut a network at a ReLU: the head runs once, only the tail runs for every approximation of the layer's output."""

import difflib
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.layers import (
    RELU_FUNCTIONS,
    RELU_METHODS,
    RELU_MODULES,
    Call,
    ReluLayer,
    call_names,
    default_channel_dim,
    no_layers_error,
)
from nmfdiag.networks.replay import Replay

REPRODUCES = 1e-4
IN_PLACE_OPERATORS = frozenset({operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.setitem})


@dataclass(frozen=True)
class Cut:
    """A network stopped at a layer: its output, and what else the tail needs (skip connections, sizes, the inputs)."""

    layer: str
    activation: Tensor
    carried: tuple[Any, ...]


class SplitNetwork:
    """A network that can be cut at any of its ReLU layers. It shares the model's parameters.

    The model is traced once (torch.fx). Where that fails, or does not give the model's own logits, it is run as it is and
    the activation is put in by intercepting its ReLU calls: the same answers, but the head runs again for each.

    Args:
        model: Any module with ReLUs. It is run in evaluation mode; its mode is restored after each use.
        example_input: A batch (n, ...) that it takes.

    Raises:
        NmfdiagError: If the model has no ReLU, or can't take the input.
    """

    def __init__(self, model: nn.Module, example_input: Tensor):
        self.model = model
        with self._running():
            expected = self._plain(example_input)
            self._graph = self._trace(example_input, expected)
            self._replay = None if self._graph else Replay(model)
            self.layers = self._find_layers(example_input)
        if not self.layers:
            raise no_layers_error(model)
        self._tails: dict[str, tuple[fx.GraphModule, fx.GraphModule]] = {}

    @property
    def traced(self) -> bool:
        """Whether the head runs only once a cut."""
        return self._graph is not None

    @cached_property
    def _by_name(self) -> dict[str, ReluLayer]:
        return {layer.name: layer for layer in self.layers}

    def layer(self, name: str) -> ReluLayer:
        """Look a layer up.

        Raises:
            NmfdiagError: If there is none of that name; names the closest ones.
        """
        if name not in self._by_name:
            close = difflib.get_close_matches(name, self._by_name, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise NmfdiagError(f"Unknown layer {name!r}.{hint} The ReLU layers are: {', '.join(self._by_name)}.")
        return self._by_name[name]

    def logits(self, inputs: Tensor) -> Tensor:
        """The whole network's output (n, classes)."""
        with self._running():
            return self._plain(inputs)

    def cut(self, layer: str, inputs: Tensor) -> Cut:
        """Run the network up to a layer.

        Raises:
            NmfdiagError: If the layer is unknown, or the network can't take the inputs.
        """
        index = self.layer(layer).index
        with self._running():
            if self._replay is not None:
                return Cut(layer, self._replay.capture(inputs)[index], (inputs,))
            try:
                activation, *carried = self._parts(layer)[0](inputs.clone())
            except (RuntimeError, ValueError, IndexError) as error:
                raise _shape_error(self.model, inputs, error) from None
            return Cut(layer, activation, tuple(carried))

    def resume(self, cut: Cut, activation: Tensor) -> Tensor:
        """Run the rest of the network from ``activation``, of the shape of the cut's; returns logits (n, classes)."""
        with self._running():
            if self._replay is not None:
                output = self._replay.substitute(cut.carried[0], self.layer(cut.layer).index, activation)
                return _logits(output)
            tail = self._parts(cut.layer)[1]
            values = (activation, *cut.carried)
            if tail.meta["in_place"]:
                values = tuple(v.clone() if isinstance(v, Tensor) else v for v in values)
            return _logits(tail(*values))

    def _parts(self, layer: str) -> tuple[fx.GraphModule, fx.GraphModule]:
        if layer not in self._tails:
            assert self._graph is not None
            self._tails[layer] = _split(self._graph, _relu_nodes(self._graph)[self.layer(layer).index])
        return self._tails[layer]

    def _plain(self, inputs: Tensor) -> Tensor:
        try:
            return _logits(self.model(inputs.clone()))
        except NmfdiagError:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            raise _shape_error(self.model, inputs, error) from None

    def _trace(self, example_input: Tensor, expected: Tensor) -> fx.GraphModule | None:
        try:
            tracer = fx.Tracer()
            graph = fx.GraphModule(self.model, tracer.trace(self.model))
            got = _logits(graph(example_input.clone()))
        except Exception:  # noqa: BLE001  tracing runs the model's own code on proxies: anything may come out of it
            return None
        close = got.shape == expected.shape and torch.allclose(got, expected, rtol=REPRODUCES, atol=REPRODUCES)
        return graph if close else None

    def _find_layers(self, example_input: Tensor) -> list[ReluLayer]:
        if self._graph is None:
            assert self._replay is not None
            outputs = self._replay.capture(example_input)
            names, from_conv1d = call_names(self._replay.calls), [False] * len(outputs)
        else:
            nodes = _relu_nodes(self._graph)
            outputs = _Recorder(self._graph, nodes).record(example_input.clone())
            names = call_names([_call_of(self._graph, node) for node in nodes])
            from_conv1d = [_from_conv1d(self._graph, node) for node in nodes]
        layers = []
        for index, (name, output, conv) in enumerate(zip(names, outputs, from_conv1d, strict=True)):
            channel_dim = default_channel_dim(output.ndim, conv)
            layers.append(ReluLayer(name, index, output.shape[channel_dim], tuple(output.shape[1:]), channel_dim))
        return layers

    @contextmanager
    def _running(self) -> Iterator[None]:
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module, training in modes:
                module.training = training


def fold(activation: Tensor, channel_dim: int) -> Tensor:
    """Activation (n, c, ...) to the activation matrix (rows, channels): ``n c h w -> (n h w) c``.

    A view where memory allows it, as it does for channels_last.
    """
    return activation.movedim(channel_dim, -1).reshape(-1, activation.shape[channel_dim])


def unfold(A: Tensor, shape: torch.Size | tuple[int, ...], channel_dim: int) -> Tensor:
    """The inverse of :func:`fold`: a view of A of the given shape (channels_last where it has four axes)."""
    moved = [n for axis, n in enumerate(shape) if axis != channel_dim] + [shape[channel_dim]]
    return A.reshape(moved).movedim(-1, channel_dim)


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps the outputs of some nodes."""

    def __init__(self, graph: fx.GraphModule, nodes: list[fx.Node]):
        super().__init__(graph)
        self.kept: dict[fx.Node, Tensor] = {}
        self.wanted = set(nodes)
        self.nodes = nodes

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n in self.wanted:
            self.kept[n] = value
        return value

    def record(self, inputs: Tensor) -> list[Tensor]:
        self.run(inputs)
        return [self.kept[node] for node in self.nodes]


def _relu_nodes(graph: fx.GraphModule) -> list[fx.Node]:
    return [
        node
        for node in graph.graph.nodes
        if (node.op == "call_module" and isinstance(graph.get_submodule(node.target), RELU_MODULES))
        or (node.op == "call_function" and node.target in RELU_FUNCTIONS)
        or (node.op == "call_method" and node.target in RELU_METHODS)
    ]


def _call_of(graph: fx.GraphModule, node: fx.Node) -> Call:
    if node.op == "call_module":
        return Call(str(node.target), is_module=True)
    stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    return Call(stack[-1] if stack else "", is_module=False)


def _from_conv1d(graph: fx.GraphModule, node: fx.Node) -> bool:
    source = node.args[0] if node.args else None
    while isinstance(source, fx.Node) and source.op == "call_module":
        module = graph.get_submodule(str(source.target))
        if isinstance(module, nn.Conv1d):
            return True
        if not isinstance(module, nn.BatchNorm1d | nn.Dropout | nn.GroupNorm):
            return False
        source = source.args[0]
    return False


def _split(traced: fx.GraphModule, at: fx.Node) -> tuple[fx.GraphModule, fx.GraphModule]:
    """The graphs up to and including a node, and after it; the first returns, and the second takes, what crosses."""
    nodes = list(traced.graph.nodes)
    place = nodes.index(at) + 1
    before, after = nodes[:place], nodes[place:]
    crossing = [at] + [
        node for node in before if node is not at and node.op != "get_attr" and any(u in set(after) for u in node.users)
    ]
    head, tail = fx.Graph(), fx.Graph()
    in_head: dict[fx.Node, fx.Node] = {}
    for node in before:
        in_head[node] = head.node_copy(node, in_head.__getitem__)
    head.output(tuple(in_head[node] for node in crossing))
    in_tail = {node: tail.placeholder(f"carried_{i}") for i, node in enumerate(crossing)}
    for node in before:
        if node.op == "get_attr":
            in_tail[node] = tail.node_copy(node, in_tail.__getitem__)
    for node in after:
        in_tail[node] = tail.node_copy(node, in_tail.__getitem__)
    parts = []
    for graph in (head, tail):
        graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output") or _is_in_place(traced, node))
        parts.append(fx.GraphModule(traced, graph))
    parts[1].meta["in_place"] = any(_is_in_place(traced, node) for node in after)
    return parts[0], parts[1]


def _is_in_place(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(graph.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_") and not str(node.target).startswith("__")
    by_name = getattr(node.target, "__name__", "")
    return node.op == "call_function" and (
        node.target in IN_PLACE_OPERATORS or bool(node.kwargs.get("inplace")) or (by_name.endswith("_") and by_name[0] != "_")
    )


def _logits(output: Any) -> Tensor:
    """The logits of what a network returns: the tensor, the entry or attribute ``logits``, or the first tensor."""
    if isinstance(output, Tensor):
        return output
    if hasattr(output, "logits"):
        return output.logits
    values = output.values() if isinstance(output, dict) else output
    if isinstance(output, dict) and "logits" in output:
        return output["logits"]
    for value in values if isinstance(values, tuple | list) or isinstance(output, dict) else ():
        if isinstance(value, Tensor):
            return value
    raise NmfdiagError(f"The network must return logits, a tensor or a tuple or dict with one; got {type(output).__name__}.")


def _shape_error(model: nn.Module, inputs: Tensor, error: Exception) -> NmfdiagError:
    return NmfdiagError(
        f"{type(model).__name__} can't take inputs of shape {tuple(inputs.shape)} and type {inputs.dtype}: {error}"
    )
