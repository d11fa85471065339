"""Cut a network at an activation layer: the head runs once, only the tail runs for every approximation of the layer's output.

Every cut is checked before it is used: put back where it was taken, the activation has to give the network's own logits for the
batch, and another one has to change them in the tail exactly as in the network's own code.
"""

import copy
import difflib
import itertools
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.weak import WeakTensorKeyDictionary

from nmfdiag.data.samples import as_inputs
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.activations import RELUS, kinds_of
from nmfdiag.networks.channels import Axis
from nmfdiag.networks.evaluation import check_initialised, evaluating, in_modes, plainly
from nmfdiag.networks.factored_tail import factored_tail, merge_affine, pays, product
from nmfdiag.networks.fold import unfold
from nmfdiag.networks.graph_cut import cut_graph, halves, is_in_place, writes_outside
from nmfdiag.networks.intercept import NotReached, Replay, not_reached
from nmfdiag.networks.layers import Call, ReluLayer, apart, describe, no_layers_error, together
from nmfdiag.networks.logits_agreement import same_logits
from nmfdiag.networks.outputs import LogitsChoice, agreeing_logits, candidates, named_logits
from nmfdiag.networks.passages import Passages, Shapes
from nmfdiag.networks.snapshot import RandomStates
from nmfdiag.networks.trace import OtherWay, Trace, generalised
from nmfdiag.networks.unseen_code import REMARK, Watcher, computes_out_of_sight
from nmfdiag.networks.wrappers import unwrapped

SIZES = (2, 3)
"""Samples of the two batches that a network is traced with."""
PERTURBATIONS = (1.0, 3.0, 10.0, 30.0, 100.0, 1e3, 1e4)
"""How far an activation is moved to see whether the logits move, in multiples of its own size."""
WAYS = 20
"""Classes, and samples of each, that show which ways a network takes."""
AGREEING = 200
"""Samples that tell which of several outputs agrees with the labels."""
PIECE_BYTES = 64 * 2**20
_versions = itertools.count()


@dataclass(frozen=True)
class Cut:
    """A network stopped at a layer.

    Attributes:
        layer: The layer's name.
        activation: Its output (n, ...), after the ReLU or other activation function; channels that share an axis with places are
            taken apart.
        carried: What else the tail needs: skip connections, sizes, the inputs.
        inputs: The batch that it was taken of.
        logits: The network's own logits (n, classes) of it.
        replayed: Whether the rest of the network runs by its own code, not by the graph.
    """

    layer: str
    activation: Tensor
    carried: tuple[Any, ...]
    inputs: Tensor
    logits: Tensor
    replayed: bool = False

    def part(self, start: int, stop: int) -> "Cut":
        """Some of the samples, where each has a row of everything."""
        carried = tuple(value[start:stop] if isinstance(value, Tensor) else stop - start for value in self.carried)
        return replace(
            self, activation=self.activation[start:stop], carried=carried, inputs=self.inputs[start:stop],
            logits=self.logits[start:stop],
        )  # fmt: skip


