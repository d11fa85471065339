"""Notice what a network computes where nobody can look: in TorchScript functions, other threads, or outside of PyTorch."""

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
    """A recorder that keeps the tensors which come from nothing that was seen: constants, and what is made out of sight.

    Attributes:
        foreign: Those tensors, in the order of their use.
    """

    def __init__(self, model: nn.Module):
        super().__init__(model)
        self.foreign: list[Tensor] = []
        self._seen: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def start(self, inputs: Tensor) -> None:
        """Know the tensor that the network gets."""
        self._seen[inputs] = True
        super().start(inputs)

    def leave(self, path: str, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        """A leaf module has run."""
        self._look(args, kwargs, output)
        super().leave(path, module, args, kwargs, output)

    def called(self, function: Any, name: str, args: tuple, kwargs: dict, output: Any) -> None:
        """A function has run outside of leaf modules."""
        self._look(args, kwargs, output)
        super().called(function, name, args, kwargs, output)

    def _look(self, args: tuple, kwargs: dict, output: Any) -> None:
        for value in tensors_in((*args, *kwargs.values())):
            if is_functorch_wrapped_tensor(value):  # rows of one that is mapped over: they can't be compared
                continue
            if value not in self._seen and value not in self._names and not self._is_part(value):
                self.foreign.append(value)
            self._seen[value] = True
        for value in tensors_in((output,)):
            self._seen[value] = True

    def _is_part(self, value: Tensor) -> bool:
        """Whether a tensor is a view of one that was seen, as the rows are that a loop goes over."""
        base = value._base
        return base is not None and (base in self._seen or base in self._names)


def computes_out_of_sight(small: Watcher, large: Watcher) -> bool:
    """Whether something that two runs on other samples use is of those samples, and nothing seen has made it."""
    return any(
        a is not b and (a.shape != b.shape or (a.layout is torch.strided and not torch.equal(a, b)))
        for a, b in zip(small.foreign, large.foreign, strict=False)
    )
