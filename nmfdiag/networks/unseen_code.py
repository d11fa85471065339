"""Detect hidden computations of a network: in TorchScript functions, in other threads, or outside of PyTorch."""

from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.utils.weak import WeakTensorKeyDictionary

from nmfdiag.networks.channels import tensors_in
from nmfdiag.networks.trace import Recorder

REMARK = (
    "Part of the network runs where it can't be looked into (a TorchScript function, another thread, or outside of PyTorch): "
    "activations in it are not among the layers."
)


class Watcher(Recorder):
    """A recorder that keeps the tensors of unknown origin: constants, and results of hidden computations.

    Attributes:
        foreign: These tensors, in the order of their use.
    """

    def __init__(self, model: nn.Module):
        super().__init__(model)
        self.foreign: list[Tensor] = []
        self._registered: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def start(self, inputs: Tensor) -> None:
        """Register the network's input."""
        self._registered[inputs] = True
        super().start(inputs)

    def leave(self, path: str, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        """Note a leaf module that has run."""
        self._register(args, kwargs, output)
        super().leave(path, module, args, kwargs, output)

    def called(self, function: Any, name: str, args: tuple, kwargs: dict, output: Any) -> None:
        """Note a function that has run outside of leaf modules."""
        self._register(args, kwargs, output)
        super().called(function, name, args, kwargs, output)

    def _register(self, args: tuple, kwargs: dict, output: Any) -> None:
        """Register the tensors of a call, and keep those of unknown origin."""
        for value in tensors_in((*args, *kwargs.values())):
            if is_functorch_wrapped_tensor(value):  # rows under vmap can't be compared
                continue
            if value not in self._registered and value not in self._names and not self._is_part(value):
                self.foreign.append(value)
            self._registered[value] = True
        for value in tensors_in((output,)):
            self._registered[value] = True

    def _is_part(self, value: Tensor) -> bool:
        """Return whether a tensor is a view of a registered one, such as the rows in a loop."""
        base = value._base
        return base is not None and (base in self._registered or base in self._names)


def computes_out_of_sight(small: Watcher, large: Watcher) -> bool:
    """Return whether two runs on different samples use tensors of unknown origin that differ."""
    return any(
        a is not b and (a.shape != b.shape or (a.layout is torch.strided and not torch.equal(a, b)))
        for a, b in zip(small.foreign, large.foreign, strict=False)
    )