class SplitNetwork:
    """A network that can be cut at any of its ReLU layers, or of all its activation layers. It shares the model's parameters.

    The model's code runs twice on a few samples and is written down as a graph (:mod:`nmfdiag.networks.trace`). Where that is not
    possible, or the graph does not do what the code does, the model is run as it is and the activation is put in by intercepting
    its calls: the same answers, but the head runs again for each.

    Args:
        model: Any module with ReLUs; ``torch.compile`` and data parallelism are taken off. It is run in evaluation mode; everything
            that running it changes is put back after each use.
        example_input: A batch (n, ...) that it takes.
        activations: ``"relu"``: layers are the outputs of ReLU and ReLU6, however they are written; ``"all"``: those of GELU, SiLU and
            their like too (:data:`nmfdiag.networks.activations.KINDS`), which can be negative.
        logits: Key or index of the logits, if the network returns several tensors; default is to choose them.
        channel_dim: Axis of the channels, counted with the batch axis, of all layers or by their names, where it can't be told.
        samples: Inputs (m, ...) and given labels (m,), to choose the logits by; and where the network's way depends on its inputs,
            those that show the ways.

    Attributes:
        layers: The layers that can be measured, in execution order.
        skipped: Why others can't be.
        traced: Whether the head runs only once a cut.
        remarks: What is to be known about the network: which logits were chosen, what in it is random, what depends on the batch.
        mixes: Why the answer to a sample depends on the others of its batch; empty if it does not.

    Raises:
        NmfdiagError: If the model has no such activation at all, or can't take the input.
    """

    layers: list[ReluLayer]
    skipped: dict[str, str]
    traced: bool
    remarks: list[str]
    mixes: str

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
        if channel_dim is None:  # read where it is set: a __getattr__ of the network's own may answer anything
            channel_dim = vars(model).get("nmfdiag_channel_dim", getattr(type(model), "nmfdiag_channel_dim", None))
        self.model, self.activations = model, activations
        self._kinds = kinds_of(activations)
        self._replay = Replay(model, self._kinds)
        self._layout = torch.contiguous_format
        self._example = _rows(example_input, SIZES[0])
        self.remarks, self.mixes, self.skipped = [], "", {}
        self._split: dict[str, _Parts | None] = {}
        self._known: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self.traced = self._decides = self._repeatable = False
        self._shapes_of_more: Shapes | None = None

        recorder = Watcher(model)
        with evaluating(model, example_input) as snapshot:
            self.remarks += snapshot.remarks
            states = RandomStates()
            output, shapes = self._replay.survey(self._example, recorder)
            drawn = states.drawn_since()
            self._modes = [(module, module.training) for module in model.modules()]
            self._hooked = any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
            self._paths = {id(module): path for path, module in model.named_modules()}
        self._choice = named_logits(output, logits, len(self._example))
        self._outputs = [LogitsChoice(path) for path in candidates(output, len(self._example))]
        calls, axes, unseen, others = self._replay.calls, self._replay.axes, self._replay.unseen, self._replay.others
        self._choice = self._choice or self._agreeing(samples)
        self.remarks += [self._choice.note] if self._choice is not None and self._choice.note else []
        if drawn:
            self.remarks.append(self._randomness())
        self._graph: fx.GraphModule | None = None
        larger = self._larger(example_input if samples is None else samples[0], recorder.trace.decides)
        trace = self._trace(recorder, output, self.pick(output).detach(), calls, bool(drawn), larger)
        ways = [(calls, shapes, axes)]
        if samples is not None and self._decides:
            ways += self._other_ways(samples)
        self._calls, shapes, axes = _merged(ways)
        described = describe(list(zip(self._calls, shapes, axes, strict=True)))
        if not described:
            raise no_layers_error(model, others, activations)
        self._all = {layer.name: layer for layer in described}
        self._axis = {layer.name: axis for layer, axis in zip(described, axes, strict=True)}
        self._nodes = (
            {name: trace.layers.get(call) for name, call in zip(self._all, self._calls, strict=True)} if trace else {}
        )
        self._in_place: set[fx.Node] = set()
        if self._graph is not None:
            self._in_place = {node for node in self._graph.graph.nodes if is_in_place(self._graph, node)}
        self.skipped |= unseen
        self._place_channels(channel_dim, shapes)
        self._drop_unsteady(ways)
        self._drop_without_effect(example_input if samples is None else samples[0])
        self.layers = [layer for layer in self._all.values() if layer.name not in self.skipped]

    @property
    def ambiguous(self) -> bool:
        """Whether it is not known which of several outputs are the logits."""
        return self._choice is None

    def checked_layers(self) -> list[ReluLayer]:
        """Return the layers that can be measured.

        Raises:
            NmfdiagError: If there is none; says why of each.
        """
        if not self.layers:
            reasons = "; ".join(f"{name}: {why}" for name, why in self.skipped.items())
            raise NmfdiagError(f"No layer of {type(self.model).__name__} can be measured ({reasons}).")
        return self.layers

    def layer(self, name: str) -> ReluLayer:
        """Look a layer up.

        Raises:
            NmfdiagError: If there is none of that name, which names the closest one and all there are; or it can't be measured.
        """
        if name in self.skipped:
            raise NmfdiagError(f"Layer {name!r} can't be measured: {self.skipped[name]}.")
        if name not in self._all:
            names = [layer.name for layer in self.layers]
            close = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            what = "ReLU" if self._kinds == RELUS else "activation"
            raise NmfdiagError(f"Unknown layer {name!r}.{hint} The {what} layers are: {', '.join(names)}.")
        return self._all[name]

    def logits(self, inputs: Tensor) -> Tensor:
        """The whole network's output (n, classes).

        Raises:
            NmfdiagError: If the network can't take the inputs.
        """
        with evaluating(self.model, inputs):
            return self.pick(self._replay.run(inputs, lambda *_: None)).detach()

    @plainly()
    def look_for_mixing(self, inputs: Tensor) -> None:
        """Set :attr:`mixes` if the answers to a few of these samples (n, ...) depend on one another.

        Raises:
            NmfdiagError: If the network can't take them.
        """
        spread = inputs[:: max(1, len(inputs) // WAYS)][:WAYS]
        self._notice_mixing(spread, self.logits(spread))

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
        axis, call = self._axis[self.layer(layer).name], self._call(layer)
        expected, shapes = self._run_once(inputs)
        if call not in shapes:
            raise not_reached(layer, self._kinds)
        by_size = not self._decides and inputs.shape[1:] == self._example.shape[1:]
        if otherwise := self._passages.otherwise(call, len(inputs), shapes, by_size):
            raise NmfdiagError(
                f"Layer {layer!r} can't be measured on this batch: {otherwise}. Accepted are batches that the network runs as a whole; "
                "it may have a setting for the size of its pieces."
            )
        parts = self._parts(layer, inputs)
        if parts is not None:
            try:
                with self._running_parts(inputs):
                    activation, *carried = parts.head.forward(self._copy(inputs))
                cut = Cut(layer, apart(activation, axis), tuple(carried), inputs.detach().clone(), expected)
                if activation.shape == shapes.get(call) and self._reproduced(cut):
                    return cut
            except (OtherWay, NmfdiagError):  # the network's own code has the last word
                pass
        with evaluating(self.model, inputs):
            activation, _ = self._replay.capture(inputs, call)
        kept = inputs.detach().clone()
        cut = Cut(layer, apart(activation, axis), (), kept, expected, replayed=True)
        if not self._reproduced(cut):
            cut = replace(cut, logits=self.logits(inputs))  # what was remembered may be of other weights
        if not self._reproduced(cut):
            raise NmfdiagError(
                f"Layer {layer!r} can't be measured on this batch: its own activation, put back, does not give the network's logits. "
                "Something else in the network changes from one run to the next."
            )
        return cut

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
        activation = together(activation, self._axis[cut.layer])
        if not cut.replayed:
            parts = self._parts(cut.layer, cut.inputs)
            assert parts is not None
            activation = self._laid_out(activation.detach(), self.layer(cut.layer).channel_dim)
            try:
                with self._running_parts(cut.inputs):
                    values: tuple[Any, ...] = (activation, *cut.carried)
                    if parts.tail_writes:
                        values = copy.deepcopy(values)  # unlike clones, copies that share memory where these do
                    return parts.tail.forward(*values).detach()
            except (OtherWay, NmfdiagError):  # the layer decides which way the network takes, or how much goes there
                pass
        try:
            with evaluating(self.model, cut.inputs):
                return self.pick(self._replay.substitute(cut.inputs, self._call(cut.layer), activation)).detach()
        except NmfdiagError as error:
            raise NmfdiagError(
                f"Layer {cut.layer!r} can't be measured on this batch: with another activation in its place, "
                f"{type(self.model).__name__} fails: {error.__cause__ or error}"
            ) from error

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
        parts = None if cut.replayed else self._parts(cut.layer, cut.inputs)
        if parts is not None and parts.factored is not None and pays(rows, channels, len(H)):
            compact = self._laid_out(unfold(W.contiguous(), shape, channel_dim).to(cut.activation.dtype), channel_dim)
            try:
                with self._running_parts(cut.inputs):
                    return parts.factored.forward(compact, H, *cut.carried).detach()
            except (OtherWay, NmfdiagError):
                pass
        return self.resume(cut, unfold(product(W, H), shape, channel_dim).to(cut.activation.dtype))

    def pieces(self, cut: Cut, max_bytes: int = PIECE_BYTES) -> list[Cut]:
        """Divide a cut's samples into batches whose activation stays small, so that the tail's memory does.

        Args:
            cut: What :meth:`cut` returned.
            max_bytes: Size of a batch's activation at most (one sample at least).

        Returns:
            Views of the cut, in order; the cut alone where it is small or its samples can't be told apart.
        """
        n = len(cut.inputs)
        size = max(1, max_bytes * n // max(1, cut.activation.nbytes))
        rows = [cut.activation, *(value for value in cut.carried if isinstance(value, Tensor))]
        others = [value for value in cut.carried if not isinstance(value, Tensor)]
        if size >= n or self.mixes or not all(value.shape[:1] == (n,) for value in rows) or any(v != n for v in others):
            return [cut]
        try:
            alone, together = (self.resume(few, few.activation) for few in (cut.part(0, 1), cut.part(0, 2)))
        except NmfdiagError:  # statistics of a batch of one
            return [cut]
        if len(alone) != 1 or len(together) != 2 or not same_logits(alone, together[:1]):
            return [cut]
        return [cut.part(start, min(start + size, n)) for start in range(0, n, size)]

    def first_two(self, cut: Cut) -> Cut | None:
        """The first two of more samples alone, as a cut; None where they can't be told apart from the others.

        Args:
            cut: What :meth:`cut` returned.
        """
        if len(cut.inputs) < 3 or len(cut.activation) != len(cut.inputs):
            return None
        two = cut.part(0, 2)  # of another axis, where that happens to be as long as the samples' is
        try:
            logits = self.resume(two, two.activation)
        except NmfdiagError:
            return None
        return two if same_logits(logits, cut.logits[:2]) else None

    def pick(self, output: Any) -> Tensor:
        """The logits of an output; where it is not known which they are, everything that may be, side by side."""
        return (
            torch.cat([each.take(output) for each in self._outputs], 1)
            if self._choice is None
            else self._choice.take(output)
        )

    def _agreeing(self, samples: tuple[Tensor, Tensor] | None) -> LogitsChoice | None:
        """Choose among several outputs by their agreement with the labels."""
        if samples is None:
            return None
        inputs, labels = (part[:: max(1, len(part) // AGREEING)][:AGREEING] for part in samples)
        with evaluating(self.model, inputs):
            output = self._replay.run(inputs, lambda *_: None)
        return agreeing_logits(candidates(output, len(inputs)), torch.as_tensor(labels))

    def _randomness(self) -> str:
        with evaluating(self.model, self._example):
            sources = self._replay.random_calls(self._example)
        places = ", ".join(sources) or "its own code"
        return (
            f"The network draws random numbers in evaluation ({places}): its answers to the same samples differ from run to run. Every "
            "figure here is of one fixed draw; if that is not meant, let it depend on self.training."
        )

    def _trace(
        self, recorder: Watcher, output: Any, expected: Tensor, calls: list[Call], random: bool, larger: Tensor
    ) -> Trace | None:
        """Make the graph, if the network can be written down and the graph gives the logits expected."""
        self._decides = recorder.trace.decides
        second = Watcher(self.model)
        try:
            with evaluating(self.model, larger):
                other, self._shapes_of_more = self._replay.shapes(larger, second)
                more = self.pick(other)
            steady = self._replay.calls == calls
        except NmfdiagError:  # it takes batches of one size
            return None
        if computes_out_of_sight(recorder, second):
            self.remarks.append(REMARK)
        with evaluating(self.model, self._example):
            again = self.pick(self._replay.run(self._example, lambda *_: None))
        steady_answers = random or same_logits(again, expected)
        if not steady_answers:
            self.remarks.append(
                "The network's answers to the same samples change from one run to the next, by something that is neither its weights "
                "nor a random number of torch, NumPy or Python: no figure can be repeated exactly."
            )
        mixed = len(more) == SIZES[1] and not same_logits(more[: SIZES[0]], expected)
        alike = torch.equal(self._example[0], self._example[1])  # batches of them show no difference
        self._repeatable = steady_answers and not random
        if self._repeatable and (mixed or (alike and self._batch_norm())):
            self._say_mixing()
        if random or not steady:
            return None
        try:
            trace = generalised(recorder.finish(self.pick(output)), second.finish(self.pick(other)), SIZES)
            graph = trace.module()
        except Exception:  # what the network's code does is not in our hands: anything may come out of it
            return None
        # An activation in channels_last memory is the activation matrix. Some networks can't take it (``view``).
        is_conv = self._example.ndim == 4 and any(isinstance(module, nn.Conv2d) for module in self.model.modules())
        for layout in (torch.channels_last, torch.contiguous_format) if is_conv else (torch.contiguous_format,):
            self._layout = layout
            if self._runs(graph, expected):
                self._graph, self.traced = graph, True
                return trace
        return None

    def _larger(self, samples: Tensor, decides: bool) -> Tensor:
        """The example and one sample more: the largest there is, or the first again where another might go another way."""
        if decides or samples.shape[1:] != self._example.shape[1:]:
            return _rows(self._example, SIZES[1])
        more = samples[:: max(1, len(samples) // WAYS)][:WAYS]
        largest = int(more.to(self._example).abs().flatten(1).amax(1).argmax()) if _ordered(more) else 0
        return torch.cat([self._example, more[largest][None].to(self._example)])

    def _say_mixing(self) -> None:
        self.mixes = "The answer to a sample depends on the others of its batch" + self._batch_norm()
        self.remarks.append(
            f"{self.mixes}: batches of a single class are not what it was trained on. Only mixtures are measured."
        )

    def _notice_mixing(self, inputs: Tensor, logits: Tensor) -> None:
        """Hold the answers to the first samples of a batch against those to these alone."""
        few = inputs[: SIZES[0]]
        if self.mixes or not self._repeatable or len(few) == len(inputs) or len(logits) != len(inputs):
            return
        try:
            if same_logits(self.logits(few), logits[: SIZES[0]]):
                return
            # Batches of other sizes are rounded otherwise: those of one size are not.
            repeated = self.logits(_rows(few, len(inputs)))[: SIZES[0]]
        except NmfdiagError:  # it takes batches of some sizes only
            return
        if not same_logits(repeated, logits[: SIZES[0]]):
            self._say_mixing()

    def _runs(self, graph: fx.GraphModule, expected: Tensor) -> bool:
        try:
            with self._running_parts(self._example):
                return same_logits(graph.forward(self._copy(self._example)), expected)
        except Exception:  # as in tracing
            return False

    def _batch_norm(self) -> str:
        """Which module takes the statistics of its batch, in brackets."""
        for module, training in self._modes:
            if isinstance(module, _BatchNorm) and (module.running_mean is None or training):
                kept = "keeps no running statistics" if module.running_mean is None else "stays in training mode"
                return f" ({self._paths[id(module)] or 'the network'}, {type(module).__name__}, {kept})"
        return ""

    def _other_ways(self, samples: tuple[Tensor, Tensor]) -> list[tuple[list[Call], list[Tensor], list[Axis]]]:
        """The calls that batches of the classes make, and before them a mixture, which makes most of them, in order."""
        inputs, labels = samples[0], torch.as_tensor(samples[1])
        members = [(labels == label).nonzero().flatten()[:WAYS] for label in labels.unique()[:WAYS]]
        ways = []
        for rows in (torch.cat([few[: SIZES[0]] for few in members]), *members):
            batch = inputs[rows.to(inputs.device)]
            with evaluating(self.model, batch):
                _, shapes = self._replay.survey(batch)
            ways.append((self._replay.calls, shapes, self._replay.axes))
        return ways

    def _place_channels(self, channel_dim: int | Mapping[str, int] | None, shapes: Sequence[Tensor]) -> None:
        """Take the axis of the channels that is asked for; leave layers out where it is not known."""
        given = channel_dim if isinstance(channel_dim, Mapping) else {}
        if unknown := [name for name in given if name not in self._all]:
            raise NmfdiagError(
                f"channel_dim names an unknown layer {unknown[0]!r}: the layers are {', '.join(self._all)}."
            )
        for layer, shape in zip(list(self._all.values()), shapes, strict=True):
            dim = given.get(layer.name, channel_dim if isinstance(channel_dim, int) else None)
            if dim is not None:
                if not -shape.ndim <= dim < shape.ndim or dim % shape.ndim == 0:
                    raise NmfdiagError(
                        f"channel_dim of layer {layer.name!r} is {dim}: accepted are 1 to {shape.ndim - 1} of shape (n, "
                        f"{', '.join(map(str, shape.shape[1:]))})."
                    )
                dim %= shape.ndim
                self._axis[layer.name] = Axis(dim)
                self._all[layer.name] = replace(
                    layer, channel_dim=dim, width=shape.shape[dim], output_shape=tuple(shape.shape[1:])
                )
            elif self._axis[layer.name].dim is None:
                cure = " (channel_dim= says it)" if shape.ndim > 1 else ""
                self.skipped[layer.name] = f"{self._axis[layer.name].reason}{cure}"

    def _drop_unsteady(self, ways: Sequence[tuple[list[Call], list[Tensor], list[Axis]]]) -> None:
        """Leave out calls that are not one layer, whatever the batch."""
        runs = [
            *(calls for calls, _, _ in ways),
            *([] if self._shapes_of_more is None else [list(self._shapes_of_more)]),
        ]
        calls, shapes, _ = ways[0]
        small = {call: shape.shape for call, shape in zip(calls, shapes, strict=True)}
        self._passages = Passages(runs, small, self._shapes_of_more, SIZES)
        for name, call in zip(self._all, self._calls, strict=True):
            if reason := self._passages.unsteady(call, self._axis[name]):
                self.skipped.setdefault(name, reason)

    def _drop_without_effect(self, samples: Tensor) -> None:
        """Leave out layers that the logits do not depend on: those from which nothing leads there, if a change does not either."""
        reaching = _reaching(self._graph.graph) if self._graph is not None else set()
        more = samples[:: max(1, len(samples) // AGREEING)][:AGREEING]
        for name in self._all:
            if name in self.skipped or self._nodes.get(name) in reaching:
                continue
            try:
                if self._moved(name, self._example) is None and self._moved(name, more) is None:
                    self.skipped[name] = "the logits do not depend on it"
            except NmfdiagError as error:  # such as a gradient that the network takes of it
                self.skipped[name] = f"nothing else can be put in its place: {str(error).rstrip('.')}"

    def _moved(self, layer: str, inputs: Tensor) -> tuple[Tensor, Tensor] | None:
        """Another activation, and the logits that the network's own code makes of it; None if they are not moved at all."""
        call = self._call(layer)
        with evaluating(self.model, inputs):
            try:
                activation, output = self._replay.capture(inputs, call)
            except NotReached:
                return torch.empty(0), torch.empty(0)
            plain = self.pick(output).detach().clone()
        generator = torch.Generator().manual_seed(0)
        size = activation.abs().mean() + float(not activation.any())
        for scale in PERTURBATIONS:
            noise, chosen = torch.rand(2, *activation.shape, generator=generator).to(activation)
            other = activation * noise + scale * size * noise.flip(0) * (chosen < 0.5)
            with evaluating(self.model, inputs):
                logits = self.pick(self._replay.substitute(inputs, call, other)).detach().clone()
            if not torch.equal(logits, plain):
                return other, logits
        return None

    def _call(self, layer: str) -> Call:
        return self._calls[self._all[layer].index]

    def _running_parts(self, inputs: Tensor) -> AbstractContextManager[object]:
        """Run parts of the graph. Hooks of the network's owner run, too: what they change is put back."""
        return evaluating(self.model, inputs) if self._hooked else in_modes(self._modes, self.model, inputs)

    def _run_once(self, inputs: Tensor) -> tuple[Tensor, Shapes]:
        """The network's own logits of a batch, and the shapes of its layers; they are remembered as long as the batch is."""
        version, known = _version(inputs, self.model), self._known.get(inputs)
        if known is None or known[0] != version:
            with evaluating(self.model, inputs):
                output, shapes = self._replay.shapes(inputs)
                known = version, (self.pick(output).detach(), shapes)
            self._known[inputs] = known
            self._notice_mixing(inputs, known[1][0])
        return known[1]

    def _reproduced(self, cut: Cut) -> bool:
        got = torch.cat([self.resume(piece, piece.activation) for piece in self.pieces(cut)])
        return same_logits(got, cut.logits)

    def _parts(self, layer: str, inputs: Tensor | None = None) -> "_Parts | None":
        """Both halves of the graph at a layer; None where the graph does not do there what the network does.

        Raises:
            NmfdiagError: If the logits do not depend on the layer.
        """
        if layer not in self._split:
            self._split[layer] = self._checked_parts(layer, self._example if inputs is None else inputs)
        return self._split[layer]

    def _checked_parts(self, layer: str, inputs: Tensor) -> "_Parts | None":
        few = inputs[: SIZES[0]]
        moved = self._moved(layer, few)
        if moved is None and len(inputs) > len(few):  # an expert may get none of the first
            few = inputs
            moved = self._moved(layer, few)
        if moved is None:
            raise NmfdiagError(f"Layer {layer!r} can't be measured: the logits do not depend on it, on these samples.")
        node = self._nodes.get(layer)
        if self._graph is None or node is None or not len(moved[0]):
            return None
        parts = _split(self._graph, node, self._in_place, self.layer(layer), whole=self._axis[layer].alone)
        try:
            with self._running_parts(few):
                activation, *carried = parts.head.forward(self._copy(few))
                other = self._laid_out(moved[0], self.layer(layer).channel_dim)
                logits = parts.tail.forward(*copy.deepcopy((other, *carried)))
        except (OtherWay, NmfdiagError):
            return None
        if activation.shape != moved[0].shape or not same_logits(logits, moved[1]):
            return None
        return parts if self._factors_agree(parts, layer, moved[0], carried, few) else replace(parts, factored=None)

    def _factors_agree(self, parts: "_Parts", layer: str, like: Tensor, carried: list[Any], inputs: Tensor) -> bool:
        """Whether the tail on factors gives what the tail gives on their product."""
        if parts.factored is None:
            return True
        dim, generator = self.layer(layer).channel_dim, torch.Generator().manual_seed(0)
        size = float(like.abs().mean()) + 1e-6
        W = torch.rand(like.numel() // like.shape[dim], 2, generator=generator).to(like) * size
        H = torch.rand(2, like.shape[dim], generator=generator).to(like)
        whole, compact = (self._laid_out(unfold(value, like.shape, dim), dim) for value in (W @ H, W))
        try:
            with self._running_parts(inputs):
                expected = parts.tail.forward(*copy.deepcopy((whole, *carried)))
                return same_logits(parts.factored.forward(compact, H, *copy.deepcopy(carried)), expected)
        except (OtherWay, NmfdiagError):  # another way through the network, or none: factors show nothing of this one
            return False

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


def _split(traced: fx.GraphModule, at: fx.Node, in_place: set[fx.Node], layer: ReluLayer, whole: bool) -> _Parts:
    head, tail = cut_graph(traced, at, in_place)
    writes = writes_outside(traced, halves(traced, at)[1], in_place)
    merge_affine(head)
    merge_affine(tail)
    factored = factored_tail(tail, 1 + len(layer.output_shape), layer.channel_dim) if whole and not writes else None
    return _Parts(head, tail, writes, factored)


def _rows(inputs: Tensor, n: int) -> Tensor:
    """The first n samples, again from the first where there are not as many."""
    return inputs[torch.arange(n) % len(inputs)] if len(inputs) else inputs


def _ordered(samples: Tensor) -> bool:
    """Whether there is a largest of their values."""
    return samples.numel() > 0 and not samples.is_complex() and samples.dtype is not torch.bool


def _merged(ways: Sequence[tuple[list[Call], list[Tensor], list[Axis]]]) -> tuple[list[Call], list[Tensor], list[Axis]]:
    """The calls of several runs in one order: a call that only some make stands after the one before it there."""
    order: list[Call] = []
    seen: dict[Call, tuple[Tensor, Axis]] = {}
    for calls, shapes, axes in ways:
        place = 0
        for call, shape, axis in zip(calls, shapes, axes, strict=True):
            if call in seen:
                place = order.index(call) + 1
                continue
            seen[call] = shape, axis
            order.insert(place, call)
            place += 1
    return order, [seen[call][0] for call in order], [seen[call][1] for call in order]


def _reaching(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that the output is made of."""
    reaching: set[fx.Node] = set()
    waiting = [node for node in graph.nodes if node.op == "output"]
    while waiting:
        node = waiting.pop()
        for source in node.all_input_nodes:
            if source not in reaching:
                reaching.add(source)
                waiting.append(source)
    return reaching


def _version(inputs: Tensor, model: nn.Module) -> int:
    """What changes where a batch or the parameters are written to; never the same of what does not tell, as sparse ones."""
    tensors = (inputs, *model.parameters(), *model.buffers())
    if any(value.layout is not torch.strided for value in tensors):
        return next(_versions)
    return hash(
        tuple((id(value), value.data_ptr(), None if value.is_inference() else value._version) for value in tensors)
    )


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
        activations: ``"relu"``: ReLU and ReLU6, the paper's, however they are written; ``"all"``: GELU, SiLU and their like too.
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
