"""Run a network by its own code, observe every call of its activation functions, and replace their outputs.

Everything else is checked against these runs. A call is identified by the module that makes it, the place in the code, the last module
with parameters that ran before it, and how often that place was passed since. Where that number depends on the samples,
:mod:`nmfdiag.networks.passages` says so.
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
"""Key of the hooks, set directly: PyTorch's handles take longer than a small network runs."""
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class NotReached(NmfdiagError):
    """A batch does not call a layer."""


def not_reached(layer: str, kinds: frozenset[str]) -> NotReached:
    """Return the error for a batch that does not call a layer."""
    kind = "ReLU" if kinds == RELUS else "activation function"
    return NotReached(f"These samples do not reach the {kind} {layer!r}: the network's way depends on its inputs.")


class Observer(Protocol):
    """Follows a run: every function that the network's own code calls, and its leaf modules as a whole."""

    def start(self, inputs: Tensor) -> None: ...

    def enter(self, module: nn.Module) -> None: ...

    def leave(self, path: str, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None: ...

    def called(self, function: Any, name: str, args: tuple, kwargs: dict, output: Any) -> None: ...

    def layer(self, call: Call, output: Tensor) -> None: ...


def is_leaf(module: nn.Module) -> bool:
    """Return whether a module is one of PyTorch's without children, or one whose inside is hidden."""
    kind = type(module)
    if "parametrizations" in module._modules:  # not by getattr: a network may answer any name
        kind = kind.__mro__[1]
    children = {name for name, _ in module.named_children()} - {"parametrizations"}
    own = kind.__module__.startswith(("torch.nn.", "torch.ao.nn.")) and not isinstance(module, CONTAINERS)
    return isinstance(module, Opaque | nn.MultiheadAttention) or (own and not children)


class Replay:
    """Runs a model and observes each call of its activation functions, by hooks that are removed after every run.

    Args:
        model: The network.
        kinds: Names of activation functions in :data:`nmfdiag.networks.activations.KINDS`.

    Attributes:
        calls: Calls of these functions in the last run, in order.
        axes: The axis of the channels of each, after a survey.
        others: Number of calls of each other activation function.
        unseen: Why ReLUs in some modules can't be measured, after a survey.
    """

    def __init__(self, model: nn.Module, kinds: frozenset[str]):
        self.model, self.kinds = model, kinds
        self.calls: list[Call] = []
        self.axes: list[Axis] = []
        self.others: Counter[str] = Counter()
        self.unseen: dict[str, str] = {}
        self.written_otherwise: dict[tuple[str, str], dict[tuple[Any, int], str]] = {}
        """Kind of ReLU whose values a function computes, by module path and function name, then by place and pass."""
        self.passed: Counter[tuple[str, str, Any]] = Counter()
        """Largest number of passes of each place in a survey."""
        self.weighted = {path for path, module in model.named_modules() if next(module.parameters(), None) is not None}

    def survey(self, inputs: Tensor, observer: Observer | None = None) -> tuple[Any, list[Tensor]]:
        """Return the model's output, and an empty (meta) tensor of the shape of each layer's output, in execution order."""
        shapes: list[Tensor] = []

        def note(_: Call, output: Tensor) -> None:
            shapes.append(output.detach().to("meta"))

        return self.run(inputs, note, follow=True, observer=observer), shapes

    def shapes(self, inputs: Tensor, observer: Observer | None = None) -> tuple[Any, dict[Call, torch.Size]]:
        """Return the model's output, and the shape of each layer's output, in execution order."""
        shapes: dict[Call, torch.Size] = {}

        def note(call: Call, output: Tensor) -> None:
            shapes[call] = output.shape

        return self.run(inputs, note, observer=observer), shapes

    def capture(self, inputs: Tensor, layer: Call) -> tuple[Tensor, Any]:
        """Return a copy of the output of a layer, and the model's output."""
        outputs: list[Tensor] = []

        def keep(call: Call, output: Tensor) -> None:
            if call == layer:
                outputs.append(output.detach().clone())

        result = self.run(inputs, keep)
        return self._only(outputs, layer), result

    def substitute(self, inputs: Tensor, layer: Call, activation: Tensor) -> Any:
        """Return the model's output if a layer's output is replaced by ``activation``."""
        replacements: list[Tensor] = []

        def put(call: Call, _: Tensor) -> Tensor | None:
            if call != layer:
                return None
            replacements.append(activation.detach().clone())
            return replacements[0]

        result = self.run(inputs, put)
        self._only(replacements, layer)
        return result

    def run(self, inputs: Tensor, on_layer: OnLayer, *, follow: bool = False, observer: Observer | None = None) -> Any:
        """Return the model's output; ``on_layer`` gets each call and its output, and may return a replacement.

        ``follow`` tracks the axis of the channels, and finds ReLUs that are written in other ways by their values.
        """
        self.calls, self.axes, self.others = [], [], Counter()
        batch = inputs.detach().clone()
        intercept = _Intercept(self, on_layer, ChannelTracer(batch) if follow else None, observer)
        if observer is not None:
            observer.start(batch)
        try:
            with intercept.hooks(), intercept:
                return self.model(batch)
        finally:
            intercept.restore()
            if follow:
                self.passed |= intercept.passed

    def random_calls(self, inputs: Tensor) -> list[str]:
        """Return the names of modules and functions that draw random numbers."""
        names: dict[str, None] = {}
        self.calls, self.axes, self.others = [], [], Counter()
        states = [RandomStates()]

        class Watch(TorchFunctionMode):
            def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
                output = func(*args, **(kwargs or {}))
                with torch._C.DisableTorchFunction():
                    generators = states[0].drawn_since()
                    if generators:
                        states[0] = RandomStates()
                        path = intercept.stack[-1][0] if intercept.stack else ""
                        source = function_name(func) if "torch" in generators else " and ".join(generators)
                        names[f"{source} in {path}" if path else source] = None
                return output

        batch = inputs.detach().clone()
        intercept = _Intercept(self, lambda *_: None, None, None)
        try:
            with intercept.hooks(), Watch(), intercept:
                self.model(batch)
        finally:
            intercept.restore()
        return list(names)

    def _only(self, outputs: list[Tensor], layer: Call) -> Tensor:
        if not outputs:
            raise not_reached(layer.path or layer.function, self.kinds)
        return outputs[0]


class _Intercept(TorchFunctionMode):
    """Shows every layer's output to ``on_layer``, and replaces it by what that returns."""

    def __init__(self, replay: Replay, on_layer: OnLayer, tracer: ChannelTracer | None, observer: Observer | None):
        super().__init__()
        self.replay, self.on_layer, self.tracer, self.observer = replay, on_layer, tracer, observer
        self.stack: list[tuple[str, nn.Module]] = []
        self.passed: Counter[tuple[str, str, Any]] = Counter()
        self.after = ""
        """Path of the last module with parameters that has run: it identifies the layer where a loop shares one activation."""
        self.leaves = 0
        self.thread = threading.get_ident()
        self.parameters: dict[int, list[Tensor]] = {}
        for parameter in filter(_has_memory, replay.model.parameters()):
            self.parameters.setdefault(parameter.untyped_storage().data_ptr(), []).append(parameter.detach())
        self.written: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self.layers: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def restore(self) -> None:
        """Restore parameters that the network has written into."""
        with torch.no_grad():
            for memory, values in (pair for pairs in self.written.values() for pair in pairs):
                memory.copy_(values)

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name, passing = function_name(func), None
        path, module = self.stack[-1] if self.stack else ("", None)
        inside = type(module) if module is not None else None
        kind = kind_of_call(func, inside)
        if torch._C._functorch.peek_interpreter_stack() is not None:  # its tensors are stand-ins
            if kind in self.replay.kinds:
                self.replay.unseen[path or name] = "it is inside a transform of torch.func, such as vmap"
            return func(*args, **kwargs)
        writes = name == "__setitem__" or writes_in_place(name)
        if writes or "out" in kwargs:
            self._keep_parameter(kwargs.get("out") if "out" in kwargs else args[0] if args else None)
        elif renormalises(name, args, kwargs):
            self._keep_parameter(kwargs.get("weight", args[1] if len(args) > 1 else None))
        candidates = self._relu_candidates(writes, args, kwargs) if self.tracer is not None else None
        output = func(*args, **kwargs)
        if self.tracer is not None:
            self.tracer.follow(func, name, args, kwargs, output)
        if self.observer is not None and not self.leaves:
            self.observer.called(func, name, args, kwargs, output)
        result = args[0] if name in WRITES else output
        if candidates is not None and name.startswith("rnn_relu"):
            self.replay.unseen[path] = "its ReLUs are inside one operation of PyTorch (a recurrent network's)"
        elif kind is None and candidates is not None and isinstance(result, Tensor):
            kind = next((relu for source in candidates if (relu := relu_kind(source, result))), None)
            if kind is not None and self._repeats_layer(result, args, kwargs):
                kind = None
            if candidates:
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
            result.copy_(put)  # in place: holders of the layer's input, or of a view of it, see its output
            return output
        return put

    def _repeats_layer(self, result: Tensor, args: tuple, kwargs: dict) -> bool:
        """Return whether a result is a copy of a layer's output."""
        candidates = (value for value in tensors_in((*args, *kwargs.values())) if value is not result)
        return any(value in self.layers and torch.equal(value, result) for value in candidates)

    def _passing(self, path: str, name: str) -> tuple[Any, int]:
        """Return a call's place in the code, with the module before it, and how often that has been passed before."""
        place = (self.after, *_place(Replay.run.__code__))
        self.passed[path, name, place] += 1
        return place, self.passed[path, name, place] - 1

    def _written_otherwise(self, path: str, name: str, place: Any, time: int) -> str | None:
        """Return the kind of ReLU that a survey found there; a pass beyond those of any survey counts as one of them."""
        kinds = self.replay.written_otherwise[path, name]
        if time < self.replay.passed[path, name, place]:
            return kinds.get((place, time))
        return next((kind for (known_place, _), kind in kinds.items() if known_place == place), None)

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
        """Copy parameters, or other tensors that the network holds, before they are first written into."""
        for tensor in filter(_has_memory, tensors_in((target,))):
            pointer = tensor.untyped_storage().data_ptr()
            if pointer not in self.written and (memories := self.parameters.get(pointer) or kept_at(pointer)):
                self.written[pointer] = [(memory, memory.clone()) for memory in memories]

    def _relu_candidates(self, writes: bool, args: tuple, kwargs: dict) -> list[Tensor]:
        """Return the tensors whose ReLU an operation may be, as they are before it."""
        candidates = [
            value for value in tensors_in((*args, *kwargs.values())) if value.is_floating_point() and value.numel()
        ]
        if writes:
            candidates = [value.detach().clone() for value in candidates[:1]]
        return candidates

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Track which modules are running, outermost first."""

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
        """Measure a hidden part if it is a ReLU as a whole; else note that its ReLUs can't be seen."""
        if self.tracer is None:
            kind = self.replay.written_otherwise.get((path, ""), {}).get(((), 0))
        else:
            with torch._C.DisableTorchFunction():
                self.tracer.follow(nn.Identity(), "", args, {}, output)
                inputs = tensors_in(args)
                kind = relu_kind(inputs[0], output) if inputs and isinstance(output, Tensor) else None
                if kind is None:
                    self.replay.unseen[path] = "it is TorchScript: what it calls can't be seen"
                else:
                    self.replay.written_otherwise[path, ""] = {((), 0): kind}
                    self.tracer.keep(inputs[0], output)
        with torch._C.DisableTorchFunction():
            return None if kind is None else self._layer(path, True, "", kind, output)


def _has_memory(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_meta and tensor.numel() > 0


def _place(stop: CodeType) -> tuple[Any, ...]:
    """Return a call's place in the network's own code: code and instruction of every frame, innermost first."""
    frame, place = sys._getframe(2), []
    while frame is not None and frame.f_code is not stop:
        code = frame.f_code
        if not code.co_filename.startswith(TORCH) and code.co_filename != __file__:
            place.append((code.co_filename, code.co_firstlineno, frame.f_lasti))
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(place)
