"""Cut a network at an activation layer: the head runs once, only the tail runs for every approximation of the layer's output.

Every cut is checked before it is used: put back where it was taken, the activation has to give the network's own logits for the
batch, and another one has to change them in the tail exactly as in the network's own code.
"""

import copy
import difflib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from nmfdiag.data.samples import as_inputs
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.activations import RELUS
from nmfdiag.networks.evaluation import evaluating, plainly
from nmfdiag.networks.factored_tail import pays, product
from nmfdiag.networks.graph_parts import GraphParts, checked_parts
from nmfdiag.networks.intercept import not_reached
from nmfdiag.networks.layers import ReluLayer, apart, together
from nmfdiag.networks.matrix_fold import unfold
from nmfdiag.networks.outputs import same_logits
from nmfdiag.networks.passages import Shapes
from nmfdiag.networks.prepare import WAYS, PreparedNetwork
from nmfdiag.networks.trace import OtherWay

PIECE_BYTES = 64 * 2**20
"""Largest activation of a batch that the tail runs on at once."""
_versions = itertools.count()


@dataclass(frozen=True)
class Cut:
    """A network stopped at a layer.

    Attributes:
        layer: The layer's name.
        activation: Its output (n, ...), after the ReLU or other activation function; channels have an axis of
            their own.
        carried: Everything else that the tail needs: skip connections, sizes, the inputs.
        inputs: The batch.
        logits: The network's own logits (n, classes) of the batch.
        replayed: Whether the rest of the network runs by its own code, not by the graph.
    """

    layer: str
    activation: Tensor
    carried: tuple[Any, ...]
    inputs: Tensor
    logits: Tensor
    replayed: bool = False

    def part(self, start: int, stop: int) -> "Cut":
        """Return the cut of some of the samples; every part of it has one row per sample."""
        carried = tuple(value[start:stop] if isinstance(value, Tensor) else stop - start for value in self.carried)
        return replace(
            self, activation=self.activation[start:stop], carried=carried, inputs=self.inputs[start:stop],
            logits=self.logits[start:stop],
        )  # fmt: skip


