"""Tell from runs on batches of several sizes whether a call of an activation is one layer, for every batch and all its samples.

A network may run its batch in pieces, or let samples decide how often a loop calls an activation. One call there is some of the samples,
or now one layer and now another: which is which can't be told, and a layer is left out rather than measured as what it is not.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from nmfdiag.networks.channels import Axis
from nmfdiag.networks.layers import Call

Shapes = Mapping[Call, torch.Size]
"""Shape of what each call of a run gives, in execution order."""


class Passages:
    """How often the places of calls are passed in a batch, and how what they give grows with the batch.

    Args:
        runs: The calls of each run.
        small: Shapes in a batch.
        large: Shapes in a larger one; None if the network takes batches of one size.
        sizes: Samples of both.
    """

    def __init__(self, runs: Iterable[Iterable[Call]], small: Shapes, large: Shapes | None, sizes: tuple[int, int]):
        self._times: dict[tuple[Any, ...], set[int]] = defaultdict(set)
        for run in runs:
            for place, times in Counter(map(_place, run)).items():
                self._times[place].add(times)
        self._small, self._large, self._sizes = small, large or {}, sizes

    def unsteady(self, call: Call, axis: Axis) -> str:
        """Say why a call is no layer; nothing if it is one in all runs."""
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

    def otherwise(self, call: Call, n: int, shapes: Shapes, by_size: bool) -> str:
        """Say what a batch does otherwise at a call than the runs did; nothing if it does the same.

        Args:
            call: Which.
            n: Samples of the batch.
            shapes: Those of the batch.
            by_size: Whether shapes depend on nothing but the number of samples.
        """
        times = sum(_place(other) == _place(call) for other in shapes)
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
