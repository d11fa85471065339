"""Follow the channels of a network's maps from the operation that makes them to the activation function.

A convolution writes its channels to axis 1, a linear map to the last axis. From there each tensor carries *marks*, a tensor of its
shape in which every element holds the number of the channel that it belongs to. Operations that move elements (view, permute, crop,
pad, cat) or work by channel (pooling, interpolation, a mean over places) do the same to the marks. Element-wise operations and norms
leave them in place. For any other operation, a channel of its input (or a row or column of its weight matrix) is changed to see which
outputs follow. The only axis along which the marks differ is that of the channels; if there is no such axis, it is unknown.
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

CONVOLUTION_AXES = {f"conv{transposed}{n}d": n for transposed in ("", "_transpose") for n in (1, 2, 3)}
"""Functions that put channels before places, with their number of axes of places."""
CONVOLUTION_NAMES = frozenset(CONVOLUTION_AXES)
LAST_AXIS = frozenset({
    "linear", "bilinear", "embedding", "embedding_bag", "multi_head_attention_forward", "lstm", "gru", "rnn_tanh", "rnn_relu",
    "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell",
})  # fmt: skip
"""Functions that put channels on the last axis."""
NORMS = frozenset({
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm", "normalize", "softmax",
    "log_softmax", "softmin", "dropout", "dropout_", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "stochastic_depth",
    "dropout1d", "dropout2d", "dropout3d", "rrelu",
})  # fmt: skip
"""Functions that normalise or draw random numbers, and leave every axis in place."""
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
"""Element-wise functions and methods, on tensors that broadcast."""
POOLS = frozenset(
    f"{adaptive}{kind}_pool{n}d" for adaptive in ("", "adaptive_") for kind in ("max", "avg") for n in (1, 2, 3)
)
KEEPS_NAMES = NORMS | ELEMENTWISE | POOLS | {"chunk", "split", "tensor_split", "cat"}
"""Functions and methods that leave every axis in place."""
ROUNDING = 1e-5
"""Smallest change that counts, as a share of the largest output."""
PROBES = 4
"""Number of channels that are changed to see which outputs follow."""


class ChannelTracer:
    """Keeps the marks of every tensor in a run.

    Args:
        inputs: The network's inputs.
    """

    def __init__(self, inputs: Tensor):
        self._marks: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._blame: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._data: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._data[inputs] = True

    def axis(self, tensor: Tensor) -> Axis:
        """Return the place of the channels in a tensor."""
        if tensor.ndim < 2:
            return Axis(reason="it has one number a sample: no channels")
        marks = self._marks.get(tensor)
        if marks is None:
            if tensor.ndim == 2:  # one axis is the samples', so the other is the channels'
                return Axis(1)
            operation = self._blame.get(tensor, "the network's inputs")
            return Axis(
                reason=f"which axis of {tuple(tensor.shape)} holds its channels can't be told after {operation}"
            )
        return axis_of_marks(marks)

    def keep(self, source: Tensor, output: Tensor) -> None:
        """Give an output of the same shape its source's marks."""
        if source in self._data:
            self._data[output] = True
        if source in self._marks:
            self._marks[output] = self._marks[source]

    def follow(
        self, function: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any
    ) -> None:
        """Mark the results of an operation.

        Args:
            function: The function that was called.
            name: Its name.
            args: Its positional arguments, as they were before the call.
            kwargs: Its keyword arguments.
            output: Its return value.
        """
        inputs = tensors_in((*args, *kwargs.values()))
        if name in ("__setitem__", "copy_"):
            self._write(args, inputs)
            return
        results = [value for value in tensors_in((output,)) if value.ndim and value.numel()]
        data = [value for value in inputs if value in self._data]
        if not data:
            return
        for value in results:
            self._data[value] = True
        marks = self._marks_after(function, name, args, kwargs, output, results, inputs)
        for value, result_marks in zip(results, marks, strict=True):
            if result_marks is not None:
                self._marks[value] = compact_marks(result_marks)
            else:
                self._marks.pop(value, None)
                sources = [
                    self._blame[source] for source in data if source in self._blame and source not in self._marks
                ]
                self._blame[value] = sources[0] if sources else name

    def _write(self, args: Sequence[Any], inputs: list[Tensor]) -> None:
        """Give a tensor that is written into the marks of the values written."""
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
        results: list[Tensor], inputs: list[Tensor],
    ) -> list[Tensor | None]:  # fmt: skip
        if name in CONVOLUTION_AXES:
            return [fresh_marks(value, value.ndim - CONVOLUTION_AXES[name] - 1) for value in results]
        if name in LAST_AXIS:
            return [fresh_marks(value, value.ndim - 1) for value in results]
        marked = [value for value in inputs if value in self._marks]
        if name in NORMS:
            source = marked[0] if marked else None
            if source is None and name == "layer_norm" and _normalises_last(args, kwargs):
                return [fresh_marks(value, value.ndim - 1) for value in results]
            return [
                self._marks[source] if source is not None and source.shape == value.shape else None for value in results
            ]
        if name in ELEMENTWISE:
            return [broadcast_marks([self._marks[source] for source in marked], value) for value in results]
        if name in ("cat", "concat", "concatenate") and marked:
            dim = (kwargs.get("dim", args[1] if len(args) > 1 else 0)) % results[0].ndim
            axes = {axis_of_marks(self._marks[source]) for source in marked}
            if axes == {Axis(dim)}:  # two copies of a channel are two channels
                return [fresh_marks(results[0], dim)]
        with torch.random.fork_rng(devices=[]):  # an operation that draws random numbers runs again
            return self._measured_marks(function, name, args, kwargs, output, results, inputs, marked)

    def _measured_marks(
        self, function: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any,
        results: list[Tensor], inputs: list[Tensor], marked: list[Tensor],
    ) -> list[Tensor | None]:  # fmt: skip
        """Return marks found by running the operation again, on the marks or on changed values."""
        if marked:
            moved_marks = self._moved_marks(function, name, args, kwargs, results)
            if moved_marks is not None:
                return moved_marks
        rerun = _Rerun(function, args, kwargs, output)
        for source in marked:
            if (axes := rerun.axes_of_marks(source, self._marks[source])) is not None:
                return _fresh_where_known(results, axes)
        for weight in inputs:
            if weight not in self._data and _is_matrix(weight):
                axes = rerun.axes_of_weight(weight)
                if axes is not None:
                    return _fresh_where_known(results, axes)
        return [None] * len(results)

    def _moved_marks(
        self, function: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any],
        results: list[Tensor],
    ) -> list[Tensor | None] | None:  # fmt: skip
        """Return the results of the operation on the marks; None if they are not marks."""
        replacements: dict[int, Tensor] = {}
        numbers: list[Tensor] = []
        for value in tensors_in((*args, *kwargs.values())):
            marks = self._marks.get(value)
            if marks is not None:
                replacements[id(value)] = marks.clone() if writes_in_place(name) else marks
                numbers.append(distinct_marks(marks))
            elif value in self._data and value.is_floating_point():
                replacements[id(value)] = torch.zeros_like(value, dtype=torch.float64)
        try:
            output = function(*_substituted(args, replacements), **_substituted(dict(kwargs), replacements))
        except Exception:  # an operation that does not take numbers of this type does not move elements
            return None
        moved = [value for value in tensors_in((output,)) if value.ndim and value.numel()]
        if [value.shape for value in moved] != [value.shape for value in results]:
            return None
        all_numbers = torch.cat(numbers).unique()
        marks_of_results = [cleaned_marks(value, all_numbers) for value in moved]
        return marks_of_results if any(marks is not None for marks in marks_of_results) else None


