"""Restore the contents of a container, an object, a tensor or the random states; write nothing where nothing differs."""

import random
from collections.abc import Collection
from types import CellType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SEED = 0
"""Random state that every run of a network starts from: one that draws random numbers gives the same answer twice."""

MISSING = object()
"""Value of an attribute that has none."""


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
        """Copy the values, unless that has been done."""
        if self.values is None and self.memory is not None:
            self.values = self.memory.clone()

    def restore(self) -> None:
        """Restore memory, values, gradient and hooks."""
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
    """Restore the entries of a dictionary one by one: it may hold the attributes of a module in use.

    Args:
        container: The dictionary.
        contents: Its entries, in order.
        base: The built-in type that it derives from, whose methods a subclass can't override.
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
    """Restore the entries of a list or deque; ``base`` is as in :func:`restore_dict`."""
    if base.__len__(container) != len(contents) or any(
        a is not b for a, b in zip(base.__iter__(container), contents, strict=True)
    ):
        base.clear(container)
        base.extend(container, contents)


def restore_set(container: set[Any], contents: set[Any]) -> None:
    """Restore the entries of a set."""
    if {id(entry) for entry in set.__iter__(container)} != {id(entry) for entry in contents}:
        set.clear(container)
        set.update(container, contents)


def restore_bytes(container: Any, contents: Any) -> None:
    """Restore the numbers of a ``bytearray`` or ``array.array``."""
    if bytes(container) != bytes(contents):
        container[:] = contents


def restore_array(values: np.ndarray, contents: np.ndarray) -> None:
    """Restore the values of an array."""
    same = (values.shape, values.strides, values.dtype) == (contents.shape, contents.strides, contents.dtype)
    if values.dtype.hasobject or not same or values.tobytes() != contents.tobytes():
        np.copyto(values, contents)


def restore_cell(cell: CellType, value: Any) -> None:
    """Restore the value of a function's closure variable."""
    cell.cell_contents = value


def restore_slot(slot: Any, owner: Any, value: Any) -> None:
    """Restore an attribute of ``__slots__``."""
    if slot_value(slot, owner) is not value:
        if value is MISSING:
            slot.__delete__(owner)
        else:
            slot.__set__(owner, value)


def slot_value(slot: Any, owner: Any) -> Any:
    """Return the value of an attribute of ``__slots__``."""
    try:
        return slot.__get__(owner)
    except AttributeError:
        return MISSING


def class_contents(kind: type) -> dict[str, Any]:
    """Return a class's attributes, without Python's special ones."""
    return {name: value for name, value in vars(kind).items() if not name.startswith("__")}


def restore_class(kind: type, contents: dict[str, Any]) -> None:
    """Restore the attributes of a class."""
    now = class_contents(kind)
    for name in now.keys() - contents.keys():
        type.__delattr__(kind, name)
    for name, value in contents.items():
        if now.get(name, MISSING) is not value:
            type.__setattr__(kind, name, value)


def restore_mode(module: nn.Module, training: bool) -> None:
    """Restore the mode of a module that hides it from Python."""
    if module.training is not training:
        module.train(training)


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors of one type and shape are equal bit by bit, NaN included."""
    if a.dtype.is_complex:
        a, b = torch.view_as_real(a.resolve_conj()), torch.view_as_real(b.resolve_conj())
    if a.dtype.is_floating_point:
        bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.itemsize]
        a, b = a.view(bits), b.view(bits)
    return torch.equal(a, b)


def base_of(kind: type, bases: Collection[type]) -> Any:
    """Return the first of several built-in types that a class derives from."""
    return next(base for base in bases if issubclass(kind, base))


class RandomStates:
    """The states of the random numbers of torch (with CUDA, where it is in use), NumPy and Python."""

    def __init__(self) -> None:
        self._torch = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        self._numpy = np.random.get_state()
        self._python = random.getstate()

    def seed(self) -> None:
        """Seed all sources with :data:`SEED`."""
        torch.default_generator.manual_seed(SEED)
        if self._cuda:
            torch.cuda.manual_seed_all(SEED)
        np.random.seed(SEED)
        random.seed(SEED)

    def drawn_since(self) -> list[str]:
        """Return the names of the sources that have been used since."""
        now = RandomStates()
        cuda = any(not torch.equal(*pair) for pair in zip(self._cuda, now._cuda, strict=False))
        return [
            *(["torch"] if cuda or not torch.equal(self._torch, now._torch) else []),
            *(["numpy"] if _differs(self._numpy, now._numpy) else []),
            *(["random"] if self._python != now._python else []),
        ]

    def restore(self) -> None:
        """Restore the states."""
        torch.set_rng_state(self._torch)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)
        np.random.set_state(self._numpy)
        random.setstate(self._python)


def _differs(a: Any, b: Any) -> bool:
    return a[0] != b[0] or a[2:] != b[2:] or not np.array_equal(a[1], b[1])
