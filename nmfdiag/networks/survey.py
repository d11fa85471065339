"""Survey a network in a run: its activation functions, the modules that it never calls, the size of its outputs, its kind."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.activations import ACTIVATIONS, GATES, MODULES, kind_of_class
from nmfdiag.networks.architectures import CONVOLUTIONAL, FULLY_CONNECTED, OTHER, RESIDUAL
from nmfdiag.networks.evaluation import evaluating
from nmfdiag.networks.intercept import Replay
from nmfdiag.networks.layers import Call, ReluLayer, describe
from nmfdiag.networks.outputs import logits_of

AUXILIARY_MARK = "aux"
"""Part of the names of heads that only training uses."""
ADDITIONS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
OTHER_MODULES = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.RNNBase, nn.RNNCellBase, nn.Embedding)
"""Modules of networks that no reference network resembles."""


@dataclass(frozen=True)
class Survey:
    """Results of one run of a network in evaluation mode.

    Attributes:
        layers: Every activation function that it calls, in execution order.
        gates: Path and class of every gate (sigmoid, tanh, softmax) that it calls.
        never_called: Path and class of modules that it doesn't call: activations, gates, and whole parts with some inside.
        bytes: Largest memory that inputs and outputs of one module take for one sample.
        replay: Runs the network again; it knows the calls.
    """

    layers: tuple[ReluLayer, ...]
    gates: dict[str, str]
    never_called: dict[str, str]
    bytes: int
    replay: Replay


def survey(model: nn.Module, example: Tensor) -> Survey:
    """Run a network once and record its calls.

    Args:
        model: The network; it is left unchanged.
        example: A batch (n, ...) that it takes.

    Raises:
        NmfdiagError: If it can't take the batch.
    """
    called: set[str] = set()
    largest = 0
    handles = []

    def note(path: str, is_leaf: bool) -> object:
        def hook(_: nn.Module, inputs: object, output: object) -> None:
            nonlocal largest
            called.add(path)
            if is_leaf:
                values = [*(inputs if isinstance(inputs, tuple) else ()), output]
                largest = max(largest, sum(value.nbytes for value in values if isinstance(value, Tensor)))

        return hook

    replay = Replay(model, ACTIVATIONS["all"])
    with evaluating(model, example):
        try:
            for path, module in model.named_modules():
                handles.append(module.register_forward_hook(note(path, not any(module.children()))))  # type: ignore[arg-type]
            _, shapes = replay.survey(example)
        finally:
            for handle in handles:
                handle.remove()
    layers = describe(list(zip(replay.calls, shapes, replay.axes, strict=True)))
    gates = {path: type(m).__name__ for path, m in model.named_modules() if isinstance(m, GATES) and path in called}
    return Survey(tuple(layers), gates, _never_called(model, called), largest // max(1, len(example)), replay)


def largest_values(
    model: nn.Module, inputs: Tensor, pick: Callable[[Any], Tensor] = logits_of, replay: Replay | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Run a network and measure the outputs of its activation functions.

    Args:
        model: The network.
        inputs: A batch (n, ...).
        pick: Returns the logits in an output of the network.
        replay: That of :func:`survey`; by default only calls of activation functions count.

    Returns:
        The logits (n, classes), and for each activation function in execution order its largest absolute output for each
        sample (n,); one value (1,) if its output has no axis of samples.

    Raises:
        NmfdiagError: If the network can't take the inputs.
    """
    maxima: list[Tensor] = []

    def measure(_: Call, output: Tensor) -> None:
        has_samples = output.ndim > 0 and len(output) == len(inputs)
        maxima.append(output.detach().abs().reshape(len(inputs) if has_samples else 1, -1).amax(1))

    with evaluating(model, inputs):
        output = (replay or Replay(model, ACTIVATIONS["all"])).run(inputs, measure)
    return pick(output).detach(), maxima


def _never_called(model: nn.Module, called: set[str]) -> dict[str, str]:
    """Return the outermost parts without a called module that hold an activation or a gate, or are named as auxiliary heads."""
    paths = dict(model.named_modules())
    alive = {".".join(parts[:i]) for path in called for parts in [path.split(".")] for i in range(len(parts) + 1)}
    uncalled = {}
    for path, module in paths.items():
        parent = path.rpartition(".")[0]
        if path in alive or parent not in alive:
            continue
        holds = any(isinstance(inner, (*MODULES, *GATES)) for inner in module.modules())
        if holds or AUXILIARY_MARK in path.lower():
            uncalled[path] = kind_of_class(type(module)) or type(module).__name__
    return uncalled


def kind_of_model(model: nn.Module, inputs: Tensor) -> str:
    """Return a network's kind, by its modules and, if it has convolutions, by whether a run on two samples adds two maps."""
    modules = list(model.modules())
    if any(isinstance(module, OTHER_MODULES) for module in modules):
        return OTHER
    if any(isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) for module in modules):
        return RESIDUAL if _adds_maps(model, inputs[:2]) else CONVOLUTIONAL
    return FULLY_CONNECTED if any(isinstance(module, nn.Linear) for module in modules) else OTHER


class _AdditionWatcher(TorchFunctionMode):
    """Notices additions of two maps."""

    adds_maps = False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        terms = [value for value in args[:2] if isinstance(value, Tensor) and value.ndim > 2]
        self.adds_maps |= len(terms) == 2 and getattr(function, "__name__", "") in ADDITIONS
        return function(*args, **(kwargs or {}))


def _adds_maps(model: nn.Module, inputs: Tensor) -> bool:
    weight, watcher = next(model.parameters()), _AdditionWatcher()
    samples = inputs.to(weight.device, weight.dtype if inputs.is_floating_point() else None)
    with suppress(NmfdiagError), evaluating(model, samples), watcher:  # some networks take batches of one size only
        model(samples)
    return watcher.adds_maps
