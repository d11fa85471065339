"""Capture and replace ReLU outputs while a network that can't be traced runs as it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nmfdiag.networks.layers import RELU_FUNCTIONS, RELU_MODULES, Call

INTERCEPTED = RELU_FUNCTIONS | {Tensor.relu, Tensor.relu_, torch.nn.functional.hardtanh}


class Replay:
    """Runs a model and sees each of its ReLU calls, by hooks that are removed after every run.

    ``calls`` says, after a run, where each ReLU was called.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        self.calls: list[Call] = []

    def capture(self, inputs: Tensor) -> list[Tensor]:
        """Outputs of all ReLUs, in order of execution."""
        outputs: list[Tensor] = []

        def keep(_index: int, output: Tensor) -> Tensor:
            outputs.append(output.clone())
            return output

        self._run(inputs, keep)
        return outputs

    def substitute(self, inputs: Tensor, index: int, activation: Tensor) -> Any:
        """The model's output where the ReLU call number ``index`` returns ``activation``."""
        return self._run(inputs, lambda i, output: activation.clone() if i == index else output)

    def _run(self, inputs: Tensor, on_relu: Callable[[int, Tensor], Tensor]) -> Any:
        self.calls = []
        with self._module_paths() as stack, _Intercept(self.calls, stack, on_relu):
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
                handles.append(module.register_forward_pre_hook(enter(path)))
                handles.append(module.register_forward_hook(leave, always_call=True))
            yield stack
        finally:
            for handle in handles:
                handle.remove()


class _Intercept(TorchFunctionMode):
    def __init__(
        self, calls: list[Call], stack: list[tuple[str, nn.Module]], on_relu: Callable[[int, Tensor], Tensor]
    ):
        super().__init__()
        self.calls, self.stack, self.on_relu = calls, stack, on_relu

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func not in INTERCEPTED:
            return output
        path, module = self.stack[-1] if self.stack else ("", None)
        is_module = isinstance(module, RELU_MODULES)
        if func is torch.nn.functional.hardtanh and not is_module:
            return output
        self.calls.append(Call(path, is_module))
        return self.on_relu(len(self.calls) - 1, output)