class SplitNetwork:
    """A network that can be cut at any of its ReLU layers, or of all its activation layers. It shares the model's parameters.

    The model's code runs twice on a few samples and is written down as a graph (:mod:`nmfdiag.networks.trace`). Where that is
    impossible, or the graph does not do what the code does, the model runs as it is and the activation is replaced by intercepting
    its calls: the same answers, but the head runs again for each.

    Args:
        model: Any module with ReLUs; ``torch.compile`` and data parallelism are removed. It runs in evaluation mode; everything that
            running it changes is put back after each use.
        example_input: A batch (n, ...) that it takes.
        activations: ``"relu"``: layers are the outputs of ReLU and ReLU6, however written; ``"all"``: also those of GELU, SiLU and
            their like (:data:`nmfdiag.networks.activations.KINDS`), which can be negative.
        logits: Key or index of the logits, if the network returns several tensors; chosen by default.
        channel_dim: Axis of the channels, counting the batch axis, of all layers or by layer name, where it can't be detected.
        samples: Inputs (m, ...) and given labels (m,) by which the logits are chosen, and the ways through the network found where
            it decides by its inputs.

    Attributes:
        layers: The layers that can be measured, in execution order.
        skipped: Why the others can't be measured, by name.
        traced: Whether the head runs only once per cut.
        remarks: Notes on the network: which logits were chosen, what in it is random, what depends on the batch.
        ambiguous: Whether it is unknown which of several outputs are the logits.

    Raises:
        NmfdiagError: If the model has no such activation at all, or can't take the input.
    """

    def __init__(
        self,
        model: nn.Module,
        example_input: Tensor,
        activations: str = "relu",
        *,
        logits: str | int | None = None,
        channel_dim: int | Mapping[str, int] | None = None,
        samples: tuple[Tensor, Tensor] | None = None,
    ):
        self.prepared = PreparedNetwork(
            model, example_input, activations, logits=logits, channel_dim=channel_dim, samples=samples
        )
        self.model, self.activations = self.prepared.model, activations
        self.skipped, self.remarks = self.prepared.skipped, self.prepared.remarks
        self.layers = [layer for layer in self.prepared.layers.values() if layer.name not in self.skipped]
        self.traced, self.ambiguous = self.prepared.traced, self.prepared.ambiguous
        self._parts_of: dict[str, GraphParts | None] = {}
        self._runs: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    @property
    def mixes(self) -> str:
        """Return why the answer to a sample depends on the others of its batch; empty if it does not."""
        return self.prepared.mixes

    def checked_layers(self) -> list[ReluLayer]:
        """Return the layers that can be measured.

        Raises:
            NmfdiagError: If there is none, with the reason for each.
        """
        if not self.layers:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.skipped.items())
            raise NmfdiagError(f"No layer of {type(self.model).__name__} can be measured ({reasons}).")
        return self.layers

    def layer(self, name: str) -> ReluLayer:
        """Return a layer by its name.

        Raises:
            NmfdiagError: If the name is unknown (the closest and all accepted ones are named), or the layer can't be measured.
        """
        if name in self.skipped:
            raise NmfdiagError(f"Layer {name!r} can't be measured: {self.skipped[name]}.")
        if name not in self.prepared.layers:
            names = [layer.name for layer in self.layers]
            close = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            kind = "ReLU" if self.prepared.kinds == RELUS else "activation"
            raise NmfdiagError(f"Unknown layer {name!r}.{hint} The {kind} layers are: {', '.join(names)}.")
        return self.prepared.layers[name]

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the whole network's logits (n, classes).

        Raises:
            NmfdiagError: If the network can't take the inputs.
        """
        return self.prepared.logits(inputs)

    @plainly()
    def check_mixing(self, inputs: Tensor) -> None:
        """Set :attr:`mixes` if the answers to a few of these samples (n, ...) depend on one another.

        Raises:
            NmfdiagError: If the network can't take them.
        """
        samples = inputs[:: max(1, len(inputs) // WAYS)][:WAYS]
        self.prepared.check_mixing(samples, self.logits(samples))

    @plainly()
    def cut(self, layer: str, inputs: Tensor) -> Cut:
        """Run the network up to a layer.

        Args:
            layer: Name of one of the layers.
            inputs: A batch (n, ...).

        Raises:
            NmfdiagError: If the layer is unknown, the network can't take the inputs or does not reach the layer with them, or the
                activation, put back, does not give the network's logits.
        """
        axis, call = self.prepared.axes[self.layer(layer).name], self.prepared.call(layer)
        expected, shapes = self._run_once(inputs)
        if call not in shapes:
            raise not_reached(layer, self.prepared.kinds)
        by_size = not self.prepared.decides and inputs.shape[1:] == self.prepared.example.shape[1:]
        if difference := self.prepared.passages.difference(call, len(inputs), shapes, by_size):
            raise NmfdiagError(
                f"Layer {layer!r} can't be measured on this batch: {difference}. Accepted are batches that the network runs as a whole; "
                "it may have a setting for the size of its pieces."
            )
        parts = self._parts(layer, inputs)
        if parts is not None:
            try:
                with self.prepared.running_graph(inputs):
                    activation, *carried = parts.head.forward(self.prepared.copy_in_layout(inputs))
                cut = Cut(layer, apart(activation, axis), tuple(carried), inputs.detach().clone(), expected)
                if activation.shape == shapes.get(call) and self._reproduces_logits(cut):
                    return cut
            except (OtherWay, NmfdiagError):  # the network's own code has the last word
                pass
        with evaluating(self.model, inputs):
            activation, _ = self.prepared.replay.capture(inputs, call)
        cut = Cut(layer, apart(activation, axis), (), inputs.detach().clone(), expected, replayed=True)
        if not self._reproduces_logits(cut):
            cut = replace(cut, logits=self.logits(inputs))  # the remembered logits may be of other weights
        if not self._reproduces_logits(cut):
            raise NmfdiagError(
                f"Layer {layer!r} can't be measured on this batch: its own activation, put back, does not give the network's logits. "
                "Something else in the network changes from one run to the next."
            )
        return cut

    def resume(self, cut: Cut, activation: Tensor) -> Tensor:
        """Run the rest of the network; may be called many times for one cut.

        Args:
            cut: What :meth:`cut` returned.
            activation: The replacement of ``cut.activation``, of the same shape.

        Returns:
            The logits (n, classes).

        Raises:
            NmfdiagError: If the activation has another shape.
        """
        if activation.shape != cut.activation.shape:
            expected, got = tuple(cut.activation.shape), tuple(activation.shape)
            raise NmfdiagError(f"The activation of layer {cut.layer!r} has shape {expected}, got {got}.")
        activation = together(activation, self.prepared.axes[cut.layer])
        if not cut.replayed:
            parts = self._parts(cut.layer, cut.inputs)
            assert parts is not None
            activation = self.prepared.in_layout(activation.detach(), self.layer(cut.layer).channel_dim)
            try:
                with self.prepared.running_graph(cut.inputs):
                    values: tuple[Any, ...] = (activation, *cut.carried)
                    if parts.tail_writes:
                        values = copy.deepcopy(values)  # unlike clones, these copies share memory where the values do
                    return parts.tail.forward(*values).detach()
            except (OtherWay, NmfdiagError):  # the activation changes the way through the network
                pass
        try:
            with evaluating(self.model, cut.inputs):
                output = self.prepared.replay.substitute(cut.inputs, self.prepared.call(cut.layer), activation)
                return self.pick(output).detach()
        except NmfdiagError as error:
            raise NmfdiagError(
                f"Layer {cut.layer!r} can't be measured on this batch: with another activation in its place, "
                f"{type(self.model).__name__} fails: {error.__cause__ or error}"
            ) from error

    def resume_factored(self, cut: Cut, W: Tensor, H: Tensor, offset: Tensor | None = None) -> Tensor:
        """Run the rest of the network on ``W H + offset``, not formed where the next layer allows it.

        Args:
            cut: What :meth:`cut` returned.
            W: Matrix (rows, k), with the rows of :func:`nmfdiag.networks.matrix_fold.fold` of the activation.
            H: Matrix (k, channels).
            offset: A row (channels,) to add to every row.

        Returns:
            The logits (n, classes), up to rounding those of :meth:`resume`.

        Raises:
            NmfdiagError: If the factors don't fit the activation.
        """
        shape, channel_dim = cut.activation.shape, self.layer(cut.layer).channel_dim
        rows, channels = cut.activation.numel() // shape[channel_dim], shape[channel_dim]
        if offset is not None:  # one more factor, 1 in every row: padding leaves it out at the borders, as it should
            W, H = torch.cat([W, W.new_ones(len(W), 1)], dim=1), torch.cat([H, offset.reshape(1, -1)])
        if W.shape != (rows, len(H)) or H.shape[1:] != (channels,):
            raise NmfdiagError(
                f"Layer {cut.layer!r} needs factors of shape ({rows}, k) and (k, {channels}), got {tuple(W.shape)} and "
                f"{tuple(H.shape)}."
            )
        W, H = W.detach(), H.detach()
        parts = None if cut.replayed else self._parts(cut.layer, cut.inputs)
        if parts is not None and parts.factored is not None and pays(rows, channels, len(H)):
            compact = unfold(W.contiguous(), shape, channel_dim).to(cut.activation.dtype)
            compact = self.prepared.in_layout(compact, channel_dim)
            try:
                with self.prepared.running_graph(cut.inputs):
                    return parts.factored.forward(compact, H, *cut.carried).detach()
            except (OtherWay, NmfdiagError):
                pass
        return self.resume(cut, unfold(product(W, H), shape, channel_dim).to(cut.activation.dtype))

    def pieces(self, cut: Cut, max_bytes: int = PIECE_BYTES) -> list[Cut]:
        """Divide a cut's samples into batches whose activation stays small, so that the tail needs little memory.

        Args:
            cut: What :meth:`cut` returned.
            max_bytes: Largest size of a batch's activation (a batch has at least one sample).

        Returns:
            Views of the cut, in order; the cut alone where it is small or its samples can't be separated.
        """
        n = len(cut.inputs)
        size = max(1, max_bytes * n // max(1, cut.activation.nbytes))
        rows = [cut.activation, *(value for value in cut.carried if isinstance(value, Tensor))]
        sizes = [value for value in cut.carried if not isinstance(value, Tensor)]
        if (
            size >= n
            or self.mixes
            or not all(value.shape[:1] == (n,) for value in rows)
            or any(value != n for value in sizes)
        ):
            return [cut]
        try:
            single, pair = (self.resume(part, part.activation) for part in (cut.part(0, 1), cut.part(0, 2)))
        except NmfdiagError:  # statistics of a batch of one
            return [cut]
        if len(single) != 1 or len(pair) != 2 or not same_logits(single, pair[:1]):
            return [cut]
        return [cut.part(start, min(start + size, n)) for start in range(0, n, size)]

    def first_two(self, cut: Cut) -> Cut | None:
        """Return the cut of the first two of three or more samples; None where they can't be separated from the others."""
        if len(cut.inputs) < 3 or len(cut.activation) != len(cut.inputs):
            return None
        pair = cut.part(0, 2)  # the wrong axis, if that happens to be as long as the axis of samples
        try:
            logits = self.resume(pair, pair.activation)
        except NmfdiagError:
            return None
        return pair if same_logits(logits, cut.logits[:2]) else None

    def pick(self, output: Any) -> Tensor:
        """Return the logits in an output; if it is unknown which they are, all candidates side by side."""
        return self.prepared.pick(output)

    def _run_once(self, inputs: Tensor) -> tuple[Tensor, Shapes]:
        """Return the network's own logits of a batch and the shapes of its layers; remember them as long as the batch lives."""
        version = _version(inputs, self.model)
        run_version, result = self._runs.get(inputs, (None, None))
        if result is None or run_version != version:
            with evaluating(self.model, inputs):
                output, shapes = self.prepared.replay.shapes(inputs)
                result = self.pick(output).detach(), shapes
            self._runs[inputs] = version, result
            self.prepared.check_mixing(inputs, result[0])
        return result

    def _reproduces_logits(self, cut: Cut) -> bool:
        got = torch.cat([self.resume(piece, piece.activation) for piece in self.pieces(cut)])
        return same_logits(got, cut.logits)

    def _parts(self, layer: str, inputs: Tensor | None = None) -> GraphParts | None:
        """Return both halves of the graph at a layer; None where they don't do what the network does."""
        if layer not in self._parts_of:
            batch = self.prepared.example if inputs is None else inputs
            self._parts_of[layer] = checked_parts(self.prepared, layer, batch)
        return self._parts_of[layer]


