"""Everything that running a network may change, kept and put back: attributes, buffers, modes, random states.

A forward pass may count its calls, keep activations, update a running mean or draw random numbers. None of that may reach the
training or the process that a network is borrowed from. What references lead to from its modules is kept, in modules that are not
registered, containers, objects and closures, too. Restoring writes only what differs, so that a tensor that autograd still needs
keeps its version.
"""

import array
import io
import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, MethodWrapperType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Optimizer

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks import restore_values
from nmfdiag.networks.reachable import CONSTANT, LARGE, OUT_OF_REACH, Belonging, attributes, slots, stand_in
from nmfdiag.networks.restore_values import MISSING, KeptTensor, base_of

ENTRIES = 10_000
"""Of a container with more, it is kept which entries it has, not what is inside them."""
OBJECTS = 20_000
"""Objects that are followed at most, and a hundred for each module."""
LARGE_BYTES = 64 * 2**20
"""Tensors above this that are not buffers are copied when something writes into them; arrays above it are left as they are."""
GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
SEQUENCES = (list, deque)
MAPPINGS = (OrderedDict, dict)

_in_use: list["Snapshot"] = []
"""Those of the networks that are being run, outermost first."""


class Snapshot:
    """The state of a network's modules and of all that they hold.

    Args:
        model: The network.

    Attributes:
        unregistered: Modules that it holds in lists, objects and the like, so that ``model.modules()`` does not have them.
    """

    def __init__(self, model: nn.Module):
        registered = list(model.modules())
        self.unregistered: list[nn.Module] = []
        self._in_training: list[str] = []
        self._tensors: dict[int, KeptTensor] = {}
        self._copies_parameters = overriding_train(registered)
        self._put_back: list[Callable[[], object]] = []
        self._lent: list[Callable[[], object]] = []
        self._beyond: dict[str, None] = {}
        self._seen: dict[int, Any] = {id(module): module for module in registered}
        self._waiting: deque[Any] = deque()
        self._stand_ins: dict[int, Any] = {}
        self._memory: dict[int, list[Tensor]] = {}
        self._belongs = Belonging(registered)
        self._keepers: dict[type, Callable[[Any], None] | None] = {}
        self._slots: dict[type, list[Any]] = {}
        for module in registered:
            self._attempt(self._keep_module, module)
        self._follow(OBJECTS + 100 * len(registered))

    @property
    def remarks(self) -> list[str]:
        """What can't be put back, and what is evaluated otherwise than ``model.eval()`` would."""
        remarks = []
        if self._beyond:
            remarks.append(
                f"The network holds {', '.join(self._beyond)}: what running it changes in there is not put back; all else is."
            )
        if self._in_training:
            remarks.append(
                f"Modules that are not registered in the network ({', '.join(dict.fromkeys(self._in_training))}) are in training mode, "
                "which its eval() does not change. They are measured in evaluation mode, as the others are."
            )
        return remarks

    def lend(self) -> None:
        """Take out of the network's hands what can't be put back: gradients, and iterators, of which it gets copies instead."""
        _in_use.append(self)
        for kept in self._tensors.values():
            if kept.grad is not None:
                kept.tensor.grad = None
        for put in self._lent:
            put()

    def restore(self) -> None:
        """Put everything back; what is as it was is not touched.

        Raises:
            NmfdiagError: If something does not let itself be put back; all else is then.
        """
        if self in _in_use:
            _in_use.remove(self)
        failed: Exception | None = None
        with torch.no_grad():
            for put_back in (*self._put_back, *(kept.restore for kept in self._tensors.values())):
                try:
                    put_back()
                except Exception as error:  # the objects are anybody's
                    failed = error
        if failed is not None:
            raise NmfdiagError(f"Something that running the network changes can't be put back: {failed}") from failed

    def kept_at(self, pointer: int) -> list[Tensor]:
        """Return the tensors kept whose memory begins there."""
        if not self._memory:
            for kept in self._tensors.values():
                if kept.memory is not None:
                    self._memory.setdefault(kept.memory.untyped_storage().data_ptr(), []).append(kept.memory)
        return self._memory.get(pointer, [])

    def _follow(self, most: int) -> None:
        for _ in range(most):
            if not self._waiting:
                return
            value = self._waiting.popleft()
            kind = type(value)
            if kind not in self._keepers:
                self._keepers[kind] = self._keeper(kind)
            keep = self._keepers[kind]
            if keep is not None:
                self._attempt(keep, value)
        if self._waiting:
            self._beyond[f"more than {most} objects"] = None

    def _attempt(self, keep: Callable[[Any], None], value: Any) -> None:
        try:
            keep(value)
        except Exception:  # the objects are anybody's
            self._say(value)

    def _keeper(self, kind: type) -> Callable[[Any], None] | None:
        """The method that keeps objects of a type; None where they are left to themselves."""
        keepers: list[tuple[Any, Callable[[Any], None]]] = [
            (Tensor, self._keep_tensor), (nn.Module, self._keep_unregistered), (dict, self._keep_dict), (SEQUENCES, self._keep_sequence),
            (set, self._keep_set), ((tuple, frozenset), self._keep_entries), ((bytearray, array.array), self._keep_bytes),
            (np.ndarray, self._keep_array), (GENERATORS, self._keep_generator), (Optimizer, self._keep_optimizer),
            (FunctionType, self._keep_function), (MethodType, self._keep_method), (partial, self._keep_partial),
            (CellType, self._keep_cell), ((BuiltinFunctionType, MethodWrapperType), lambda method: self._reach(method.__self__)),
            ((io.StringIO, io.BytesIO), self._keep_text), (OUT_OF_REACH, self._say),
        ]  # fmt: skip
        for kinds, keep in keepers:
            if issubclass(kind, kinds):
                return keep
        return self._keep_object if not issubclass(kind, LARGE) and self._belongs(kind.__module__) else None

    def _reach(self, value: Any) -> None:
        """Keep a value later on."""
        kind = type(value)
        if kind in CONSTANT or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        self._waiting.append(value)
        if hasattr(kind, "__next__") and id(value) not in self._stand_ins and not self._is_kept(value):
            self._say(value)

    def _reach_in(self, value: Any, put: Callable[..., object], *where: Any) -> None:
        """Keep a value that its holder can be given another for, by a call: an iterator is replaced by a copy."""
        if type(value) is tuple or hasattr(type(value), "__next__"):
            other = stand_in(value, self._stand_ins)
            if other is not value:
                self._lent.append(partial(put, *where, other))
        self._reach(value)

    def _is_kept(self, value: Any) -> bool:
        """Tell whether an iterator is one whose attributes are all that moves."""
        return attributes(value) is not None and self._belongs(type(value).__module__)

    def _say(self, value: Any) -> None:
        self._beyond[f"a {type(value).__name__}"] = None

    def _keep_module(self, module: nn.Module) -> None:
        is_script = isinstance(module, torch.jit.ScriptModule)  # it keeps its mode and buffers out of Python's sight
        if is_script:
            self._put_back.append(partial(restore_values.restore_mode, module, module.training))
        stored = module.__dict__
        for buffer in module.buffers(recurse=False) if is_script else stored["_buffers"].values():
            if isinstance(buffer, Tensor):
                self._attempt(partial(self._keep_tensor, copies=True), buffer)
        for parameter in stored.get("_parameters", {}).values():
            if isinstance(parameter, Tensor):
                self._attempt(self._keep_tensor, parameter)
        self._keep_dict(stored)
        for kind in type(module).__mro__:
            if id(kind) not in self._seen and kind is not object and self._belongs(kind.__module__):
                self._keep_class(kind)

    def _keep_unregistered(self, module: nn.Module) -> None:
        self.unregistered.append(module)
        if module.training and isinstance(module, _NormBase | _DropoutNd):
            self._in_training.append(type(module).__name__)
        self._copies_parameters |= overriding_train([module])
        self._keep_module(module)

    def _keep_class(self, kind: type) -> None:
        self._seen[id(kind)] = kind
        contents = restore_values.class_contents(kind)
        self._put_back.append(partial(restore_values.restore_class, kind, contents))
        for name, value in contents.items():
            if not isinstance(value, FunctionType | staticmethod | classmethod | property):
                self._reach_in(value, type.__setattr__, kind, name)

    def _keep_tensor(self, tensor: Tensor, copies: bool = False, lazily: bool = False) -> None:
        """Keep a tensor: buffers with their values, parameters without, as a replay copies those that are written into."""
        if id(tensor) in self._tensors:
            return
        if tensor.is_inference() and not torch.is_inference_mode_enabled():  # nothing may write into it
            return
        kept = self._tensors[id(tensor)] = KeptTensor(tensor)
        lazily = lazily or (isinstance(tensor, nn.Parameter) and not self._copies_parameters)
        if kept.memory is not None and not lazily and (copies or kept.memory.nbytes <= LARGE_BYTES):
            kept.copy()
        if kept.hooks is not None:
            self._reach(kept.hooks)
        self._keep_dict(tensor.__dict__)

    def _keep_dict(self, container: dict[Any, Any]) -> None:
        kind = type(container)
        base = base_of(kind, MAPPINGS)
        contents = dict(base.items(container))
        self._put_back.append(partial(restore_values.restore_dict, container, contents, base))
        if len(contents) > ENTRIES:
            self._keep_entries(tuple(contents.values()))
        else:
            for key, value in contents.items():
                self._reach_in(value, base.__setitem__, container, key)
        if kind not in MAPPINGS:
            self._keep_object(container)

    def _keep_sequence(self, container: Any) -> None:
        base = base_of(type(container), SEQUENCES)
        contents = tuple(base.__iter__(container))
        self._put_back.append(partial(restore_values.restore_sequence, container, contents, base))
        if len(contents) > ENTRIES:
            self._keep_entries(contents)
        else:
            for index, value in enumerate(contents):
                self._reach_in(value, base.__setitem__, container, index)
        if type(container) is not base:
            self._keep_object(container)

    def _keep_set(self, container: set[Any]) -> None:
        self._put_back.append(partial(restore_values.restore_set, container, set(set.__iter__(container))))
        self._keep_entries(container)

    def _keep_entries(self, values: Any) -> None:
        """Keep what is inside the entries of a container."""
        if len(values) <= ENTRIES:
            for value in values:
                self._reach(value)
        elif any(type(value) not in CONSTANT for value, _ in zip(values, range(10), strict=False)):
            self._beyond[f"a {type(values).__name__} of {len(values)} objects"] = None
        if type(values) not in (tuple, set, frozenset):
            self._keep_object(values)

    def _keep_bytes(self, container: Any) -> None:
        self._put_back.append(partial(restore_values.restore_bytes, container, container[:]))
        self._keep_object(container)

    def _keep_array(self, values: np.ndarray) -> None:
        if values.dtype.kind == "O":
            self._keep_entries(tuple(values.ravel()))
        if values.flags.writeable and values.nbytes > LARGE_BYTES:
            self._beyond[f"an array of {values.nbytes >> 20} MiB"] = None
        elif values.flags.writeable:
            self._put_back.append(partial(restore_values.restore_array, values, np.array(values)))
        self._keep_object(values)

    def _keep_generator(self, source: Any) -> None:
        if isinstance(source, torch.Generator):
            self._put_back.append(partial(source.set_state, source.get_state()))
        elif isinstance(source, np.random.RandomState):
            self._put_back.append(partial(source.set_state, source.get_state(legacy=False)))
        elif isinstance(source, np.random.Generator | np.random.BitGenerator):
            bits = source.bit_generator if isinstance(source, np.random.Generator) else source
            self._put_back.append(partial(setattr, bits, "state", bits.state))
        elif not isinstance(source, random.SystemRandom):
            self._put_back.append(partial(source.setstate, source.getstate()))
        self._keep_object(source)

    def _keep_text(self, stream: Any) -> None:
        if not stream.closed:
            self._put_back.append(partial(stream.__setstate__, stream.__getstate__()))

    def _keep_optimizer(self, optimizer: Optimizer) -> None:
        """Keep what an optimizer has gathered, and copy the values when it takes a step."""
        tensors = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
        tensors += [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for tensor in tensors:
            self._keep_tensor(tensor, lazily=True)
        self._keep_object(optimizer)

        def before_step(*_: Any) -> None:
            for tensor in tensors:
                self._tensors[id(tensor)].copy()

        self._lent.append(
            partial(optimizer.register_step_pre_hook, before_step)
        )  # it goes as the attributes are put back

    def _keep_function(self, function: FunctionType) -> None:
        if self._belongs(function.__module__):
            for value in (*(function.__closure__ or ()), *(function.__defaults__ or ()), function.__kwdefaults__):
                self._reach(value)
            self._keep_object(function)

    def _keep_method(self, method: MethodType) -> None:
        self._reach(method.__self__)
        self._reach(method.__func__)

    def _keep_partial(self, call: Any) -> None:
        for value in (call.func, *call.args, *call.keywords.values()):
            self._reach(value)
        self._keep_object(call)

    def _keep_cell(self, cell: CellType) -> None:
        try:
            value = cell.cell_contents
        except ValueError:  # it is empty
            return
        self._put_back.append(partial(restore_values.restore_cell, cell, value))
        self._reach_in(value, setattr, cell, "cell_contents")

    def _keep_object(self, value: Any) -> None:
        """Keep the attributes of an object, and its slots."""
        stored, kind = attributes(value), type(value)
        if stored is not None and any(isinstance(entry, threading.Thread) for entry in stored.values()):
            self._say(value)  # another thread works on it
            return
        if stored is not None and id(stored) not in self._seen:
            self._seen[id(stored)] = stored
            self._keep_dict(stored)
        if kind not in self._slots:
            self._slots[kind] = slots(kind)
        for slot in self._slots[kind]:
            entry = restore_values.slot_value(slot, value)
            self._put_back.append(partial(restore_values.restore_slot, slot, value, entry))
            if entry is not MISSING:
                self._reach_in(entry, slot.__set__, value)


def kept_at(pointer: int) -> list[Tensor]:
    """Return the tensors of the networks that are being run whose memory begins there."""
    return [memory for snapshot in _in_use for memory in snapshot.kept_at(pointer)]


def overriding_train(modules: Iterable[nn.Module]) -> bool:
    """Tell whether a module of a network does something of its own when its mode changes, such as merging weights."""
    return any(type(m).train is not nn.Module.train or type(m).eval is not nn.Module.eval for m in modules)
