"""Marks: a tensor of the shape of an activation in which every element holds the number of its channel."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TOLERANCE = 1e-9
"""Distance below which two marks, random numbers in [1, 2), are the same: a mean rounds them."""
_seeds = itertools.count()


@dataclass(frozen=True)
class Axis:
    """The place of the channels in a tensor.

    Attributes:
        dim: Their axis, which they may share with places; None where it is unknown.
        blocks: The factors of axis ``dim``, (channels, -1) or (-1, channels), where channels share it with places.
        joined: Sizes of the axes from ``dim`` on that hold the channels together, such as (groups, channels of a group).
        reason: Why it is unknown.
    """

    dim: int | None = None
    blocks: tuple[int, int] | None = None
    joined: tuple[int, ...] = ()
    reason: str = ""

    @property
    def alone(self) -> bool:
        """Return whether the channels have one axis to themselves."""
        return self.dim is not None and self.blocks is None and not self.joined


def fresh_marks(value: Tensor, dim: int) -> Tensor:
    """Return new marks for a tensor whose channels are on one axis; they take the memory of one row."""
    seed = torch.Generator().manual_seed(next(_seeds))
    numbers = 1 + torch.rand(value.shape[dim], generator=seed, dtype=torch.float64)
    shape = [1] * value.ndim
    shape[dim] = -1
    return numbers.to(value.device).view(shape).expand(value.shape)


def broadcast_marks(marks: Sequence[Tensor], value: Tensor) -> Tensor | None:
    """Return the marks of an element-wise result of tensors with these marks; None if they disagree."""
    expanded = [entry.expand(value.shape) for entry in marks if _broadcasts(entry.shape, value.shape)]
    if expanded and all(torch.equal(expanded[0], entry) for entry in expanded[1:]):
        return expanded[0]
    expanded = [entry for entry in expanded if axis_of_marks(entry).dim is not None] or expanded
    if not expanded:
        return None
    axis = axis_of_marks(expanded[0])
    return expanded[0] if all(axis_of_marks(entry) == axis for entry in expanded[1:]) else None


def compact_marks(marks: Tensor) -> Tensor:
    """Return marks without gaps that take the memory of one row, if the channels have an axis to themselves."""
    axis = axis_of_marks(marks)
    return fresh_marks(marks, axis.dim) if axis.dim is not None and axis.alone else marks


def distinct_marks(marks: Tensor) -> Tensor:
    """Return the distinct marks in ascending order; an expanded axis is read once."""
    for dim, stride in enumerate(marks.stride()):
        if stride == 0:
            marks = marks.narrow(dim, 0, 1)
    numbers = marks.unique()
    return numbers[numbers > 0]


def _broadcasts(shape: torch.Size, target: torch.Size) -> bool:
    return len(shape) <= len(target) and all(a in (1, b) for a, b in zip(shape[::-1], target[::-1], strict=False))


def cleaned_marks(value: Tensor, numbers: Tensor) -> Tensor | None:
    """Return the values that are marks, with 0 for all others; None if there are no marks."""
    if not value.is_floating_point():
        return None
    value = value.double()
    place = torch.searchsorted(numbers, value.contiguous()).clamp_(max=len(numbers) - 1)
    lower = (place - 1).clamp_(min=0)
    nearest = torch.where(
        (numbers[place] - value).abs() < (numbers[lower] - value).abs(), numbers[place], numbers[lower]
    )
    marks = torch.where((nearest - value).abs() < TOLERANCE, nearest, 0.0)
    return marks if bool(marks.any()) else None


def single_moving_axis(places: Sequence[Sequence[Tensor]]) -> int | None:
    """Return the only axis on which every probe changed one place, each a different one; None if there is no such axis."""
    candidates = []
    for dim, dim_places in enumerate(places):
        is_single = len(dim_places) > 1 and all(len(place) == 1 for place in dim_places)
        if is_single and len({int(place) for place in dim_places}) == len(dim_places):
            candidates.append(dim)
    return candidates[0] if len(candidates) == 1 else None


def axis_of_marks(marks: Tensor) -> Axis:
    """Return the axis along which marks differ; its ``dim`` is None if they differ along several."""
    shape = tuple(marks.shape)
    unexpanded = [dim for dim, stride in enumerate(marks.stride()) if stride != 0 and shape[dim] > 1]
    if len(unexpanded) == 1:  # as in fresh marks
        marks = marks[tuple(slice(None) if dim in unexpanded else slice(0, 1) for dim in range(marks.ndim))]
    varying = []
    for dim in unexpanded:
        rows = marks.movedim(dim, 0).reshape(marks.shape[dim], -1)
        largest = rows.amax(1)
        smallest = rows.masked_fill(rows == 0, torch.inf).amin(1)
        is_constant = ((largest - smallest).abs() < TOLERANCE).logical_or(largest == 0).all()
        if bool(is_constant) and len(largest[largest > 0].unique()) > 1:
            varying.append((dim, largest))
    if len(varying) != 1:
        single = [dim for dim in range(marks.ndim) if shape[dim] == 1]
        if not varying and (axis := _joined_axes(marks, shape)) is not None:
            return axis
        if not varying and len(marks[marks > 0].unique()) == 1 and 1 in single:
            return Axis(1)  # one channel
        return Axis(reason=f"the channels are spread over the axes of {shape}")
    dim, numbers = varying[0]
    distinct = numbers[numbers > 0]
    channels = len(distinct.unique())
    if channels == len(distinct):
        return Axis(dim)
    size = len(numbers)
    if size % channels == 0 and bool((numbers > 0).all()):
        if len(numbers.view(channels, -1)[:, 0].unique()) == channels and bool(
            (numbers.view(channels, -1).diff(dim=1) == 0).all()
        ):
            return Axis(dim, (channels, -1))
        if bool((numbers.view(-1, channels).diff(dim=0) == 0).all()):
            return Axis(dim, (-1, channels))
    return Axis(reason=f"channels and places share axis {dim} of {shape}")


def _joined_axes(marks: Tensor, shape: tuple[int, ...]) -> Axis | None:
    """Return the neighbouring axes that hold the channels together, if every place there is a different channel."""
    axes = [dim for dim in range(marks.ndim) if marks.shape[dim] > 1 and not torch.equal(
        marks.narrow(dim, 0, 1).expand(marks.shape), marks)]  # fmt: skip
    if len(axes) < 2 or axes != list(range(axes[0], axes[-1] + 1)) or axes[0] == 0:
        return None
    sizes = tuple(shape[dim] for dim in axes)
    flat = marks[tuple(slice(None) if dim in axes else slice(0, 1) for dim in range(marks.ndim))]
    return Axis(axes[0], joined=sizes) if len(flat.unique()) == flat.numel() and bool((flat > 0).all()) else None
