"""Cut a network at an activation layer: the head runs once, only the tail runs for every approximation of the layer's output."""

import copy
import difflib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.activations import RELUS, kinds_of
from nmfdiag.networks.cutting import cut_graph, halves, is_in_place, writes_outside
from nmfdiag.networks.evaluating import evaluating
from nmfdiag.networks.factored import factored_tail, merge_affine, pays, product
from nmfdiag.networks.fallback import Replay
from nmfdiag.networks.folding import unfold
from nmfdiag.networks.layers import (
    ReluLayer,
    activation_nodes,
    axes_of,
    calls_of,
    describe,
    logits_of,
    no_layers_error,
)
from nmfdiag.networks.wrapping import unwrapped

REPRODUCES = 1e-4
PIECE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Cut:
    """A network stopped at a layer.

    Attributes:
        layer: The layer's name.
        activation: Its output (n, ...), after the ReLU or other activation function.
        carried: What else the tail needs: skip connections, sizes, the inputs.
    """

    layer: str
    activation: Tensor
    carried: tuple[Any, ...]


class SplitNetwork:
    """A network that can be cut at any of its ReLU layers, or of all its activation layers. It shares the model's parameters.

    The model is traced once (torch.fx). Where that fails, or does not give the model's own logits and activation calls, it
    is run as it is and the activation is put in by intercepting these calls: the same answers, but the head runs again
    for each.

    Args:
        model: Any module with ReLUs; ``torch.compile`` and data parallelism are taken off. It is run in evaluation mode; its
            mode is restored after each use.
        example_input: A batch (n, ...) that it takes.
        activations: ``"relu"``: layers are the outputs of ReLU and ReLU6; ``"all"``: those of GELU, SiLU and their like
            too (:data:`nmfdiag.networks.activations.KINDS`), which can be negative.

    Attributes:
        layers: These layers in execution order.
        traced: Whether the head runs only once a cut.

    Raises:
        NmfdiagError: If the model has no such layer, or can't take the input.
    """

    layers: list[ReluLayer]
    traced: bool

    def __init__(self, model: nn.Module, example_input: Tensor, activations: str = "relu"):
        model = unwrapped(model)
        self.model, self.activations = model, activations
        self._kinds = kinds_of(activations)
        self._replay = Replay(model, self._kinds)
        self._layout = torch.contiguous_format
        with evaluating(self.model, example_input):
            expected, shapes = self._replay.survey(example_input)
            self._graph = self._trace(example_input, logits_of(expected))
        self._nodes = activation_nodes(self._graph, self._kinds) if self._graph else []
        self._in_place = {n for n in self._graph.graph.nodes if is_in_place(self._graph, n)} if self._graph else set()
        self.traced = self._graph is not None
        axes = axes_of(self._graph, self._nodes, shapes) if self._graph else self._replay.axes
        self.layers = describe(list(zip(self._replay.calls, shapes, axes, strict=True)))
        if not self.layers:
            raise no_layers_error(model, self._replay.others, activations)
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
            what = "ReLU" if self._kinds == RELUS else "activation"
            raise NmfdiagError(f"Unknown layer {name!r}.{hint} The {what} layers are: {', '.join(self._by_name)}.")
        return self._by_name[name]

    def logits(self, inputs: Tensor) -> Tensor:
        """The whole network's output (n, classes).

        Raises:
            NmfdiagError: If the network can't take the inputs.
        """
        with evaluating(self.model, inputs):
            return logits_of(self.model(inputs.clone()))

    def cut(self, layer: str, inputs: Tensor) -> Cut:
        """Run the network up to a layer.

        Args:
            layer: Name of one of the layers.
            inputs: A batch (n, ...).

        Raises:
            NmfdiagError: If the layer is unknown, or the network can't take the inputs.
        """
        index = self.layer(layer).index
        with evaluating(self.model, inputs):
            if self._graph is None:
                kept = inputs.detach().clone()
                return Cut(layer, self._replay.capture(kept, index), (kept,))
            activation, *carried = self._parts(layer).head.forward(self._copy(inputs))
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
        activation = self._laid_out(activation.detach(), self.layer(cut.layer).channel_dim)
        with evaluating(self.model, activation):
            if self._graph is None:
                index = self.layer(cut.layer).index
                return logits_of(self._replay.substitute(cut.carried[0], index, activation))
            parts = self._parts(cut.layer)
            values: tuple[Any, ...] = (activation, *cut.carried)
            if parts.tail_writes:
                values = copy.deepcopy(values)  # unlike clones, copies that share memory where these do
            return logits_of(parts.tail.forward(*values))

    def resume_factored(self, cut: Cut, W: Tensor, H: Tensor, offset: Tensor | None = None) -> Tensor:
        """Run the rest of the network on ``W H + offset``, without forming that where the layer after allows it.

        Args:
            cut: What :meth:`cut` returned.
            W: Matrix (rows, k), with the rows of :func:`fold` of the activation.
            H: Matrix (k, channels).
            offset: A row (channels,) to add to every row.

        Returns:
            The logits (n, classes), up to rounding those of :meth:`resume`.

        Raises:
            NmfdiagError: If the factors don't fit the activation.
        """
        shape, channel_dim = cut.activation.shape, self.layer(cut.layer).channel_dim
        rows, channels = cut.activation.numel() // shape[channel_dim], shape[channel_dim]
        if offset is not None:  # a factor that is 1 in every row: padding leaves it out at the borders, as it should
            W, H = torch.cat([W, W.new_ones(len(W), 1)], dim=1), torch.cat([H, offset.reshape(1, -1)])
        if W.shape != (rows, len(H)) or H.shape[1:] != (channels,):
            raise NmfdiagError(
                f"Layer {cut.layer!r} needs factors of shape ({rows}, k) and (k, {channels}), got {tuple(W.shape)} and "
                f"{tuple(H.shape)}."
            )
        W, H = W.detach(), H.detach()
        factored = self._parts(cut.layer).factored if self._graph is not None else None
        if factored is None or not pays(rows, channels, len(H)):
            return self.resume(cut, unfold(product(W, H), shape, channel_dim).to(cut.activation.dtype))
        with evaluating(self.model, cut.activation):
            W = unfold(W.contiguous(), shape, channel_dim).to(cut.activation.dtype)
            compact = self._laid_out(W, channel_dim)
            return logits_of(factored.forward(compact, H, *cut.carried))

    def pieces(self, cut: Cut, max_bytes: int = PIECE_BYTES) -> list[Cut]:
        """Divide a cut's samples into batches whose activation stays small, so that the tail's memory does.

        Args:
            cut: What :meth:`cut` returned.
            max_bytes: Size of a batch's activation at most (one sample at least).

        Returns:
            Views of the cut, in order; the cut alone where it is small or its samples can't be told apart.
        """
        n = len(cut.activation)
        size = max(1, max_bytes * n // cut.activation.nbytes)
        if size >= n or not all(isinstance(value, Tensor) and value.shape[:1] == (n,) for value in cut.carried):
            return [cut]

        def part(start: int, stop: int) -> Cut:
            return Cut(cut.layer, cut.activation[start:stop], tuple(value[start:stop] for value in cut.carried))

        try:
            alone, together = (self.resume(two, two.activation) for two in (part(0, 1), part(0, 2)))
        except NmfdiagError:  # statistics of a batch of one
            return [cut]
        if not torch.allclose(alone, together[:1], rtol=REPRODUCES, atol=REPRODUCES * float(together.abs().max())):
            return [cut]
        return [part(start, min(start + size, n)) for start in range(0, n, size)]

    def _parts(self, layer: str) -> "_Parts":
        if layer not in self._split:
            assert self._graph is not None
            self._split[layer] = _split(
                self._graph, self._nodes[self.layer(layer).index], self._in_place, self.layer(layer)
            )
        return self._split[layer]

    def _trace(self, example_input: Tensor, expected: Tensor) -> fx.GraphModule | None:
        """The model's graph, if it gives the logits expected and has the activation calls just seen."""
        try:
            graph = fx.GraphModule(self.model, fx.Tracer().trace(self.model))
        except Exception:  # tracing runs the model's own code on stand-ins for tensors: anything may come out of it
            return None
        if calls_of(graph, activation_nodes(graph, self._kinds), self._kinds) != self._replay.calls:
            return None
        # An activation in channels_last memory is the activation matrix. Some networks can't take it (``view``).
        is_conv = example_input.ndim == 4 and any(isinstance(module, nn.Conv2d) for module in self.model.modules())
        for layout in (torch.channels_last, torch.contiguous_format) if is_conv else (torch.contiguous_format,):
            self._layout = layout
            if _reproduces(graph, self._copy(example_input), expected):
                return graph
        return None

    def _copy(self, inputs: Tensor) -> Tensor:
        """A copy of the inputs, laid out as suits the network."""
        layout = self._layout if inputs.ndim == 4 else torch.contiguous_format
        return torch.empty_like(inputs, memory_format=layout, requires_grad=False).copy_(inputs.detach())

    def _laid_out(self, activation: Tensor, channel_dim: int = 1) -> Tensor:
        """The activation itself if it is laid out as suits the network, else a copy."""
        is_image = activation.ndim == 4 and channel_dim == 1
        return activation.contiguous(memory_format=self._layout if is_image else torch.contiguous_format)


@dataclass(frozen=True)
class _Parts:
    """The graph up to and including a layer, the graph after it, and the same on factors if that spares anything."""

    head: fx.GraphModule
    tail: fx.GraphModule
    tail_writes: bool
    factored: fx.GraphModule | None


def _split(traced: fx.GraphModule, at: fx.Node, in_place: set[fx.Node], layer: ReluLayer) -> _Parts:
    head, tail = cut_graph(traced, at, in_place)
    writes = writes_outside(traced, halves(traced, at)[1], in_place)
    merge_affine(head)
    merge_affine(tail)
    factored = None if writes else factored_tail(tail, 1 + len(layer.output_shape), layer.channel_dim)
    return _Parts(head, tail, writes, factored)


def _reproduces(graph: fx.GraphModule, inputs: Tensor, expected: Tensor) -> bool:
    try:
        got = logits_of(graph.forward(inputs))
    except Exception:  # as in tracing
        return False
    same_shape = got.shape == expected.shape
    return same_shape and torch.allclose(got, expected, rtol=REPRODUCES, atol=REPRODUCES, equal_nan=True)
