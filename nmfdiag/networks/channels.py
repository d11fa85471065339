"""Follow the channels of a network's maps from the operation that makes them to the activation function that reads them.

A convolution writes its channels to axis 1, a linear map to the last axis. From there each tensor carries *marks*, a tensor of its
shape in which every element holds the number of the channel that it belongs to. What moves elements (view, permute, crop, pad,
cat) and what works channel by channel (pooling, interpolation, a mean over places) does the same to the marks: equal numbers go in,
equal numbers come out. What works element by element or normalises leaves them where they are. Of any other operation it is measured
which outputs move when one channel of its input moves, or, for a product with a matrix of weights, one row or column of that. The
axis along which the marks differ, and along no other, is that of the channels; where there is none, it is not known, and not guessed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from nmfdiag.networks.activations import KINDS
from nmfdiag.networks.channel_marks import (
    TOLERANCE,
    Axis,
    axis_of_marks,
    broadcast_marks,
    cleaned_marks,
    compact_marks,
    distinct_marks,
    fresh_marks,
    single_moving_axis,
)
from nmfdiag.networks.graph_cut import writes_in_place

CONVOLUTIONS = {f"conv{transposed}{n}d": n for transposed in ("", "_transpose") for n in (1, 2, 3)}
"""Functions that write channels before their places, and their number of axes of places."""
CONVOLUTION_NAMES = frozenset(CONVOLUTIONS)
LAST_AXIS = frozenset({
    "linear", "bilinear", "embedding", "embedding_bag", "multi_head_attention_forward", "lstm", "gru", "rnn_tanh", "rnn_relu",
    "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell",
})  # fmt: skip
"""Functions that write channels to the last axis."""
NORMS = frozenset({
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm", "normalize", "softmax",
    "log_softmax", "softmin", "dropout", "dropout_", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "stochastic_depth",
    "dropout1d", "dropout2d", "dropout3d", "rrelu",
})  # fmt: skip
"""Functions that mix or draw, and leave every axis where it is."""
_ARITHMETIC = {
    f"{before}{word}{after}" for word in ("add", "sub", "mul", "div", "truediv", "pow")
    for before, after in (("", ""), ("", "_"), ("__", "__"), ("__i", "__"), ("__r", "__"), ("r", ""))
} | {"multiply", "divide", "true_divide", "subtract", "addcmul", "addcdiv", "lerp", "maximum", "minimum", "fmax", "fmin"}  # fmt: skip
_ACTIVATIONS = {function.__name__ for kind in KINDS.values() for function in kind.functions} | {
    "hardtanh", "hardtanh_", "tanh", "tanh_", "sigmoid", "sigmoid_", "hardsigmoid", "logsigmoid", "softsign", "tanhshrink",
    "softshrink", "hardshrink", "threshold", "threshold_", "clamp", "clamp_", "clamp_min", "clamp_min_", "clamp_max", "clamp_max_",
    "clip", "clip_",
}  # fmt: skip
ELEMENTWISE = frozenset({
    "clone", "contiguous", "to", "float", "double", "half", "bfloat16", "type", "type_as", "detach", "detach_", "cpu", "cuda", "abs",
    "exp", "log", "log1p", "sqrt", "rsqrt", "square", "neg", "sin", "cos", "erf", "reciprocal", "sign", "round", "floor", "ceil",
    "where", "masked_fill", "masked_fill_", "gt", "ge", "lt", "le", "eq", "ne", "__gt__", "__ge__", "__lt__", "__le__",
    "logical_and", "logical_not", "requires_grad_", *_ARITHMETIC, *_ACTIVATIONS,
})  # fmt: skip
"""Functions and methods that work element by element, on tensors that broadcast."""
POOLS = frozenset(
    f"{adaptive}{kind}_pool{n}d" for adaptive in ("", "adaptive_") for kind in ("max", "avg") for n in (1, 2, 3)
)
KEEPS_NAMES = NORMS | ELEMENTWISE | POOLS | {"chunk", "split", "tensor_split", "cat"}
"""Functions and methods that leave every axis where it is."""
ROUNDING = 1e-5
"""Share of the largest output that a change must pass."""
PROBES = 4
"""Channels that are moved to see where they go."""


class ChannelTracer:
    """Marks of the channels of every tensor that a run makes.

    Args:
        inputs: What the network is run on.
    """

    def __init__(self, inputs: Tensor):
        self._marks: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._blame: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._data: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._data[inputs] = True

    def axis(self, tensor: Tensor) -> Axis:
        """Read off where the channels of a tensor are."""
        if tensor.ndim < 2:
            return Axis(reason="it has one number a sample: no channels")
        marks = self._marks.get(tensor)
        if marks is None:
            if tensor.ndim == 2:  # a row a sample: what is not the samples' axis is the channels'
                return Axis(1)
            operation = self._blame.get(tensor, "the network's inputs")
            return Axis(
                reason=f"which axis of {tuple(tensor.shape)} holds its channels can't be told after {operation}"
            )
        return axis_of_marks(marks)

    def keep(self, source: Tensor, output: Tensor) -> None:
        """Mark an output of the same shape as its source is marked."""
        if source in self._data:
            self._data[output] = True
        if source in self._marks:
            self._marks[output] = self._marks[source]

    def follow(
        self, function: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any
    ) -> None:
        """Mark what an operation has made.

        Args:
            function: What was called.
            name: Its name.
            args: Its arguments, as they were before the call.
            kwargs: Those by name.
            output: What it returned.
        """
        inputs = tensors_in((*args, *kwargs.values()))
        if name in ("__setitem__", "copy_"):
            self._write(args, inputs)
            return
        made = [value for value in tensors_in((output,)) if value.ndim and value.numel()]
        data = [value for value in inputs if value in self._data]
        if not data:
            return
        for value in made:
            self._data[value] = True
        marks = self._marks_after(function, name, args, kwargs, output, made, inputs)
        for value, found in zip(made, marks, strict=True):
            if found is not None:
                self._marks[value] = compact_marks(found)
            else:
                self._marks.pop(value, None)
                sources = [
                    self._blame[source] for source in data if source in self._blame and source not in self._marks
                ]
                self._blame[value] = sources[0] if sources else name

    def _write(self, args: Sequence[Any], inputs: list[Tensor]) -> None:
        """Mark a tensor that is written into as what is written."""
        target, source = args[0], args[-1]
        if not any(value in self._data for value in inputs):
            return
        self._data[target] = True
        if not isinstance(source, Tensor) or source not in self._marks:
            return
        marks = self._marks[target].clone() if target in self._marks else torch.zeros_like(target, dtype=torch.float64)
        if len(args) == 3:
            marks[args[1]] = self._marks[source]
        else:
            marks.copy_(self._marks[source])
        self._marks[target] = compact_marks(marks)

    def _marks_after(
        self, function: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any,
        made: list[Tensor], inputs: list[Tensor],
    ) -> list[Tensor | None]:  # fmt: skip
        if name in CONVOLUTIONS:
            return [fresh_marks(value, value.ndim - CONVOLUTIONS[name] - 1) for value in made]
        if name in LAST_AXIS:
            return [fresh_marks(value, value.ndim - 1) for value in made]
        known = [value for value in inputs if value in self._marks]
        if name in NORMS:
            source = known[0] if known else None
            if source is None and name == "layer_norm" and _normalises_last(args, kwargs):
                return [fresh_marks(value, value.ndim - 1) for value in made]
            return [
                self._marks[source] if source is not None and source.shape == value.shape else None for value in made
            ]
        if name in ELEMENTWISE:
            return [broadcast_marks([self._marks[source] for source in known], value) for value in made]
        if name in ("cat", "concat", "concatenate") and known:
            dim = (kwargs.get("dim", args[1] if len(args) > 1 else 0)) % made[0].ndim
            if {axis_of_marks(self._marks[source]) for source in known} == {
                Axis(dim)
            }:  # the same channels twice are other channels
                return [fresh_marks(made[0], dim)]
        with torch.random.fork_rng(devices=[]):  # what draws random numbers is run again
            return self._measured_marks(function, name, args, kwargs, output, made, inputs, known)

    def _measured_marks(
        self, function: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any,
        made: list[Tensor], inputs: list[Tensor], known: list[Tensor],
    ) -> list[Tensor | None]:  # fmt: skip
        """Marks by running the operation again, on the marks or with something changed."""
        if known:
            moved = self._moved(function, name, args, kwargs, made)
            if moved is not None:
                return moved
        rerun = _Rerun(function, args, kwargs, output)
        for source in known:
            if (axes := rerun.axes_of_marks(source, self._marks[source])) is not None:
                return [
                    None if axis is None else fresh_marks(value, axis) for value, axis in zip(made, axes, strict=True)
                ]
        for weight in inputs:
            if weight not in self._data and _is_matrix(weight):
                axes = rerun.axes_of_weight(weight)
                if axes is not None:
                    return [
                        None if axis is None else fresh_marks(value, axis)
                        for value, axis in zip(made, axes, strict=True)
                    ]
        return [None] * len(made)

    def _moved(
        self,
        function: Callable[..., Any],
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        made: list[Tensor],
    ) -> list[Tensor | None] | None:
        """The operation done to the marks, if marks come out of it."""
        replace: dict[int, Tensor] = {}
        known: list[Tensor] = []
        for value in tensors_in((*args, *kwargs.values())):
            marks = self._marks.get(value)
            if marks is not None:
                replace[id(value)] = marks.clone() if writes_in_place(name) else marks
                known.append(distinct_marks(marks))
            elif value in self._data and value.is_floating_point():
                replace[id(value)] = torch.zeros_like(value, dtype=torch.float64)
        try:
            results = tensors_in((function(*_substituted(args, replace), **_substituted(dict(kwargs), replace)),))
        except Exception:  # an operation that does not take numbers of this type does not move elements
            return None
        results = [value for value in results if value.ndim and value.numel()]
        if [value.shape for value in results] != [value.shape for value in made]:
            return None
        numbers = torch.cat(known).unique()
        cleaned = [cleaned_marks(value, numbers) for value in results]
        return cleaned if any(value is not None for value in cleaned) else None


class _Rerun:
    """An operation, run again with one of its tensors changed."""

    def __init__(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], output: Any):
        self.function, self.args, self.kwargs = function, args, kwargs
        self.before = [value for value in tensors_in((output,)) if value.ndim and value.numel()]

    def axes_of_marks(self, source: Tensor, marks: Tensor) -> list[int | None] | None:
        """For each output the only axis on which every channel of a source keeps to a place of its own."""
        if not source.is_floating_point() or source.layout is not torch.strided:
            return None
        numbers = distinct_marks(marks)
        if len(numbers) < 2:
            return None
        chosen = numbers[torch.linspace(0, len(numbers) - 1, PROBES).long().unique()]
        return self._axes(source, [(marks - number).abs() < TOLERANCE for number in chosen])

    def axes_of_weight(self, weight: Tensor) -> list[int | None] | None:
        """For each output the only axis that an axis of a matrix of weights becomes."""
        candidates: list[list[int | None]] = []
        for dim, size in enumerate(weight.shape):
            if size < 2:
                continue
            masks = []
            for index in torch.linspace(0, size - 1, PROBES).long().unique().tolist():
                mask = torch.zeros(weight.shape, dtype=torch.bool, device=weight.device)
                mask.select(dim, index).fill_(True)
                masks.append(mask)
            if (axes := self._axes(weight, masks)) is not None:
                candidates.append(axes)
        return candidates[0] if len(candidates) == 1 else None

    def _axes(self, source: Tensor, masks: Iterable[Tensor]) -> list[int | None] | None:
        places: list[list[list[Tensor]]] = [[[] for _ in range(value.ndim)] for value in self.before]
        for mask in masks:
            changed = self._changed(source, mask)
            if changed is None:
                return None
            for value, by_axis in zip(changed, places, strict=True):
                if bool(value.any()):
                    for dim, seen in enumerate(by_axis):
                        others = [other for other in range(value.ndim) if other != dim]
                        seen.append(value.any(dim=others).nonzero().flatten() if others else value.nonzero().flatten())
        axes = [single_moving_axis(seen) for seen in places]
        return axes if any(axis is not None for axis in axes) else None

    def _changed(self, source: Tensor, mask: Tensor) -> list[Tensor] | None:
        """Where the outputs move when the masked elements of a source become very large, or very small."""
        size = float(source.detach().abs().max()) * 2 + 1
        changed: list[Tensor] = [
            torch.zeros(value.shape, dtype=torch.bool, device=value.device) for value in self.before
        ]
        for sign in (1.0, -1.0):
            noise = torch.rand(source.shape, generator=torch.Generator().manual_seed(0)).to(source)
            moved = source.detach().clone()  # laid out alike: products of matrices round as they lie in memory
            moved[mask] = (sign * size * (1 + noise))[mask]
            try:
                output = self.function(
                    *_substituted(self.args, {id(source): moved}),
                    **_substituted(dict(self.kwargs), {id(source): moved}),
                )
            except Exception:  # an operation that can't be run again tells nothing
                return None
            after = [value for value in tensors_in((output,)) if value.ndim and value.numel()]
            if [value.shape for value in after] != [value.shape for value in self.before]:
                return None
            for seen, now, was in zip(changed, after, self.before, strict=True):
                seen |= _differ(now, was)
        return changed


def _is_matrix(weight: Tensor) -> bool:
    """Whether rows or columns of a tensor can be changed: not of one that keeps only some of its places."""
    return weight.is_floating_point() and weight.ndim > 1 and weight.layout is torch.strided


def _differ(now: Tensor, was: Tensor) -> Tensor:
    """Where two outputs differ by more than rounding."""
    if not now.is_floating_point():
        return now != was
    finite = was[was.isfinite()]
    rounding = ROUNDING * float(finite.abs().max()) if finite.numel() else 0.0
    return ~((now - was).abs() <= rounding) & ~((now == was) | (now.isnan() & was.isnan()))


def function_name(target: Any) -> str:
    """Name of a function, or of a method given by its name."""
    return target if isinstance(target, str) else getattr(target, "__name__", "").partition(".")[0]


def tensors_in(values: Any) -> list[Tensor]:
    """The tensors among arguments, and in lists, tuples and dictionaries of them."""
    return list(_tensors_in(values))


def _tensors_in(values: Any) -> Iterator[Tensor]:
    for value in values.values() if isinstance(values, dict) else values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple | dict):
            yield from _tensors_in(value)


def _substituted(value: Any, replace: Mapping[int, Tensor]) -> Any:
    """Arguments with some of their tensors replaced, and the others copied: an operation may write into them."""
    if isinstance(value, Tensor):
        return replace[id(value)] if id(value) in replace else value.detach().clone()
    if isinstance(value, dict):
        return {key: _substituted(entry, replace) for key, entry in value.items()}
    if isinstance(value, list | tuple) and any(
        isinstance(entry, Tensor | list | tuple | dict | slice) for entry in value
    ):
        entries = [_substituted(entry, replace) for entry in value]
        return entries if isinstance(value, list) else tuple(entries)
    return value


def _normalises_last(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    shape = kwargs.get("normalized_shape", args[1] if len(args) > 1 else ())
    return isinstance(shape, Sequence) and len(shape) == 1
