"""Capture and replace ReLU outputs while a network that can't be traced runs as it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nmfdiag.networks.layers import KEEPS_CHANNELS_NAMES, RELU_FUNCTIONS, RELU_MODULES, Call, function_name

INTERCEPTED = RELU_FUNCTIONS | {Tensor.relu, Tensor.relu_}
FROM_CONV1D = "_nmfdiag_from_conv1d"


class Replay:
    """Runs a model and sees each of its ReLU calls, by hooks that are removed after every run.

    After a run, ``calls`` says where each ReLU was called, and ``from_conv1d`` whether a Conv1d made its input.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        self.calls: list[Call] = []
        self.from_conv1d: list[bool] = []

    def survey(self, inputs: Tensor) -> tuple[Any, list[Tensor]]:
        """The model's output, and an empty (meta) tensor of the shape of each ReLU's output, in execution order."""
        shapes: list[Tensor] = []

        def note(_: int, output: Tensor) -> None:
            shapes.append(output.detach().to("meta"))

        return self._run(inputs, note), shapes

    def capture(self, inputs: Tensor, index: int) -> Tensor:
        """A copy of the output of the ReLU call number ``index``."""
        kept: list[Tensor] = []

        def keep(call: int, output: Tensor) -> None:
            if call == index:
                kept.append(output.detach().clone())

        self._run(inputs, keep)
        return _only(kept, index)

    def substitute(self, inputs: Tensor, index: int, activation: Tensor) -> Any:
        """The model's output where the ReLU call number ``index`` gives ``activation``."""
        done: list[Tensor] = []

        def put(call: int, output: Tensor) -> Tensor | None:
            if call != index:
                return None
            done.append(activation.detach().clone())
            return done[0]

        result = self._run(inputs, put)
        _only(done, index)
        return result

    def _run(self, inputs: Tensor, on_relu: Callable[[int, Tensor], Tensor | None]) -> Any:
        self.calls, self.from_conv1d = [], []
        with self._module_paths() as stack, _Intercept(self, stack, on_relu):
            return self.model(inputs.clone())

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
    """Tells ``on_relu`` of every ReLU's output, and puts what that returns in its place."""

    def __init__(
        self,
        replay: Replay,
        stack: list[tuple[str, nn.Module]],
        on_relu: Callable[[int, Tensor], Tensor | None],
    ):
        super().__init__()
        self.replay, self.stack, self.on_relu = replay, stack, on_relu

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = function_name(func)
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        marked = name == "conv1d" or any(getattr(value, FROM_CONV1D, False) for value in given)
        output = func(*args, **kwargs)
        if self._is_relu(func):
            path, module = self.stack[-1] if self.stack else ("", None)
            is_module = isinstance(module, RELU_MODULES)
            self.replay.calls.append(Call(path, is_module, "" if is_module else name))
            self.replay.from_conv1d.append(marked)
            put = self.on_relu(len(self.replay.calls) - 1, output)
            if put is not None and any(output is value for value in given):
                output.copy_(put)  # in place: whoever holds the ReLU's input sees its output
            elif put is not None:
                output = put
        if marked and isinstance(output, Tensor) and (name == "conv1d" or name in KEEPS_CHANNELS_NAMES):
            setattr(output, FROM_CONV1D, True)
        return output

    def _is_relu(self, func: Any) -> bool:
        if func is F.hardtanh:  # what nn.ReLU6 calls
            return bool(self.stack) and isinstance(self.stack[-1][1], RELU_MODULES)
        return func in INTERCEPTED


def _only(found: list[Tensor], index: int) -> Tensor:
    if not found:
        raise RuntimeError(f"the network didn't call its ReLU number {index} this time")
    return found[0]
