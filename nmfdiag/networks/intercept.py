"""Run a network by its own code, see every call of its activation functions, and put other outputs in the place of theirs.

This is the truth that everything else is held against. A call is known by the module that makes it, by the place in the code, by the
module with parameters that has run before it, and by how often that place has been passed after it. Where that number depends on the
samples, :mod:`nmfdiag.networks.passages` says so.
"""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.activations import RELUS, kind_of_call, kind_of_class, relu_kind
from nmfdiag.networks.channel_marks import Axis
from nmfdiag.networks.channels import ChannelTracer, function_name, tensors_in
from nmfdiag.networks.graph_cut import renormalises, writes_in_place
from nmfdiag.networks.layers import Call
from nmfdiag.networks.restore_values import RandomStates
from nmfdiag.networks.snapshot import kept_at
from nmfdiag.networks.wrappers import Opaque

TORCH = str(Path(torch.__file__).parent)
OnLayer = Callable[[Call, Tensor], Tensor | None]
WRITES = ("__setitem__", "copy_")
HOOK = "nmfdiag"
"""Key of the hooks: handles as PyTorch gives them out take longer than a small network runs."""
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class NotReached(NmfdiagError):
    """A layer that a batch does not call."""


def not_reached(layer: str, kinds: frozenset[str]) -> NotReached:
    """Say that a batch does not call a layer."""
    what = "ReLU" if kinds == RELUS else "activation function"
    return NotReached(f"These samples do not reach the {what} {layer!r}: the network's way depends on its inputs.")


