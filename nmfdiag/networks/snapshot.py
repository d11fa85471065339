"""Save and restore everything that running a network may change: attributes, buffers, modes, random states.

A forward pass may count its calls, keep activations, update a running mean or draw random numbers. None of that may reach the
training or the process that a network is borrowed from. Everything that its modules refer to is saved, also in unregistered modules,
containers, objects and closures. Restoring writes only what differs, so that a tensor that autograd still needs keeps its version.
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
"""Largest number of entries of a container whose contents are followed; of larger ones only the entries are saved."""
OBJECTS = 20_000
"""Largest number of objects that are followed, beside a hundred for each module."""
LARGE_BYTES = 64 * 2**20
"""Size above which tensors other than buffers are copied only when they are written into, and arrays are not saved."""
GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
SEQUENCES = (list, deque)
MAPPINGS = (OrderedDict, dict)

_in_use: list["Snapshot"] = []
"""Snapshots of the networks that are running, outermost first."""


class Snapshot:
    """The state of a network's modules and of everything that they hold.

    Args:
        model: The network.

    Attributes:
        unregistered: Modules in its lists, objects and the like, which ``model.modules()`` does not include.
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
            self._try_to_save(self._keep_module, module)
        self._save_queued(OBJECTS + 100 * len(registered))

    @property
    def remarks(self) -> list[str]:
        """Return sentences on what can't be restored, and on modules that ``model.eval()`` would not reach."""
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
        """Remove what can't be restored from the network: gradients, and iterators, which are replaced by copies."""
        _in_use.append(self)
        for record in self._tensors.values():
            if record.grad is not None:
                record.tensor.grad = None
        for put in self._lent:
            put()

    def restore(self) -> None:
        """Restore everything, without touching what has not changed.

        Raises:
            NmfdiagError: If something can't be restored; everything else is.
        """
        if self in _in_use:
            _in_use.remove(self)
        failed: Exception | None = None
        with torch.no_grad():
            for put_back in (*self._put_back, *(record.restore for record in self._tensors.values())):
                try:
                    put_back()
                except Exception as error:  # foreign objects may raise anything
                    failed = error
        if failed is not None:
            raise NmfdiagError(f"Something that running the network changes can't be put back: {failed}") from failed

    def kept_at(self, pointer: int) -> list[Tensor]:
        """Return the saved tensors whose memory starts at an address."""
        if not self._memory:
            for record in self._tensors.values():
                if record.memory is not None:
                    self._memory.setdefault(record.memory.untyped_storage().data_ptr(), []).append(record.memory)
        return self._memory.get(pointer, [])

    def _save_queued(self, limit: int) -> None:
        for _ in range(limit):
            if not self._waiting:
                return
            value = self._waiting.popleft()
            kind = type(value)
            if kind not in self._keepers:
                self._keepers[kind] = self._keeper(kind)
            keep = self._keepers[kind]
            if keep is not None:
                self._try_to_save(keep, value)
        if self._waiting:
            self._beyond[f"more than {limit} objects"] = None

    def _try_to_save(self, keep: Callable[[Any], None], value: Any) -> None:
        try:
            keep(value)
        except Exception:  # foreign objects may raise anything
            self._report_unsaved(value)

    def _keeper(self, kind: type) -> Callable[[Any], None] | None:
        """Return the method that saves objects of a type; None if they are left alone."""
        keepers: list[tuple[Any, Callable[[Any], None]]] = [
            (Tensor, self._keep_tensor), (nn.Module, self._keep_unregistered), (dict, self._keep_dict), (SEQUENCES, self._keep_sequence),
            (set, self._keep_set), ((tuple, frozenset), self._keep_entries), ((bytearray, array.array), self._keep_bytes),
            (np.ndarray, self._keep_array), (GENERATORS, self._keep_generator), (Optimizer, self._keep_optimizer),
            (FunctionType, self._keep_function), (MethodType, self._keep_method), (partial, self._keep_partial),
            (CellType, self._keep_cell), ((BuiltinFunctionType, MethodWrapperType), lambda method: self._queue(method.__self__)),
            ((io.StringIO, io.BytesIO), self._keep_text), (OUT_OF_REACH, self._report_unsaved),
        ]  # fmt: skip
        for kinds, keep in keepers:
            if issubclass(kind, kinds):
                return keep
        return self._keep_object if not issubclass(kind, LARGE) and self._belongs(kind.__module__) else None

    def _queue(self, value: Any) -> None:
        """Queue a value for saving."""
        kind = type(value)
        if kind in CONSTANT or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        self._waiting.append(value)
        if hasattr(kind, "__next__") and id(value) not in self._stand_ins and not self._is_saved(value):
            self._report_unsaved(value)

    def _queue_exchangeable(self, value: Any, put: Callable[..., object], *arguments: Any) -> None:
        """Queue a value that its holder can exchange by a call: iterators are replaced by copies."""
        if type(value) is tuple or hasattr(type(value), "__next__"):
            copy = stand_in(value, self._stand_ins)
            if copy is not value:
                self._lent.append(partial(put, *arguments, copy))
        self._queue(value)

    def _is_saved(self, value: Any) -> bool:
        """Return whether an iterator's state is in its attributes."""
        return attributes(value) is not None and self._belongs(type(value).__module__)

    def _report_unsaved(self, value: Any) -> None:
        self._beyond[f"a {type(value).__name__}"] = None

    def _keep_module(self, module: nn.Module) -> None:
        is_script = isinstance(module, torch.jit.ScriptModule)  # it keeps its mode and buffers out of Python's sight
        if is_script:
            self._put_back.append(partial(restore_values.restore_mode, module, module.training))
        stored = module.__dict__
        for buffer in module.buffers(recurse=False) if is_script else stored["_buffers"].values():
            if isinstance(buffer, Tensor):
                self._try_to_save(partial(self._keep_tensor, copies=True), buffer)
        for parameter in stored.get("_parameters", {}).values():
            if isinstance(parameter, Tensor):
                self._try_to_save(self._keep_tensor, parameter)
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
                self._queue_exchangeable(value, type.__setattr__, kind, name)

    def _keep_tensor(self, tensor: Tensor, copies: bool = False, lazily: bool = False) -> None:
        """Save a tensor: buffers with their values, parameters without, as a replay copies those that are written into."""
        if id(tensor) in self._tensors:
            return
        if tensor.is_inference() and not torch.is_inference_mode_enabled():  # nothing may write into it
            return
        record = self._tensors[id(tensor)] = KeptTensor(tensor)
        lazily = lazily or (isinstance(tensor, nn.Parameter) and not self._copies_parameters)
        if record.memory is not None and not lazily and (copies or record.memory.nbytes <= LARGE_BYTES):
            record.copy()
        if record.hooks is not None:
            self._queue(record.hooks)
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
                self._queue_exchangeable(value, base.__setitem__, container, key)
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
                self._queue_exchangeable(value, base.__setitem__, container, index)
        if type(container) is not base:
            self._keep_object(container)

    def _keep_set(self, container: set[Any]) -> None:
        self._put_back.append(partial(restore_values.restore_set, container, set(set.__iter__(container))))
        self._keep_entries(container)

    def _keep_entries(self, values: Any) -> None:
        """Save the contents of a container's entries."""
        if len(values) <= ENTRIES:
            for value in values:
                self._queue(value)
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
        """Save an optimizer's state, and copy its tensors' values when it takes a step."""
        tensors = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
        tensors += [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for tensor in tensors:
            self._keep_tensor(tensor, lazily=True)
        self._keep_object(optimizer)

        def before_step(*_: Any) -> None:
            for tensor in tensors:
                self._tensors[id(tensor)].copy()

        # Restoring the attributes removes the hook.
        self._lent.append(partial(optimizer.register_step_pre_hook, before_step))

    def _keep_function(self, function: FunctionType) -> None:
        if self._belongs(function.__module__):
            for value in (*(function.__closure__ or ()), *(function.__defaults__ or ()), function.__kwdefaults__):
                self._queue(value)
            self._keep_object(function)

    def _keep_method(self, method: MethodType) -> None:
        self._queue(method.__self__)
        self._queue(method.__func__)

    def _keep_partial(self, call: Any) -> None:
        for value in (call.func, *call.args, *call.keywords.values()):
            self._queue(value)
        self._keep_object(call)

    def _keep_cell(self, cell: CellType) -> None:
        try:
            value = cell.cell_contents
        except ValueError:  # it is empty
            return
        self._put_back.append(partial(restore_values.restore_cell, cell, value))
        self._queue_exchangeable(value, setattr, cell, "cell_contents")

    def _keep_object(self, value: Any) -> None:
        """Save the attributes of an object, and its slots."""
        stored, kind = attributes(value), type(value)
        if stored is not None and any(isinstance(entry, threading.Thread) for entry in stored.values()):
            self._report_unsaved(value)  # another thread works on it
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
                self._queue_exchangeable(entry, slot.__set__, value)


def kept_at(pointer: int) -> list[Tensor]:
    """Return the tensors of the running networks whose memory starts at an address."""
    return [memory for snapshot in _in_use for memory in snapshot.kept_at(pointer)]


def overriding_train(modules: Iterable[nn.Module]) -> bool:
    """Return whether a module overrides the change of its mode, for example to merge weights."""
    return any(type(m).train is not nn.Module.train or type(m).eval is not nn.Module.eval for m in modules)
