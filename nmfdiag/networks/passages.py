"""Decide from runs on batches of several sizes whether a call of an activation is one layer, for every batch and all its samples.

A network may run its batch in pieces, or let samples decide how often a loop calls an activation. One call then holds only part of the
samples, or belongs to a different layer each time. Such a layer is skipped.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nmfdiag.networks.channel_marks import Axis
from nmfdiag.networks.layers import Call

Shapes = Mapping[Call, torch.Size]
"""Shape of each call's output in a run, in execution order."""
Way = tuple[list[Call], list[Tensor], list[Axis]]
"""The calls of a run, and for each an empty tensor of its output's shape and the axis of its channels."""


class Passages:
    """Count how often the places of calls are passed in a batch, and how their outputs grow with the batch.

    Args:
        runs: The calls of each run.
        small: Shapes in a batch.
        large: Shapes in a larger one; None if the network takes batches of one size.
        sizes: Number of samples in each of the two.
    """

    def __init__(self, runs: Iterable[Iterable[Call]], small: Shapes, large: Shapes | None, sizes: tuple[int, int]):
        self._times: dict[tuple[Any, ...], set[int]] = defaultdict(set)
        for run in runs:
            for place, times in Counter(map(_place, run)).items():
                self._times[place].add(times)
        self._small, self._large, self._sizes = small, large or {}, sizes

    def unsteady(self, call: Call, axis: Axis) -> str:
        """Return why a call is not a layer; empty if it is one in all runs."""
        times = self._times[_place(call)]
        if len(times) > 1:
            return (
                f"the network calls it {min(times)} to {max(times)} times a batch, since it runs the batch in pieces or samples decide: "
                "which call is which can't be told"
            )
        if call in self._small and call in self._large and axis.dim is not None and axis.blocks is None:
            channels = slice(axis.dim, axis.dim + max(1, len(axis.joined)))
            if self._small[call][channels] != self._large[call][channels]:
                return f"axis {axis.dim} of {tuple(self._small[call])} grows with the batch: it holds samples, not channels alone"
        return ""

    def difference(self, call: Call, n: int, shapes: Shapes, by_size: bool) -> str:
        """Return how a batch differs from the runs at a call; empty if it does not.

        Args:
            call: The call.
            n: Number of samples in the batch.
            shapes: The batch's shapes.
            by_size: Whether shapes depend only on the number of samples.
        """
        times = sum(_place(entry) == _place(call) for entry in shapes)
        usual = max(self._times[_place(call)])
        if times != usual:
            return (
                f"the network calls it {times} times in a batch of {n} samples, and {usual} in one of {self._sizes[0]}"
            )
        if by_size and call in self._small and call in self._large and call in shapes:
            (small, large), got = self._sizes, tuple(shapes[call])
            grown = tuple(
                a + (n - small) * (b - a) // (large - small)
                for a, b in zip(self._small[call], self._large[call], strict=True)
            )
            if got != grown:
                return f"its output has shape {got} in a batch of {n} samples, where {grown} would be all of them"
        return ""


def _place(call: Call) -> tuple[Any, ...]:
    return call.path, call.is_module, call.function, call.place


def merged_ways(ways: Sequence[Way]) -> Way:
    """Merge the calls of several runs: a call that only some runs make is placed after the one that precedes it there."""
    order: list[Call] = []
    outputs: dict[Call, tuple[Tensor, Axis]] = {}
    for calls, shapes, axes in ways:
        place = 0
        for call, shape, axis in zip(calls, shapes, axes, strict=True):
            if call in outputs:
                place = order.index(call) + 1
                continue
            outputs[call] = shape, axis
            order.insert(place, call)
            place += 1
    return order, [outputs[call][0] for call in order], [outputs[call][1] for call in order]