class _Rerun:
    """An operation, run again with one of its tensors changed."""

    def __init__(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], output: Any):
        self.function, self.args, self.kwargs = function, args, kwargs
        self.before = [value for value in tensors_in((output,)) if value.ndim and value.numel()]

    def axes_of_marks(self, source: Tensor, marks: Tensor) -> list[int | None] | None:
        """Return for each output the only axis on which every channel of a source has one place; None where there is none."""
        if not source.is_floating_point() or source.layout is not torch.strided:
            return None
        numbers = distinct_marks(marks)
        if len(numbers) < 2:
            return None
        probes = numbers[torch.linspace(0, len(numbers) - 1, PROBES).long().unique()]
        return self._axes(source, [(marks - number).abs() < TOLERANCE for number in probes])

    def axes_of_weight(self, weight: Tensor) -> list[int | None] | None:
        """Return for each output the only axis that an axis of a weight matrix becomes."""
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
        """Return for each output the only axis on which each mask's change stays at one place."""
        places: list[list[list[Tensor]]] = [[[] for _ in range(value.ndim)] for value in self.before]
        for mask in masks:
            changed = self._changed(source, mask)
            if changed is None:
                return None
            for value, by_axis in zip(changed, places, strict=True):
                if bool(value.any()):
                    for dim, dim_places in enumerate(by_axis):
                        other_dims = [axis for axis in range(value.ndim) if axis != dim]
                        along = value.any(dim=other_dims) if other_dims else value
                        dim_places.append(along.nonzero().flatten())
        axes = [single_moving_axis(by_axis) for by_axis in places]
        return axes if any(axis is not None for axis in axes) else None

    def _changed(self, source: Tensor, mask: Tensor) -> list[Tensor] | None:
        """Return where the outputs change when the masked elements of a source become very large, or very small."""
        size = float(source.detach().abs().max()) * 2 + 1
        changed: list[Tensor] = [
            torch.zeros(value.shape, dtype=torch.bool, device=value.device) for value in self.before
        ]
        for sign in (1.0, -1.0):
            noise = torch.rand(source.shape, generator=torch.Generator().manual_seed(0)).to(source)
            moved = source.detach().clone()  # in the same memory layout, for the same rounding
            moved[mask] = (sign * size * (1 + noise))[mask]
            try:
                output = self.function(
                    *_substituted(self.args, {id(source): moved}),
                    **_substituted(dict(self.kwargs), {id(source): moved}),
                )
            except Exception:  # it can't run again
                return None
            after = [value for value in tensors_in((output,)) if value.ndim and value.numel()]
            if [value.shape for value in after] != [value.shape for value in self.before]:
                return None
            for has_changed, new_value, old_value in zip(changed, after, self.before, strict=True):
                has_changed |= _differ_beyond_rounding(new_value, old_value)
        return changed


