"""Cut a network at a ReLU: the head runs once, only the tail runs for every approximation of the layer's output."""

import copy
import difflib
import inspect
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.fallback import Replay
from nmfdiag.networks.layers import (
    ReluLayer,
    call_of,
    describe,
    from_conv1d,
    logits_of,
    no_layers_error,
    relu_nodes,
    shape_error,
)

REPRODUCES = 1e-4
RUN_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError)
IN_PLACE_OPERATORS = frozenset({
    operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.imod, operator.ipow,
    operator.imatmul, operator.iand, operator.ior, operator.ixor, operator.ilshift, operator.irshift, operator.setitem,
})  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """A network stopped at a layer.

    Attributes:
        layer: The layer's name.
        activation: Its output (n, ...), after the ReLU.
        carried: What else the tail needs: skip connections, sizes, the inputs.
    """

    layer: str
    activation: Tensor
    carried: tuple[Any, ...]


class SplitNetwork:
    """A network that can be cut at any of its ReLU layers. It shares the model's parameters.

    The model is traced once (torch.fx). Where that fails, or does not give the model's own logits and ReLU calls, it is
    run as it is and the activation is put in by intercepting its ReLU calls: the same answers, but the head runs again
    for each.

    Args:
        model: Any module with ReLUs. It is run in evaluation mode; its mode is restored after each use.
        example_input: A batch (n, ...) that it takes.

    Attributes:
        layers: The ReLU layers in execution order.
        traced: Whether the head runs only once a cut.

    Raises:
        NmfdiagError: If the model has no ReLU, or can't take the input.
    """

    layers: list[ReluLayer]
    traced: bool

    def __init__(self, model: nn.Module, example_input: Tensor):
        self.model = model
        self._replay = Replay(model)
        with self._running(example_input):
            expected, shapes = self._replay.survey(example_input)
            self._graph = self._trace(example_input, logits_of(expected))
        self._nodes = relu_nodes(self._graph) if self._graph else []
        self._in_place = {n for n in self._graph.graph.nodes if _is_in_place(self._graph, n)} if self._graph else set()
        self.traced = self._graph is not None
        conv1d = self._replay.from_conv1d
        if self._graph:
            conv1d = [from_conv1d(self._graph, node) for node in self._nodes]
        self.layers = describe(list(zip(self._replay.calls, shapes, conv1d, strict=True)))
        if not self.layers:
            raise no_layers_error(model)
        self._by_name = {layer.name: layer for layer in self.layers}
        self._split: dict[str, _Parts] = {}

    def layer(self, name: str) -> ReluLayer:
        """Look a layer up.

        Raises:
            NmfdiagError: If there is none of that name; names the closest one and all there are.
        """
        if name not in self._by_name:
            close = difflib.get_close_matches(name, self._by_name, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise NmfdiagError(f"Unknown layer {name!r}.{hint} The ReLU layers are: {', '.join(self._by_name)}.")
        return self._by_name[name]

    def logits(self, inputs: Tensor) -> Tensor:
        """The whole network's output (n, classes).

        Raises:
            NmfdiagError: If the network can't take the inputs.
        """
        with self._running(inputs):
            return logits_of(self.model(inputs.clone()))

    def cut(self, layer: str, inputs: Tensor) -> Cut:
        """Run the network up to a layer.

        Args:
            layer: Name of a ReLU layer.
            inputs: A batch (n, ...).

        Raises:
            NmfdiagError: If the layer is unknown, or the network can't take the inputs.
        """
        index = self.layer(layer).index
        with self._running(inputs):
            if self._graph is None:
                kept = inputs.detach().clone()
                return Cut(layer, self._replay.capture(kept, index), (kept,))
            activation, *carried = self._parts(layer).head.forward(inputs.detach().clone())
            return Cut(layer, activation, tuple(carried))

    def resume(self, cut: Cut, activation: Tensor) -> Tensor:
        """Run the rest of the network; may be called many times for one cut.

        Args:
            cut: What :meth:`cut` returned.
            activation: What to go on with in the place of ``cut.activation``, of the same shape.

        Returns:
            The logits (n, classes).

        Raises:
            NmfdiagError: If the activation has another shape.
        """
        if activation.shape != cut.activation.shape:
            expected, got = tuple(cut.activation.shape), tuple(activation.shape)
            raise NmfdiagError(f"The activation of layer {cut.layer!r} has shape {expected}, got one of {got}.")
        with self._running(activation):
            if self._graph is None:
                index = self.layer(cut.layer).index
                return logits_of(self._replay.substitute(cut.carried[0], index, activation))
            parts = self._parts(cut.layer)
            values: tuple[Any, ...] = (activation.detach(), *cut.carried)
            if parts.tail_in_place:
                values = copy.deepcopy(values)  # unlike clones, copies that share memory where these do
            return logits_of(parts.tail.forward(*values))

    def _parts(self, layer: str) -> "_Parts":
        if layer not in self._split:
            assert self._graph is not None
            self._split[layer] = _split(self._graph, self._nodes[self.layer(layer).index], self._in_place)
        return self._split[layer]

    def _trace(self, example_input: Tensor, expected: Tensor) -> fx.GraphModule | None:
        """The model's graph, if it gives the logits expected and has the ReLU calls just seen."""
        try:
            graph = fx.GraphModule(self.model, fx.Tracer().trace(self.model))
            got = logits_of(graph.forward(example_input.clone()))
        except Exception:  # tracing runs the model's own code on stand-ins for tensors: anything may come out of it
            return None
        same_calls = [call_of(node) for node in relu_nodes(graph)] == self._replay.calls
        same_shape = got.shape == expected.shape
        close = same_shape and torch.allclose(got, expected, rtol=REPRODUCES, atol=REPRODUCES, equal_nan=True)
        return graph if same_calls and close else None

    @contextmanager
    def _running(self, inputs: Tensor) -> Iterator[None]:
        """Evaluation mode without gradients; what the network can't take becomes our error."""
        modes = [(module, module.training) for module in self.model.modules()]
        try:
            self.model.eval()
            with torch.no_grad():
                yield
        except (NmfdiagError, torch.OutOfMemoryError):
            raise
        except RUN_ERRORS as error:
            raise shape_error(self.model, inputs, error) from error
        finally:
            for module, training in modes:
                module.training = training


def fold(activation: Tensor, channel_dim: int) -> Tensor:
    """Turn an activation into a matrix: ``n c h w -> (n h w) c``.

    Args:
        activation: A tensor (n, ...).
        channel_dim: Its axis of the channels.

    Returns:
        The activation matrix (rows, channels); a view where memory allows it, as it does for channels_last.
    """
    return activation.movedim(channel_dim, -1).reshape(-1, activation.shape[channel_dim])


def unfold(A: Tensor, shape: torch.Size | tuple[int, ...], channel_dim: int) -> Tensor:
    """Undo :func:`fold`.

    Args:
        A: An activation matrix (rows, channels).
        shape: Shape of the activation.
        channel_dim: Its axis of the channels.

    Returns:
        A view of A of the given shape (channels_last where it has four axes).
    """
    moved = [n for axis, n in enumerate(shape) if axis != channel_dim] + [shape[channel_dim]]
    return A.reshape(moved).movedim(-1, channel_dim)


@dataclass(frozen=True)
class _Parts:
    """The graph up to and including a ReLU, and the graph after it."""

    head: fx.GraphModule
    tail: fx.GraphModule
    tail_in_place: bool


def _split(traced: fx.GraphModule, at: fx.Node, in_place: set[fx.Node]) -> _Parts:
    """Cut a graph after a node; the head returns, and the tail takes, what crosses, that node's value first."""
    nodes = list(traced.graph.nodes)
    place = nodes.index(at) + 1
    before, after = nodes[:place], nodes[place:]
    later = set(after)
    # A ReLU in place changes its input too: there, whatever reads the input later reads the activation.
    same = {at, at.all_input_nodes[0]} if at in in_place else {at}
    crossing = [at] + [n for n in before if n not in same and n.op != "get_attr" and any(u in later for u in n.users)]
    head, tail = fx.Graph(), fx.Graph()
    in_head: dict[fx.Node, fx.Node] = {}
    for node in before:
        in_head[node] = head.node_copy(node, in_head.__getitem__)
    head.output(tuple(in_head[node] for node in crossing))
    in_tail = {node: tail.placeholder(f"carried_{i}") for i, node in enumerate(crossing)}
    in_tail |= {node: in_tail[at] for node in same}
    for node in before:
        if node.op == "get_attr" and node not in same and any(u in later for u in node.users):
            in_tail[node] = tail.node_copy(node, in_tail.__getitem__)
    for node in after:
        in_tail[node] = tail.node_copy(node, in_tail.__getitem__)
    return _Parts(fx.GraphModule(traced, head), fx.GraphModule(traced, tail), bool(later & in_place))


def _is_in_place(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node may write into the tensors that it is given."""
    if node.op == "call_module":
        return bool(getattr(graph.get_submodule(str(node.target)), "inplace", False))
    if node.op not in ("call_function", "call_method"):
        return False
    if node.kwargs.get("out") is not None or node.target in IN_PLACE_OPERATORS:
        return True
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if name.endswith("_") and not name.startswith("_"):
        return True
    return node.op == "call_function" and _asks_in_place(node)


def _asks_in_place(node: fx.Node) -> bool:
    try:
        given = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # built-in functions have no signature, and no such argument
        return bool(node.kwargs.get("inplace"))
    return bool(given.arguments.get("inplace"))
