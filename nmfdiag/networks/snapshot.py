"""Everything that running a network may change, kept and put back: attributes, buffers, modes, random states.

A forward pass may count its calls, keep activations, update a running mean or draw random numbers. None of that may reach the
training or the process that a network is borrowed from. Restoring writes only what differs, so that a tensor that autograd still
needs keeps its version.
"""

import random
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

CONTAINERS = (list, dict, set, deque, OrderedDict, defaultdict)
"""Types of containers whose contents are restored; tuples hold their contents for good."""
LARGE = (nn.Module, Tensor, type, ModuleType, Optimizer, Dataset, DataLoader)
"""Types of objects whose attributes are not kept: modules are kept themselves, and no forward pass changes the others."""
SEED = 0
"""Every run of a network starts from the same random state, so that one that draws random numbers gives the same answer twice."""


class Snapshot:
    """The state of a network's modules.

    Args:
        model: The network.
        parameters: Whether to copy the parameters, too: for the few networks that write into them while they run.

    """

    def __init__(self, model: nn.Module, *, parameters: bool = False):
        self._tensors: list[tuple[Tensor, Tensor, Tensor]] = []
        self._contents: list[tuple[Any, Any]] = []
        self._seen: set[int] = set()
        self._parameters = parameters
        self._scripts: list[tuple[nn.Module, bool]] = []
        self._generators: list[tuple[Callable[[Any], object], Any]] = []
        for module in model.modules():
            self._keep(module.__dict__)
            self._keep_objects(module)
            if isinstance(module, torch.jit.ScriptModule):  # it keeps its mode and buffers out of Python's sight
                self._scripts.append((module, module.training))
                for buffer in module.buffers(recurse=False):
                    self._keep_tensor(buffer)

    def restore(self) -> None:
        """Put everything back; what is as it was is not touched."""
        for put_back, state in self._generators:
            put_back(state)
        for script, training in self._scripts:
            if script.training is not training:
                script.train(training)
        for container, contents in self._contents:
            if isinstance(container, dict):
                _restore_dict(container, contents)
            elif not _same_contents(container, contents):
                container.clear()
                (container.extend if isinstance(container, list | deque) else container.update)(contents)
        with torch.no_grad():
            for tensor, memory, values in self._tensors:
                if tensor.data_ptr() != memory.data_ptr() or tensor.shape != memory.shape:
                    tensor.data = memory
                if values is not memory and not _same_bits(memory, values):
                    memory.copy_(values)

    def _keep(self, container: Any) -> None:
        """Keep the contents of a container, and of the containers and the values of the tensors in it."""
        if id(container) in self._seen:
            return
        self._seen.add(id(container))
        mutable = type(container) in CONTAINERS
        if mutable:
            contents = dict(container) if isinstance(container, dict) else list(container)
            self._contents.append((container, contents))
        for value in list(container.values() if isinstance(container, dict) else container):
            if isinstance(value, Tensor):
                self._keep_tensor(value)
            elif type(value) in CONTAINERS or isinstance(value, tuple):
                self._keep(value)

    def _keep_tensor(self, tensor: Tensor) -> None:
        if id(tensor) in self._seen or tensor.layout is not torch.strided or tensor.is_meta:
            return
        if tensor.is_inference() and not torch.is_inference_mode_enabled():  # nothing may write into it
            return
        self._seen.add(id(tensor))
        memory = tensor.detach()  # the same memory: assigning to .data leaves it alone
        is_parameter = isinstance(tensor, nn.Parameter)
        self._tensors.append((tensor, memory, memory if is_parameter and not self._parameters else memory.clone()))

    def _keep_objects(self, module: nn.Module) -> None:
        """Keep the attributes of plain objects that a module holds, such as a record of its statistics."""
        for value in list(module.__dict__.values()):
            if isinstance(value, torch.Generator):
                self._generators.append((value.set_state, value.get_state()))
            elif isinstance(value, random.Random):
                self._generators.append((value.setstate, value.getstate()))
            elif isinstance(value, np.random.Generator):
                bits = value.bit_generator
                self._generators.append((partial(setattr, bits, "state"), bits.state))
            if _is_installed(type(value)):
                continue
            attributes = getattr(value, "__dict__", None)
            if type(attributes) is dict and not isinstance(value, LARGE) and not callable(value):
                self._keep(attributes)


class RandomStates:
    """The states of the random numbers of torch (with CUDA, where it is in use), NumPy and Python."""

    def __init__(self) -> None:
        self._torch = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        self._numpy = np.random.get_state()
        self._python = random.getstate()

    def seed(self) -> None:
        """Begin with :data:`SEED`."""
        torch.default_generator.manual_seed(SEED)
        if self._cuda:
            torch.cuda.manual_seed_all(SEED)
        np.random.seed(SEED)
        random.seed(SEED)

    def drawn_since(self) -> list[str]:
        """Name the sources that have been drawn from since."""
        now = RandomStates()
        cuda = any(not torch.equal(*pair) for pair in zip(self._cuda, now._cuda, strict=False))
        return [
            *(["torch"] if cuda or not torch.equal(self._torch, now._torch) else []),
            *(["numpy"] if _differs(self._numpy, now._numpy) else []),
            *(["random"] if self._python != now._python else []),
        ]

    def restore(self) -> None:
        """Put them back."""
        torch.set_rng_state(self._torch)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)
        np.random.set_state(self._numpy)
        random.setstate(self._python)


def overriding_train(model: nn.Module) -> bool:
    """Tell whether a module of a network does something of its own when its mode changes, such as merging weights."""
    return any(type(m).train is not nn.Module.train or type(m).eval is not nn.Module.eval for m in model.modules())


def _is_installed(kind: type) -> bool:
    """Tell whether a class comes from an installed package: trainers and loggers are no part of the network."""
    module = sys.modules.get(kind.__module__.partition(".")[0])
    return "site-packages" in (getattr(module, "__file__", None) or "")


def _restore_dict(container: dict[Any, Any], contents: dict[Any, Any]) -> None:
    """Put the entries of a dictionary back one by one: it may be the attributes of a module that is in use."""
    for key in [key for key in container if key not in contents]:
        del container[key]
    for key, value in contents.items():
        if key not in container or container[key] is not value:
            container[key] = value
    if list(container) != list(contents):  # the order of buffers is that of the state dict
        container.clear()
        container.update(contents)


def _same_contents(container: Any, contents: list[Any]) -> bool:
    if isinstance(container, set):
        return container == set(contents)
    return len(container) == len(contents) and all(v is w for v, w in zip(container, contents, strict=True))


def _same_bits(a: Tensor, b: Tensor) -> bool:
    if a.dtype.is_floating_point or a.dtype.is_complex:  # NaN differs from itself
        return bool(((a == b) | ((a != a) & (b != b))).all())
    return torch.equal(a, b)


def _differs(a: Any, b: Any) -> bool:
    return a[0] != b[0] or a[2:] != b[2:] or not np.array_equal(a[1], b[1])