def _version(inputs: Tensor, model: nn.Module) -> int:
    """Return a number that changes when a batch or the parameters are written to; a new one where that can't be seen (sparse)."""
    tensors = (inputs, *model.parameters(), *model.buffers())
    if any(value.layout is not torch.strided for value in tensors):
        return next(_versions)
    return hash(tuple((id(t), t.data_ptr(), None if t.is_inference() else t._version) for t in tensors))


def find_relu_layers(
    model: nn.Module, example_input: Tensor, activations: str = "relu", **options: Any
) -> list[ReluLayer]:
    """Return the layers with their widths and shapes; see :func:`relu_layers`."""
    return SplitNetwork(model, example_input, activations, **options).checked_layers()


def relu_layers(
    model: nn.Module,
    example_input: Tensor,
    activations: str = "relu",
    *,
    logits: str | int | None = None,
    channel_dim: int | Mapping[str, int] | None = None,
) -> list[str]:
    """Return the names of the ReLU layers in execution order.

    Args:
        model: Any module; it is left as it was.
        example_input: A batch (n, ...) that it takes.
        activations: ``"relu"``: ReLU and ReLU6 (the paper's), however written; ``"all"``: also GELU, SiLU and their like.
        logits: As :class:`SplitNetwork` takes it.
        channel_dim: As :class:`SplitNetwork` takes it.

    Raises:
        NmfdiagError: If there is no such layer, or the network can't take the input.

    >>> import torch
    >>> relu_layers(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), torch.zeros(1, 4))
    ['1']
    """
    example = as_inputs(example_input, model)
    layers = find_relu_layers(model, example, activations, logits=logits, channel_dim=channel_dim)
    return [layer.name for layer in layers]
