"""What can be reached from a network by references, and which of it is left to itself."""

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
"""Types whose objects hold nothing that changes."""
LARGE = (type, ModuleType, Dataset, DataLoader, np.generic, threading.Thread)
"""Types of objects that are left to themselves: no forward pass changes them, or another thread works on them."""
LEFT = ("nmfdiag", "logging", "threading", "multiprocessing", "concurrent", "asyncio", "socket", "subprocess")
"""Packages whose objects belong to the process, or to us."""
STATEFUL_TORCH = ("torch.optim", "torch.amp", "torch.quasirandom", "torch.distributions")
"""Parts of PyTorch whose plain objects keep something from one call to the next."""
OUT_OF_REACH = (io.IOBase, queue.SimpleQueue, GeneratorType, CoroutineType, AsyncGeneratorType)
"""Types of objects that change by being used, and can't be put back."""


class Belonging:
    """Tells what belongs to a network: not what trainers, loggers and other packages keep for themselves.

    Args:
        modules: The network's modules; objects of a package that one of them comes from belong to it, too.
    """

    def __init__(self, modules: Collection[nn.Module]):
        self._own = {package(type(module).__module__) for module in modules} - {
            "torch",
            "lightning",
            "pytorch_lightning",
        }
        self._known: dict[str, bool] = {}

    def __call__(self, place: Any) -> bool:
        """Tell it of a class or function by the name of the module of Python that it comes from."""
        if not isinstance(place, str):
            return False
        if place not in self._known:
            name = package(place)
            self._known[place] = name not in LEFT and (
                place.startswith(STATEFUL_TORCH) or name in self._own or not _is_installed(name)
            )
        return self._known[place]


def package(place: str) -> str:
    """Return the outermost package of a module of Python.

    >>> package("torch.nn.modules")
    'torch'
    """
    return place.partition(".")[0]


def attributes(value: Any) -> dict[str, Any] | None:
    """Return the attributes of an object as they are stored; None if it has no dictionary of them."""
    try:
        stored = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return stored if type(stored) is dict else None


def slots(kind: type) -> list[Any]:
    """Return the descriptors of ``__slots__`` of a class and of those that it is derived from."""
    descriptors = [entry for base in kind.__mro__ if "__slots__" in vars(base) for entry in vars(base).values()]
    return [entry for entry in descriptors if isinstance(entry, MemberDescriptorType)]


def stand_in(value: Any, made: dict[int, Any]) -> Any:
    """Return a copy of an iterator that goes on where it stands, so that itself does not; anything else as it is.

    Args:
        value: Anything; iterators in a tuple are copied, too.
        made: The copies so far, by the identity of what they stand for.

    >>> import itertools
    >>> numbers = itertools.count(3)
    >>> next(stand_in(numbers, {})), next(numbers)
    (3, 3)
    """
    kind = type(value)
    if kind is tuple:
        entries = tuple(stand_in(entry, made) for entry in value)
        return entries if any(a is not b for a, b in zip(entries, value, strict=True)) else value
    if not hasattr(kind, "__next__") or kind.__module__ not in ("builtins", "itertools"):
        return value
    if id(value) not in made:
        copy = _copied(value, made)
        if copy is value:
            return value
        made[id(value)] = copy
    return made[id(value)]


def _copied(iterator: Any, made: dict[int, Any]) -> Any:
    """A copy of an iterator and of those that it reads, as pickling would make it; itself if it has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.14 ends it
            make, arguments, *state = iterator.__reduce__()
            copy = make(*(stand_in(argument, made) for argument in arguments))
            if state:
                copy.__setstate__(_state_copied(state[0], made))
            return copy
    except Exception:  # generators and files
        return iterator


def _state_copied(state: Any, made: dict[int, Any]) -> Any:
    if not isinstance(state, tuple):
        return state
    return tuple(entry.copy() if type(entry) is list else stand_in(entry, made) for entry in state)


def _is_installed(name: str) -> bool:
    """Tell whether a package is installed: trainers and loggers are no part of the network."""
    return "site-packages" in (getattr(sys.modules.get(name), "__file__", None) or "")
