"""Prepare a network for cutting: write it down as a graph, find its activation layers, leave out those that can't be measured.

The network's own code runs on a few samples. The graph is used only where it gives the network's own logits.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.activations import kinds_of
from nmfdiag.networks.channel_marks import Axis
from nmfdiag.networks.evaluation import check_initialised, evaluating, in_modes, plainly
from nmfdiag.networks.graph_cut import is_in_place, nodes_reaching_output
from nmfdiag.networks.intercept import NotReached, Replay
from nmfdiag.networks.layers import Call, apart, describe, no_layers_error
from nmfdiag.networks.outputs import LogitsChoice, agreeing_logits, candidates, named_logits, same_logits
from nmfdiag.networks.passages import Passages, Shapes, Way, merged_ways
from nmfdiag.networks.restore_values import RandomStates
from nmfdiag.networks.trace import Trace, generalised
from nmfdiag.networks.unseen_code import REMARK, Watcher, computes_out_of_sight
from nmfdiag.networks.wrappers import unwrapped

SIZES = (2, 3)
"""Samples of the two batches that a network is traced with."""
PERTURBATIONS = (1.0, 3.0, 10.0, 30.0, 100.0, 1e3, 1e4)
"""Sizes of the change of an activation that has to move the logits, in multiples of the activation's own size."""
WAYS = 20
"""Number of classes, and of samples of each, that show which ways a network takes."""
AGREEING = 200
"""Number of samples that show which of several outputs agrees with the labels."""


