"""Capture and replace the outputs of activation functions while a network that can't be traced runs as it is."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nmfdiag.networks.activations import RELUS, kind_of_call, kind_of_class
from nmfdiag.networks.channels import Axis, axis_after, function_name, tensors_in
from nmfdiag.networks.layers import Call

AXIS = "_nmfdiag_axis"
"""Tensors carry what is known of their channels' axis."""


class Replay:
    """Runs a model and sees each call of its activation functions, by hooks that are removed after every run.

    Args:
        model: The network.
        kinds: Which activation functions, by their names in :data:`nmfdiag.networks.activations.KINDS`.

    Attributes:
        calls: After a run, where each of them was called.
        axes: And what is known of the axis of its channels (after a survey).
        others: How often each other activation function was called.
    """

    def __init__(self, model: nn.Module, kinds: frozenset[str]):
        self.model, self.kinds = model, kinds
        self.calls: list[Call] = []
        self.axes: list[Axis] = []
        self.others: Counter[str] = Counter()

    def survey(self, inputs: Tensor) -> tuple[Any, list[Tensor]]:
        """The model's output, and an empty (meta) tensor of the shape of each layer's output, in execution order."""
        shapes: list[Tensor] = []

        def note(_: int, output: Tensor) -> None:
            shapes.append(output.detach().to("meta"))

        return self.run(inputs, note, follow=True), shapes

    def capture(self, inputs: Tensor, index: int) -> Tensor:
        """A copy of the output of the layer number ``index``."""
        kept: list[Tensor] = []

        def keep(call: int, output: Tensor) -> None:
            if call == index:
                kept.append(output.detach().clone())

        self.run(inputs, keep)
        return self._only(kept, index)

    def substitute(self, inputs: Tensor, index: int, activation: Tensor) -> Any:
        """The model's output where the layer number ``index`` gives ``activation``."""
        done: list[Tensor] = []

        def put(call: int, output: Tensor) -> Tensor | None:
            if call != index:
                return None
            done.append(activation.detach().clone())
            return done[0]

        result = self.run(inputs, put)
        self._only(done, index)
        return result

    def run(self, inputs: Tensor, on_layer: Callable[[int, Tensor], Tensor | None], *, follow: bool = False) -> Any:
        """The model's output; ``on_layer`` is told each call's number and output, and may put another in its place.

        ``follow`` keeps track of the axis that channels are on.
        """
        self.calls, self.axes, self.others = [], [], Counter()
        with self._module_paths() as stack, _Intercept(self, stack, on_layer, follow):
            return self.model(inputs.clone())

    def _only(self, found: list[Tensor], index: int) -> Tensor:
        if not found:
            what = "ReLU" if self.kinds == RELUS else "activation function"
            raise RuntimeError(f"the network didn't call its {what} number {index} this time")
        return found[0]

    @contextmanager
    def _module_paths(self) -> Iterator[list[tuple[str, nn.Module]]]:
        """Which modules are running, outermost first."""
        stack: list[tuple[str, nn.Module]] = []
        handles = []

        def enter(path: str) -> Callable[..., None]:
            return lambda module, *_: stack.append((path, module))

        def leave(*_: Any) -> None:
            stack.pop()

        try:
            for path, module in self.model.named_modules():
                handles.append(module.register_forward_pre_hook(enter(path), prepend=True))
                handles.append(module.register_forward_hook(leave, always_call=True))
            yield stack
        finally:
            for handle in handles:
                handle.remove()


class _Intercept(TorchFunctionMode):
    """Tells ``on_layer`` of every layer's output, and puts what that returns in its place; ``follow`` follows the channels' axis."""

    def __init__(
        self,
        replay: Replay,
        stack: list[tuple[str, nn.Module]],
        on_layer: Callable[[int, Tensor], Tensor | None],
        follow: bool,
    ):
        super().__init__()
        self.replay, self.stack, self.on_layer, self.follow = replay, stack, on_layer, follow

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        inside = type(self.stack[-1][1]) if self.stack else None
        kind = kind_of_call(func, inside)
        given = tensors_in((*args, *kwargs.values())) if self.follow or kind is not None else []
        before = [(axis, value.ndim) for value in given if (axis := getattr(value, AXIS, None)) is not None]
        output = func(*args, **kwargs)
        if self.follow:
            self._follow(func, args, kwargs, before, tensors_in((output,)))
        if kind is None:
            return output
        if kind not in self.replay.kinds:
            self.replay.others[kind] += 1
            return output
        is_module = kind_of_class(inside) in self.replay.kinds
        path, name = self.stack[-1][0] if self.stack else "", "" if is_module else function_name(func)
        self.replay.calls.append(Call(path, is_module, name, kind))
        self.replay.axes.append(getattr(output, AXIS, Axis()))
        put = self.on_layer(len(self.replay.calls) - 1, output)
        if put is not None and any(output is value for value in given):
            return output.copy_(put)  # in place: whoever holds the layer's input sees its output
        return output if put is None else put

    @staticmethod
    def _follow(func: Any, args: tuple, kwargs: dict, before: list[tuple[Axis, int]], made: list[Tensor]) -> None:
        """Mark what was made; inputs of another number of axes say nothing about it."""
        for value in made:
            inputs = [axis for axis, n_dims in before if n_dims == value.ndim]
            axis = axis_after(function_name(func), args, kwargs, inputs, value.ndim)
            if axis != Axis():
                setattr(value, AXIS, axis)