def _fresh_where_known(results: list[Tensor], axes: list[int | None]) -> list[Tensor | None]:
    return [None if axis is None else fresh_marks(value, axis) for value, axis in zip(results, axes, strict=True)]


def _is_matrix(weight: Tensor) -> bool:
    """Return whether rows or columns of a tensor can be changed, as those of a sparse one can't."""
    return weight.is_floating_point() and weight.ndim > 1 and weight.layout is torch.strided


def _differ_beyond_rounding(new: Tensor, old: Tensor) -> Tensor:
    """Return where two outputs differ by more than rounding."""
    if not new.is_floating_point():
        return new != old
    finite = old[old.isfinite()]
    rounding = ROUNDING * float(finite.abs().max()) if finite.numel() else 0.0
    return ~((new - old).abs() <= rounding) & ~((new == old) | (new.isnan() & old.isnan()))


def function_name(function: Any) -> str:
    """Return the name of a function, or of a method that is given by its name."""
    return function if isinstance(function, str) else getattr(function, "__name__", "").partition(".")[0]


def tensors_in(values: Any) -> list[Tensor]:
    """Return the tensors among arguments, and in lists, tuples and dictionaries of them."""
    return list(_tensors_in(values))


def _tensors_in(values: Any) -> Iterator[Tensor]:
    for value in values.values() if isinstance(values, dict) else values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple | dict):
            yield from _tensors_in(value)


def _substituted(value: Any, replacements: Mapping[int, Tensor]) -> Any:
    """Replace some of the tensors in arguments and copy the others, which an operation may write into."""
    if isinstance(value, Tensor):
        return replacements[id(value)] if id(value) in replacements else value.detach().clone()
    if isinstance(value, dict):
        return {key: _substituted(entry, replacements) for key, entry in value.items()}
    if isinstance(value, list | tuple) and any(
        isinstance(entry, Tensor | list | tuple | dict | slice) for entry in value
    ):
        entries = [_substituted(entry, replacements) for entry in value]
        return entries if isinstance(value, list) else tuple(entries)
    return value


def _normalises_last(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    shape = kwargs.get("normalized_shape", args[1] if len(args) > 1 else ())
    return isinstance(shape, Sequence) and len(shape) == 1