class PreparedNetwork:
    """A network, run on a few samples: its graph, its activation layers, and what is known of its answers.

    The arguments, and the attributes ``skipped``, ``traced``, ``remarks`` and ``mixes``, are those of
    :class:`nmfdiag.networks.split.SplitNetwork`.

    Attributes:
        model: The network without its wrappers.
        kinds: The kinds of activation functions that are layers.
        replay: Runs the network's own code.
        example: The first samples.
        graph: The network as a graph; None where its own code has to run.
        layers: All layers by name, the skipped ones included, in execution order.
        axes: The axis of each layer's channels.
        nodes: Each layer's node of the graph.
        in_place: Nodes of the graph that write into their inputs.
        passages: Says whether a batch calls each layer as the prepared runs did.
        decides: Whether the network's code decides by values.
    """

    passages: Passages

    @plainly()
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
        model = unwrapped(model)
        check_initialised(model)
        if channel_dim is None:  # not by getattr on the object: a network's __getattr__ may answer anything
            channel_dim = vars(model).get("nmfdiag_channel_dim", getattr(type(model), "nmfdiag_channel_dim", None))
        self.model, self.kinds = model, kinds_of(activations)
        self.replay = Replay(model, self.kinds)
        self._layout = torch.contiguous_format
        self.example = _rows(example_input, SIZES[0])
        self.remarks: list[str] = []
        self.mixes, self.skipped = "", dict[str, str]()
        self.traced = self.decides = self._repeatable = False
        self._larger_shapes: Shapes | None = None

        recorder = Watcher(model)
        with evaluating(model, example_input) as snapshot:
            self.remarks += snapshot.remarks
            states = RandomStates()
            output, shapes = self.replay.survey(self.example, recorder)
            is_random = bool(states.drawn_since())
            self._modes = [(module, module.training) for module in model.modules()]
            self._hooked = any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
            self._paths = {id(module): path for path, module in model.named_modules()}
        self._choice = named_logits(output, logits, len(self.example))
        self._outputs = [LogitsChoice(path) for path in candidates(output, len(self.example))]
        calls, axes, other_calls = self.replay.calls, self.replay.axes, self.replay.others
        self.skipped |= self.replay.unseen
        self._choice = self._choice or self._choose_by_labels(samples)
        self.remarks += [self._choice.note] if self._choice is not None and self._choice.note else []
        if is_random:
            self.remarks.append(self._random_remark())
        self.graph: fx.GraphModule | None = None
        larger = self._larger(example_input if samples is None else samples[0], recorder.trace.decides)
        trace = self._trace(recorder, output, self.pick(output).detach(), calls, is_random, larger)
        ways = [(calls, shapes, axes)]
        if samples is not None and self.decides:
            ways += self._other_ways(samples)
        self._calls, shapes, axes = merged_ways(ways)
        described = describe(list(zip(self._calls, shapes, axes, strict=True)))
        if not described:
            raise no_layers_error(model, other_calls, activations)
        self.layers = {layer.name: layer for layer in described}
        self.axes = {layer.name: axis for layer, axis in zip(described, axes, strict=True)}
        self.nodes = (
            {name: trace.layers.get(call) for name, call in zip(self.layers, self._calls, strict=True)} if trace else {}
        )
        self.in_place: set[fx.Node] = set()
        if self.graph is not None:
            self.in_place = {node for node in self.graph.graph.nodes if is_in_place(self.graph, node)}
        self._place_channels(channel_dim, shapes)
        self._drop_unsteady(ways)
        self._drop_without_effect(example_input if samples is None else samples[0])

    @property
    def ambiguous(self) -> bool:
        """Return whether it is unknown which of several outputs are the logits."""
        return self._choice is None

    def pick(self, output: Any) -> Tensor:
        """Return the logits in an output; if it is unknown which they are, all candidates side by side."""
        if self._choice is None:
            return torch.cat([candidate.take(output) for candidate in self._outputs], 1)
        return self._choice.take(output)

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the network's own logits (n, classes)."""
        with evaluating(self.model, inputs):
            return self.pick(self.replay.run(inputs, lambda *_: None)).detach()

    def call(self, layer: str) -> Call:
        """Return the call that makes a layer's output."""
        return self._calls[self.layers[layer].index]

    def reduce_layers(
        self, inputs: Tensor, layers: Sequence[str], reduce: Callable[[str, Tensor, int], Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the network's own code once, for all layers together.

        Args:
            inputs: A batch (n, ...).
            layers: Names of the layers.
            reduce: Takes a layer's name, its activation (n, ...) and the axis of its channels; what it returns must not share memory with it.

        Returns:
            The logits (n, classes), and what ``reduce`` returned for each layer that the batch reaches.

        Raises:
            NmfdiagError: If the network can't take the inputs.
        """
        names = {self.call(name): name for name in layers}
        reduced: dict[str, Tensor] = {}

        def note(call: Call, output: Tensor) -> None:
            if name := names.get(call):
                reduced[name] = reduce(name, apart(output.detach(), self.axes[name]), self.layers[name].channel_dim)

        with evaluating(self.model, inputs):
            logits = self.pick(self.replay.run(inputs, note)).detach()
        return logits, {name: reduced[name] for name in layers if name in reduced}

    def running_graph(self, inputs: Tensor) -> AbstractContextManager[object]:
        """Set the network up for running parts of the graph; what its owner's hooks change is put back."""
        return evaluating(self.model, inputs) if self._hooked else in_modes(self._modes, self.model, inputs)

    def copy_in_layout(self, inputs: Tensor) -> Tensor:
        """Return a copy of the inputs in the memory layout that suits the network."""
        layout = self._layout if inputs.ndim == 4 else torch.contiguous_format
        return torch.empty_like(inputs, memory_format=layout, requires_grad=False).copy_(inputs.detach())

    def in_layout(self, activation: Tensor, channel_dim: int = 1) -> Tensor:
        """Return the activation itself if its memory layout suits the network, else a copy."""
        is_image = activation.ndim == 4 and channel_dim == 1
        return activation.contiguous(memory_format=self._layout if is_image else torch.contiguous_format)

    def check_mixing(self, inputs: Tensor, logits: Tensor) -> None:
        """Compare the logits of a batch's first samples with those of these samples alone; set :attr:`mixes` if they differ."""
        head = inputs[: SIZES[0]]
        if self.mixes or not self._repeatable or len(head) == len(inputs) or len(logits) != len(inputs):
            return
        try:
            if same_logits(self.logits(head), logits[: SIZES[0]]):
                return
            # Rounding depends on the batch's size: compare with a batch of the same size.
            repeated = self.logits(_rows(head, len(inputs)))[: SIZES[0]]
        except NmfdiagError:  # it takes batches of some sizes only
            return
        if not same_logits(repeated, logits[: SIZES[0]]):
            self._remark_mixing()

    def moved_activation(self, layer: str, inputs: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return another activation and the logits that the network's own code makes of it; None if the logits never change.

        Both are empty if the batch does not reach the layer.
        """
        call = self.call(layer)
        with evaluating(self.model, inputs):
            try:
                activation, output = self.replay.capture(inputs, call)
            except NotReached:
                return torch.empty(0), torch.empty(0)
            plain = self.pick(output).detach().clone()
        generator = torch.Generator().manual_seed(0)
        size = activation.abs().mean() + float(not activation.any())
        for scale in PERTURBATIONS:
            noise, coin = torch.rand(2, *activation.shape, generator=generator).to(activation)
            moved = activation * noise + scale * size * noise.flip(0) * (coin < 0.5)
            with evaluating(self.model, inputs):
                logits = self.pick(self.replay.substitute(inputs, call, moved)).detach().clone()
            if not torch.equal(logits, plain):
                return moved, logits
        return None

    def _choose_by_labels(self, samples: tuple[Tensor, Tensor] | None) -> LogitsChoice | None:
        """Choose among several outputs by their agreement with the labels."""
        if samples is None:
            return None
        inputs, labels = (part[:: max(1, len(part) // AGREEING)][:AGREEING] for part in samples)
        with evaluating(self.model, inputs):
            output = self.replay.run(inputs, lambda *_: None)
        return agreeing_logits(candidates(output, len(inputs)), torch.as_tensor(labels))

    def _random_remark(self) -> str:
        """Return the remark on what draws random numbers."""
        with evaluating(self.model, self.example):
            sources = self.replay.random_calls(self.example)
        places = ", ".join(sources) or "its own code"
        return (
            f"The network draws random numbers in evaluation ({places}): its answers to the same samples differ from run to run. Every "
            "figure here is of one fixed draw; if that is not meant, let it depend on self.training."
        )

    def _trace(
        self, recorder: Watcher, output: Any, expected: Tensor, calls: list[Call], random: bool, larger: Tensor
    ) -> Trace | None:
        """Set :attr:`graph` and return its trace, if the network can be written down and the graph gives the expected logits."""
        self.decides = recorder.trace.decides
        second = Watcher(self.model)
        try:
            with evaluating(self.model, larger):
                larger_output, self._larger_shapes = self.replay.shapes(larger, second)
                larger_logits = self.pick(larger_output)
            same_calls = self.replay.calls == calls
        except NmfdiagError:  # it takes batches of one size
            return None
        if computes_out_of_sight(recorder, second):
            self.remarks.append(REMARK)
        with evaluating(self.model, self.example):
            again = self.pick(self.replay.run(self.example, lambda *_: None))
        steady_answers = random or same_logits(again, expected)
        if not steady_answers:
            self.remarks.append(
                "The network's answers to the same samples change from one run to the next, by something that is neither its weights "
                "nor a random number of torch, NumPy or Python: no figure can be repeated exactly."
            )
        mixed = len(larger_logits) == SIZES[1] and not same_logits(larger_logits[: SIZES[0]], expected)
        identical = torch.equal(self.example[0], self.example[1])  # they show no difference
        self._repeatable = steady_answers and not random
        if self._repeatable and (mixed or (identical and self._batch_norm())):
            self._remark_mixing()
        if random or not same_calls:
            return None
        try:
            trace = generalised(recorder.finish(self.pick(output)), second.finish(self.pick(larger_output)), SIZES)
            graph = trace.module()
        except Exception:  # a network's code may do anything
            return None
        # In channels_last memory an activation is already the activation matrix. Some networks can't take it (``view``).
        is_conv = self.example.ndim == 4 and any(isinstance(module, nn.Conv2d) for module in self.model.modules())
        for layout in (torch.channels_last, torch.contiguous_format) if is_conv else (torch.contiguous_format,):
            self._layout = layout
            if self._graph_agrees(graph, expected):
                self.graph, self.traced = graph, True
                return trace
        return None

    def _larger(self, samples: Tensor, decides: bool) -> Tensor:
        """Return the example and one more sample: the largest of all, or the first again where another might go another way."""
        if decides or samples.shape[1:] != self.example.shape[1:]:
            return _rows(self.example, SIZES[1])
        spread = samples[:: max(1, len(samples) // WAYS)][:WAYS]
        largest = int(spread.to(self.example).abs().flatten(1).amax(1).argmax()) if _has_order(spread) else 0
        return torch.cat([self.example, spread[largest][None].to(self.example)])

    def _remark_mixing(self) -> None:
        """Set :attr:`mixes` and add the remark on it."""
        self.mixes = "The answer to a sample depends on the others of its batch" + self._batch_norm()
        self.remarks.append(
            f"{self.mixes}: batches of a single class are not what it was trained on. Only mixtures are measured."
        )

    def _graph_agrees(self, graph: fx.GraphModule, expected: Tensor) -> bool:
        """Return whether a graph gives the expected logits of the example."""
        try:
            with self.running_graph(self.example):
                return same_logits(graph.forward(self.copy_in_layout(self.example)), expected)
        except Exception:  # as in tracing
            return False

    def _batch_norm(self) -> str:
        """Return in brackets which module uses the statistics of its batch; empty if none does."""
        for module, training in self._modes:
            if isinstance(module, _BatchNorm) and (module.running_mean is None or training):
                reason = "keeps no running statistics" if module.running_mean is None else "stays in training mode"
                return f" ({self._paths[id(module)] or 'the network'}, {type(module).__name__}, {reason})"
        return ""

    def _other_ways(self, samples: tuple[Tensor, Tensor]) -> list[Way]:
        """Run a mixture of the classes, which makes most calls in order, then a batch of each class; return their calls."""
        inputs, labels = samples[0], torch.as_tensor(samples[1])
        members = [(labels == label).nonzero().flatten()[:WAYS] for label in labels.unique()[:WAYS]]
        ways = []
        for rows in (torch.cat([rows[: SIZES[0]] for rows in members]), *members):
            batch = inputs[rows.to(inputs.device)]
            with evaluating(self.model, batch):
                _, shapes = self.replay.survey(batch)
            ways.append((self.replay.calls, shapes, self.replay.axes))
        return ways

    def _place_channels(self, channel_dim: int | Mapping[str, int] | None, shapes: Sequence[Tensor]) -> None:
        """Set the requested axis of the channels; skip layers for which it is unknown."""
        dims = channel_dim if isinstance(channel_dim, Mapping) else {}
        if unknown := [name for name in dims if name not in self.layers]:
            raise NmfdiagError(
                f"channel_dim names an unknown layer {unknown[0]!r}: the layers are {', '.join(self.layers)}."
            )
        for layer, shape in zip(list(self.layers.values()), shapes, strict=True):
            dim = dims.get(layer.name, channel_dim if isinstance(channel_dim, int) else None)
            if dim is not None:
                if not -shape.ndim <= dim < shape.ndim or dim % shape.ndim == 0:
                    raise NmfdiagError(
                        f"channel_dim of layer {layer.name!r} is {dim}: accepted are 1 to {shape.ndim - 1} of shape (n, "
                        f"{', '.join(map(str, shape.shape[1:]))})."
                    )
                dim %= shape.ndim
                self.axes[layer.name] = Axis(dim)
                self.layers[layer.name] = replace(
                    layer, channel_dim=dim, width=shape.shape[dim], output_shape=tuple(shape.shape[1:])
                )
            elif self.axes[layer.name].dim is None:
                cure = " (channel_dim= says it)" if shape.ndim > 1 else ""
                self.skipped[layer.name] = f"{self.axes[layer.name].reason}{cure}"

    def _drop_unsteady(self, ways: Sequence[Way]) -> None:
        """Skip calls that are not one layer for every batch."""
        runs = [*(calls for calls, _, _ in ways), *([] if self._larger_shapes is None else [list(self._larger_shapes)])]
        calls, shapes, _ = ways[0]
        small = {call: shape.shape for call, shape in zip(calls, shapes, strict=True)}
        self.passages = Passages(runs, small, self._larger_shapes, SIZES)
        for name, call in zip(self.layers, self._calls, strict=True):
            if reason := self.passages.unsteady(call, self.axes[name]):
                self.skipped.setdefault(name, reason)

    def _drop_without_effect(self, samples: Tensor) -> None:
        """Skip layers that the logits do not depend on: no node leads there from them, and changing them changes nothing."""
        reaching = nodes_reaching_output(self.graph.graph) if self.graph is not None else set()
        spread = samples[:: max(1, len(samples) // AGREEING)][:AGREEING]
        for name in self.layers:
            if name in self.skipped or self.nodes.get(name) in reaching:
                continue
            try:
                if self.moved_activation(name, self.example) is None and self.moved_activation(name, spread) is None:
                    self.skipped[name] = "the logits do not depend on it"
            except NmfdiagError as error:  # such as a gradient that the network takes of it
                self.skipped[name] = f"nothing else can be put in its place: {str(error).rstrip('.')}"


def _rows(inputs: Tensor, n: int) -> Tensor:
    """Return the first n samples, starting again from the first where there are fewer."""
    return inputs[torch.arange(n) % len(inputs)] if len(inputs) else inputs


def _has_order(samples: Tensor) -> bool:
    """Return whether the values have a largest one."""
    return samples.numel() > 0 and not samples.is_complex() and samples.dtype is not torch.bool