class Observer(Protocol):
    """What may watch a run beside: every function that the network's own code calls, and its leaf modules as a whole."""

    def start(self, inputs: Tensor) -> None: ...

    def enter(self, module: nn.Module) -> None: ...

    def leave(self, path: str, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None: ...

    def called(self, function: Any, name: str, args: tuple, kwargs: dict, output: Any) -> None: ...

    def layer(self, call: Call, output: Tensor) -> None: ...


def is_leaf(module: nn.Module) -> bool:
    """Tell whether a module is one of PyTorch's own without modules inside, or one that can't be looked into."""
    kind = type(module)
    if "parametrizations" in module._modules:  # not asked for by name: a network may answer any name
        kind = kind.__mro__[1]
    children = {name for name, _ in module.named_children()} - {"parametrizations"}
    own = kind.__module__.startswith(("torch.nn.", "torch.ao.nn.")) and not isinstance(module, CONTAINERS)
    return isinstance(module, Opaque | nn.MultiheadAttention) or (own and not children)


class Replay:
    """Runs a model and sees each call of its activation functions, by hooks that are removed after every run.

    Args:
        model: The network.
        kinds: Which activation functions, by their names in :data:`nmfdiag.networks.activations.KINDS`.

    Attributes:
        calls: After a run, where each of them was called.
        axes: And what is known of the axis of its channels (after a survey).
        others: How often each other activation function was called.
        unseen: After a survey, why ReLUs in some modules can't be measured.
    """

    def __init__(self, model: nn.Module, kinds: frozenset[str]):
        self.model, self.kinds = model, kinds
        self.calls: list[Call] = []
        self.axes: list[Axis] = []
        self.others: Counter[str] = Counter()
        self.unseen: dict[str, str] = {}
        self.written_otherwise: dict[tuple[str, str], dict[tuple[Any, int], str]] = {}
        """For module paths and function names: the places, and passes there, whose values are those of a ReLU, and its kind."""
        self.passed: Counter[tuple[str, str, Any]] = Counter()
        """How often each place was passed in a survey, at most."""
        self.weighted = {path for path, module in model.named_modules() if next(module.parameters(), None) is not None}

    def survey(self, inputs: Tensor, observer: Observer | None = None) -> tuple[Any, list[Tensor]]:
        """The model's output, and an empty (meta) tensor of the shape of each layer's output, in execution order."""
        shapes: list[Tensor] = []

        def note(_: Call, output: Tensor) -> None:
            shapes.append(output.detach().to("meta"))

        return self.run(inputs, note, follow=True, observer=observer), shapes

    def shapes(self, inputs: Tensor, observer: Observer | None = None) -> tuple[Any, dict[Call, torch.Size]]:
        """The model's output, and the shape of each layer's output, in execution order."""
        shapes: dict[Call, torch.Size] = {}

        def note(call: Call, output: Tensor) -> None:
            shapes[call] = output.shape

        return self.run(inputs, note, observer=observer), shapes

    def capture(self, inputs: Tensor, layer: Call) -> tuple[Tensor, Any]:
        """A copy of the output of a layer, and the model's output."""
        kept: list[Tensor] = []

        def keep(call: Call, output: Tensor) -> None:
            if call == layer:
                kept.append(output.detach().clone())

        result = self.run(inputs, keep)
        return self._only(kept, layer), result

    def substitute(self, inputs: Tensor, layer: Call, activation: Tensor) -> Any:
        """The model's output where a layer gives ``activation``."""
        done: list[Tensor] = []

        def put(call: Call, _: Tensor) -> Tensor | None:
            if call != layer:
                return None
            done.append(activation.detach().clone())
            return done[0]

        result = self.run(inputs, put)
        self._only(done, layer)
        return result

    def run(self, inputs: Tensor, on_layer: OnLayer, *, follow: bool = False, observer: Observer | None = None) -> Any:
        """The model's output; ``on_layer`` gets each call and its output, and may put another in its place.

        ``follow`` keeps track of the axis that channels are on, and finds ReLUs that are written otherwise by their values.
        """
        self.calls, self.axes, self.others = [], [], Counter()
        kept = inputs.detach().clone()
        intercept = _Intercept(self, on_layer, ChannelTracer(kept) if follow else None, observer)
        if observer is not None:
            observer.start(kept)
        try:
            with intercept.hooks(), intercept:
                return self.model(kept)
        finally:
            intercept.restore()
            if follow:
                self.passed |= intercept.passed

    def random_calls(self, inputs: Tensor) -> list[str]:
        """Name the modules and functions that draw random numbers."""
        sources: dict[str, None] = {}
        self.calls, self.axes, self.others = [], [], Counter()
        states = [RandomStates()]

        class Watch(TorchFunctionMode):
            def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
                output = func(*args, **(kwargs or {}))
                with torch._C.DisableTorchFunction():
                    drawn = states[0].drawn_since()
                    if drawn:
                        states[0] = RandomStates()
                        path = intercept.stack[-1][0] if intercept.stack else ""
                        source = function_name(func) if "torch" in drawn else " and ".join(drawn)
                        sources[f"{source} in {path}" if path else source] = None
                return output

        kept = inputs.detach().clone()
        intercept = _Intercept(self, lambda *_: None, None, None)
        try:
            with intercept.hooks(), Watch(), intercept:
                self.model(kept)
        finally:
            intercept.restore()
        return list(sources)

    def _only(self, kept: list[Tensor], layer: Call) -> Tensor:
        if not kept:
            raise not_reached(layer.path or layer.function, self.kinds)
        return kept[0]


class _Intercept(TorchFunctionMode):
    """Shows every layer's output to ``on_layer``, and puts what that returns in its place."""

    def __init__(self, replay: Replay, on_layer: OnLayer, tracer: ChannelTracer | None, observer: Observer | None):
        super().__init__()
        self.replay, self.on_layer, self.tracer, self.observer = replay, on_layer, tracer, observer
        self.stack: list[tuple[str, nn.Module]] = []
        self.passed: Counter[tuple[str, str, Any]] = Counter()
        self.after = ""
        """Path of the last module with parameters that has run: where a loop shares one activation, it tells whose that is."""
        self.leaves = 0
        self.thread = threading.get_ident()
        self.parameters: dict[int, list[Tensor]] = {}
        for parameter in filter(_has_memory, replay.model.parameters()):
            self.parameters.setdefault(parameter.untyped_storage().data_ptr(), []).append(parameter.detach())
        self.written: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self.layers: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def restore(self) -> None:
        """Put parameters back that the network has written into."""
        with torch.no_grad():
            for memory, values in (pair for pairs in self.written.values() for pair in pairs):
                memory.copy_(values)

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name, passing = function_name(func), None
        path, module = self.stack[-1] if self.stack else ("", None)
        inside = type(module) if module is not None else None
        kind = kind_of_call(func, inside)
        if torch._C._functorch.peek_interpreter_stack() is not None:  # its tensors stand for others
            if kind in self.replay.kinds:
                self.replay.unseen[path or name] = "it is inside a transform of torch.func, such as vmap"
            return func(*args, **kwargs)
        writes = name == "__setitem__" or writes_in_place(name)
        if writes or "out" in kwargs:
            self._keep_parameter(kwargs.get("out") if "out" in kwargs else args[0] if args else None)
        elif renormalises(name, args, kwargs):
            self._keep_parameter(kwargs.get("weight", args[1] if len(args) > 1 else None))
        before = self._before(writes, args, kwargs) if self.tracer is not None else None
        output = func(*args, **kwargs)
        if self.tracer is not None:
            self.tracer.follow(func, name, args, kwargs, output)
        if self.observer is not None and not self.leaves:
            self.observer.called(func, name, args, kwargs, output)
        result = args[0] if name in WRITES else output
        if before is not None and name.startswith("rnn_relu"):
            self.replay.unseen[path] = "its ReLUs are inside one operation of PyTorch (a recurrent network's)"
        elif kind is None and before is not None and isinstance(result, Tensor):
            kind = next((found for given in before if (found := relu_kind(given, result))), None)
            if kind is not None and self._repeats_layer(result, args, kwargs):
                kind = None
            if before:
                passing = self._passing(path, name)
                if kind is not None:
                    self.replay.written_otherwise.setdefault((path, name), {})[passing] = kind
        elif kind is None and (path, name) in self.replay.written_otherwise:
            passing = self._passing(path, name)
            kind = self._written_otherwise(path, name, *passing)
        if kind is None or not isinstance(result, Tensor):
            return output
        is_module = kind_of_class(inside) in self.replay.kinds and kind_of_call(func, inside) is not None
        put = self._layer(path, is_module, "" if is_module else name.lstrip("_"), kind, result, passing)
        if put is None:
            return output
        if any(result is value for value in tensors_in((*args, *kwargs.values()))):
            result.copy_(put)  # in place: whoever holds the layer's input, or a view of it, sees its output
            return output
        return put

    def _repeats_layer(self, result: Tensor, args: tuple, kwargs: dict) -> bool:
        """Whether what was made is a copy of a layer's output."""
        given = (value for value in tensors_in((*args, *kwargs.values())) if value is not result)
        return any(value in self.layers and torch.equal(value, result) for value in given)

    def _passing(self, path: str, name: str) -> tuple[Any, int]:
        """The place in the code of a call, after which module, and how often it has been passed before."""
        place = (self.after, *_place(Replay.run.__code__))
        self.passed[path, name, place] += 1
        return place, self.passed[path, name, place] - 1

    def _written_otherwise(self, path: str, name: str, place: Any, time: int) -> str | None:
        """The kind of ReLU that a survey has found there; one more pass than any survey made is taken for what the others are."""
        kinds = self.replay.written_otherwise[path, name]
        if time < self.replay.passed[path, name, place]:
            return kinds.get((place, time))
        return next((kind for (known, _), kind in kinds.items() if known == place), None)

    def _layer(
        self, path: str, is_module: bool, name: str, kind: str, output: Tensor, passing: tuple[Any, int] | None = None
    ) -> Tensor | None:
        if kind not in self.replay.kinds:
            self.replay.others[kind] += 1
            return None
        place, time = passing or self._passing(path, name)
        call = Call(path, is_module, name, kind, place, time)
        self.replay.calls.append(call)
        self.layers[output] = True
        self.replay.axes.append(self.tracer.axis(output) if self.tracer is not None else Axis())
        if self.observer is not None:
            self.observer.layer(call, output)
        return self.on_layer(call, output)

    def _keep_parameter(self, target: Any) -> None:
        """Copy a parameter, or whatever else the network holds, before it is written into for the first time; or a list of them."""
        for tensor in filter(_has_memory, tensors_in((target,))):
            pointer = tensor.untyped_storage().data_ptr()
            if pointer not in self.written and (kept := self.parameters.get(pointer) or kept_at(pointer)):
                self.written[pointer] = [(memory, memory.clone()) for memory in kept]

    def _before(self, writes: bool, args: tuple, kwargs: dict) -> list[Tensor]:
        """The tensors that an operation may be a ReLU of, as they are before it."""
        given = [
            value for value in tensors_in((*args, *kwargs.values())) if value.is_floating_point() and value.numel()
        ]
        if writes:
            given = [value.detach().clone() for value in given[:1]]
        return given

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Keep track of which modules are running, outermost first."""

        def enter(path: str, leaf: bool) -> Callable[..., None]:
            def hook(module: nn.Module, *_: Any) -> None:
                if threading.get_ident() != self.thread:
                    return
                self.stack.append((path, module))
                if leaf:
                    if self.observer is not None and not self.leaves:
                        self.observer.enter(module)
                    self.leaves += 1

            return hook

        def leave(path: str, leaf: bool) -> Callable[..., Any]:
            def hook(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
                if threading.get_ident() != self.thread:
                    return None
                self.stack.pop()
                self.after = path if path in self.replay.weighted else self.after
                put = None
                if leaf:
                    self.leaves -= 1
                    if self.observer is not None and not self.leaves:
                        self.observer.leave(path, module, args, kwargs, output)
                    if isinstance(module, Opaque):
                        put = self._opaque(path, args, output)
                return put

            return hook

        modules = [module for _, module in self.replay.model.named_modules()]
        try:
            for path, module in self.replay.model.named_modules():
                leaf = is_leaf(module)
                module._forward_pre_hooks[HOOK] = enter(path, leaf)  # type: ignore[index]
                module._forward_pre_hooks.move_to_end(HOOK, last=False)  # type: ignore[attr-defined, arg-type]
                module._forward_hooks[HOOK] = leave(path, leaf)  # type: ignore[index]
                module._forward_hooks_with_kwargs[HOOK] = module._forward_hooks_always_called[HOOK] = True  # type: ignore[index]
            yield
        finally:
            for module in modules:
                for hooks in (
                    module._forward_pre_hooks, module._forward_hooks, module._forward_hooks_with_kwargs,
                    module._forward_hooks_always_called,
                ):  # fmt: skip
                    hooks.pop(HOOK, None)  # type: ignore[call-overload]

    def _opaque(self, path: str, args: tuple, output: Any) -> Tensor | None:
        """Measure a part that can't be looked into where it is a ReLU as a whole; else say that its ReLUs are not seen."""
        if self.tracer is None:
            kind = self.replay.written_otherwise.get((path, ""), {}).get(((), 0))
        else:
            with torch._C.DisableTorchFunction():
                self.tracer.follow(nn.Identity(), "", args, {}, output)
                given = tensors_in(args)
                kind = relu_kind(given[0], output) if given and isinstance(output, Tensor) else None
                if kind is None:
                    self.replay.unseen[path] = "it is TorchScript: what it calls can't be seen"
                else:
                    self.replay.written_otherwise[path, ""] = {((), 0): kind}
                    self.tracer.keep(given[0], output)
        with torch._C.DisableTorchFunction():
            return None if kind is None else self._layer(path, True, "", kind, output)


def _has_memory(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_meta and tensor.numel() > 0


def _place(stop: CodeType) -> tuple[Any, ...]:
    """Where in the network's own code the call stands: code and instruction of every frame, innermost first."""
    frame, place = sys._getframe(2), []
    while frame is not None and frame.f_code is not stop:
        code = frame.f_code
        if not code.co_filename.startswith(TORCH) and code.co_filename != __file__:
            place.append((code.co_filename, code.co_firstlineno, frame.f_lasti))
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(place)
