"""Decide what belongs to a network among the objects that it refers to, and what is left alone."""

import io
import queue
import sys
import threading
import warnings
from collections.abc import Collection
from types import (
    AsyncGeneratorType,
    CoroutineType,
    EllipsisType,
    GeneratorType,
    MemberDescriptorType,
    ModuleType,
    NoneType,
)  # fmt: skip
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

CONSTANT = frozenset({
    NoneType, bool, int, float, complex, str, bytes, range, type, EllipsisType, torch.dtype, torch.device,
    torch.Size, torch.layout, torch.memory_format,
})  # fmt: skip
"""Types of immutable objects."""
LARGE = (type, ModuleType, Dataset, DataLoader, np.generic, threading.Thread)
"""Types of objects that are left alone: no forward pass changes them, or another thread works on them."""
LEFT = ("nmfdiag", "logging", "threading", "multiprocessing", "concurrent", "asyncio", "socket", "subprocess")
"""Packages whose objects belong to the process, or to this package."""
STATEFUL_TORCH = ("torch.optim", "torch.amp", "torch.quasirandom", "torch.distributions")
"""Parts of PyTorch whose plain objects keep state between calls."""
OUT_OF_REACH = (io.IOBase, queue.SimpleQueue, GeneratorType, CoroutineType, AsyncGeneratorType)
"""Types of objects that change when used, and can't be restored."""


class Belonging:
    """Decides what belongs to a network, as opposed to the objects of trainers, loggers and other packages.

    Args:
        modules: The network's modules; objects of their packages belong to it, too.
    """

    def __init__(self, modules: Collection[nn.Module]):
        self._own = {package(type(module).__module__) for module in modules} - {
            "torch",
            "lightning",
            "pytorch_lightning",
        }
        self._known: dict[str, bool] = {}

    def __call__(self, place: Any) -> bool:
        """Return whether a class or function belongs to it, by the name of its Python module."""
        if not isinstance(place, str):
            return False
        if place not in self._known:
            name = package(place)
            self._known[place] = name not in LEFT and (
                place.startswith(STATEFUL_TORCH) or name in self._own or not _is_installed(name)
            )
        return self._known[place]


def package(place: str) -> str:
    """Return the outermost package of a Python module.

    >>> package("torch.nn.modules")
    'torch'
    """
    return place.partition(".")[0]


def attributes(value: Any) -> dict[str, Any] | None:
    """Return an object's attribute dictionary; None if it has none."""
    try:
        stored = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return stored if type(stored) is dict else None


def slots(kind: type) -> list[Any]:
    """Return the descriptors of ``__slots__`` of a class and its bases."""
    descriptors = [entry for base in kind.__mro__ if "__slots__" in vars(base) for entry in vars(base).values()]
    return [entry for entry in descriptors if isinstance(entry, MemberDescriptorType)]


def stand_in(value: Any, copies: dict[int, Any]) -> Any:
    """Return a copy of an iterator, which can be used in its place without advancing it; any other value unchanged.

    Args:
        value: Any value; iterators in a tuple are copied, too.
        copies: The copies so far, by the identity of their originals.

    >>> import itertools
    >>> numbers = itertools.count(3)
    >>> next(stand_in(numbers, {})), next(numbers)
    (3, 3)
    """
    kind = type(value)
    if kind is tuple:
        entries = tuple(stand_in(entry, copies) for entry in value)
        return entries if any(a is not b for a, b in zip(entries, value, strict=True)) else value
    if not hasattr(kind, "__next__") or kind.__module__ not in ("builtins", "itertools"):
        return value
    if id(value) not in copies:
        copy = _copy_iterator(value, copies)
        if copy is value:
            return value
        copies[id(value)] = copy
    return copies[id(value)]


def _copy_iterator(iterator: Any, copies: dict[int, Any]) -> Any:
    """Copy an iterator and those that it reads, as pickling would; return it unchanged if that fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # removed in Python 3.14
            make, arguments, *state = iterator.__reduce__()
            copy = make(*(stand_in(argument, copies) for argument in arguments))
            if state:
                copy.__setstate__(_copy_state(state[0], copies))
            return copy
    except Exception:  # generators and files
        return iterator


def _copy_state(state: Any, copies: dict[int, Any]) -> Any:
    if not isinstance(state, tuple):
        return state
    return tuple(entry.copy() if type(entry) is list else stand_in(entry, copies) for entry in state)


def _is_installed(name: str) -> bool:
    """Return whether a package is installed: trainers and loggers are not part of the network."""
    return "site-packages" in (getattr(sys.modules.get(name), "__file__", None) or "")
