"""Put the contents of a container, an object or a tensor back: the same objects, and nothing written where nothing differs."""

from collections.abc import Collection
from types import CellType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MISSING = object()
"""What an attribute without a value has."""


class KeptTensor:
    """A tensor's memory, gradient and hooks, and its values once they are copied."""

    __slots__ = ("grad", "hooks", "is_leaf", "memory", "requires_grad", "tensor", "values")

    def __init__(self, tensor: Tensor):
        self.tensor = tensor
        has_memory = tensor.layout is torch.strided and not tensor.is_meta and not tensor.is_nested
        self.memory = tensor.detach() if has_memory else None  # the same memory: assigning to .data leaves it alone
        self.values: Tensor | None = None
        self.is_leaf, self.requires_grad, self.hooks = tensor.is_leaf, tensor.requires_grad, tensor._backward_hooks
        self.grad = tensor.grad if self.is_leaf else None

    def copy(self) -> None:
        """Keep the values, unless they are kept already."""
        if self.values is None and self.memory is not None:
            self.values = self.memory.clone()

    def restore(self) -> None:
        """Put memory, values, gradient and hooks back."""
        tensor, memory = self.tensor, self.memory
        if memory is not None:
            if (tensor.data_ptr(), tensor.shape, tensor.stride()) != (memory.data_ptr(), memory.shape, memory.stride()):
                tensor.data = memory
            if self.values is not None and not same_bits(memory, self.values):
                memory.copy_(self.values)
        if tensor._backward_hooks is not self.hooks:
            tensor._backward_hooks = self.hooks
        if self.is_leaf and tensor.is_leaf:
            if tensor.requires_grad is not self.requires_grad:
                tensor.requires_grad_(self.requires_grad)
            if tensor.grad is not self.grad:
                tensor.grad = self.grad


def restore_dict(container: dict[Any, Any], contents: dict[Any, Any], base: Any) -> None:
    """Put the entries of a dictionary back one by one: it may be the attributes of a module that is in use.

    Args:
        container: The dictionary.
        contents: Its entries, in order.
        base: The built-in type that it is derived from: its methods pass by what a class makes of them.
    """
    if not container and not contents:
        return
    for key in [key for key in base.keys(container) if key not in contents]:
        base.__delitem__(container, key)
    for key, value in contents.items():
        if base.get(container, key, MISSING) is not value:
            base.__setitem__(container, key, value)
    if list(base.keys(container)) != list(contents):  # the order of buffers is that of the state dict
        base.clear(container)
        base.update(container, contents)


def restore_sequence(container: Any, contents: tuple[Any, ...], base: Any) -> None:
    """Put the entries of a list or deque back; ``base`` is as in :func:`restore_dict`."""
    if base.__len__(container) != len(contents) or any(
        a is not b for a, b in zip(base.__iter__(container), contents, strict=True)
    ):
        base.clear(container)
        base.extend(container, contents)


def restore_set(container: set[Any], contents: set[Any]) -> None:
    """Put the entries of a set back."""
    if {id(entry) for entry in set.__iter__(container)} != {id(entry) for entry in contents}:
        set.clear(container)
        set.update(container, contents)


def restore_bytes(container: Any, contents: Any) -> None:
    """Put the numbers of a ``bytearray`` or ``array.array`` back."""
    if bytes(container) != bytes(contents):
        container[:] = contents


def restore_array(values: np.ndarray, contents: np.ndarray) -> None:
    """Put the values of an array back."""
    same = (values.shape, values.strides, values.dtype) == (contents.shape, contents.strides, contents.dtype)
    if values.dtype.hasobject or not same or values.tobytes() != contents.tobytes():
        np.copyto(values, contents)


def restore_cell(cell: CellType, value: Any) -> None:
    """Put back what a function holds of the variables around it."""
    cell.cell_contents = value


def restore_slot(slot: Any, owner: Any, value: Any) -> None:
    """Put an attribute of ``__slots__`` back."""
    if slot_value(slot, owner) is not value:
        if value is MISSING:
            slot.__delete__(owner)
        else:
            slot.__set__(owner, value)


def slot_value(slot: Any, owner: Any) -> Any:
    """Return what an attribute of ``__slots__`` holds."""
    try:
        return slot.__get__(owner)
    except AttributeError:
        return MISSING


def class_contents(kind: type) -> dict[str, Any]:
    """Return what a class holds for its objects, but what Python itself keeps there."""
    return {name: value for name, value in vars(kind).items() if not name.startswith("__")}


def restore_class(kind: type, contents: dict[str, Any]) -> None:
    """Put the attributes of a class back."""
    now = class_contents(kind)
    for name in now.keys() - contents.keys():
        type.__delattr__(kind, name)
    for name, value in contents.items():
        if now.get(name, MISSING) is not value:
            type.__setattr__(kind, name, value)


def restore_mode(module: nn.Module, training: bool) -> None:
    """Put back the mode of a module that keeps it out of Python's sight."""
    if module.training is not training:
        module.train(training)


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Tell whether two tensors of one type and shape hold the same, bit for bit: NaN differs from itself."""
    if a.dtype.is_complex:
        a, b = torch.view_as_real(a.resolve_conj()), torch.view_as_real(b.resolve_conj())
    if a.dtype.is_floating_point:
        bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.itemsize]
        a, b = a.view(bits), b.view(bits)
    return torch.equal(a, b)


def base_of(kind: type, bases: Collection[type]) -> Any:
    """Return the first of several built-in types that a class is derived from."""
    return next(base for base in bases if issubclass(kind, base))
