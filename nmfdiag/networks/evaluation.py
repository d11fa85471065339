"""Run a network as it is used, not as it is trained, and leave it, its parameters and the process as they were."""

import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.tensor_names import shown
from nmfdiag.networks.layers import shape_error
from nmfdiag.networks.restore_values import RandomStates
from nmfdiag.networks.snapshot import Snapshot
from nmfdiag.networks.wrappers import open_parts

RUN_ERRORS = (
    RuntimeError,
    ValueError,
    IndexError,
    TypeError,
    AssertionError,
    KeyError,
    AttributeError,
    NotImplementedError,
)


_process = threading.RLock()
"""Held while a network's own code runs: the random states that it starts from belong to the whole process."""
_networks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
"""Held while parts of one network run in modes that are not its own."""
_look_up = threading.Lock()


def _lock(model: nn.Module) -> threading.RLock:
    with _look_up:
        return _networks.setdefault(model, threading.RLock())


@contextmanager
def plainly() -> Iterator[None]:
    """Compute without gradients and without the caller's autocast or inference mode: in the types that tensors have."""
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():  # whose tensors would spoil what a module keeps of them
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def check_initialised(model: nn.Module) -> None:
    """Make sure that all of a network's tensors have a size; running it would give them one.

    Raises:
        NmfdiagError: If one has none.
    """
    for name, value in itertools.chain(model.named_parameters(), model.named_buffers()):
        if is_lazy(value):
            raise NmfdiagError(
                f"The size of {shown(name)} in {type(model).__name__} is not known yet: call the network on a sample before."
            )


def _uncompiled() -> AbstractContextManager[object]:
    """Run functions that ``torch.compile`` has wrapped as they are written; loading the compiler would take seconds."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _evaluate(model: nn.Module) -> None:
    try:
        model.eval()
    except NotImplementedError:  # an exported program has one mode
        pass
    except Exception as error:  # a network's own
        raise NmfdiagError(
            f"{type(model).__name__} can't be set to evaluation mode: {type(error).__name__}: {error}"
        ) from error


@contextmanager
def evaluating(model: nn.Module, inputs: Tensor) -> Iterator[Snapshot]:
    """Set a network to evaluation mode and run its own code in it: without gradients, and from one random state.

    Whatever the code changes is put back: modes, attributes, buffers, random states; compiled parts run uncompiled meanwhile. Modules
    that the network holds without having them registered are treated alike.

    Args:
        model: The network.
        inputs: What it is run on, for the error.

    Yields:
        What is put back afterwards.

    Raises:
        NmfdiagError: If the network can't take the inputs.
    """
    check_initialised(model)
    with _process, _lock(model):
        states = RandomStates()
        snapshot = Snapshot(model)
        try:
            states.seed()
            snapshot.lend()
            with plainly(), _uncompiled():
                for part in (model, *snapshot.unregistered):
                    open_parts(part)
                    if any(module.training for module in part.modules()):
                        _evaluate(part)
                yield snapshot
        except (NmfdiagError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # what a network's own code raises is not in our hands
            raise shape_error(model, inputs, error) from error
        finally:
            try:
                snapshot.restore()
            finally:
                states.restore()


@contextmanager
def in_modes(modules: list[tuple[nn.Module, bool]], model: nn.Module, inputs: Tensor) -> Iterator[None]:
    """Run parts of a network that keep nothing, in the modes that evaluation gave them.

    Args:
        modules: The network's modules, and whether each is in training mode then.
        model: The network.
        inputs: What it is run on, for the error.

    Raises:
        NmfdiagError: If the network can't take the inputs.
    """
    with _lock(model):
        changed = [(module, module.training) for module, training in modules if module.training is not training]
        try:
            for module, training in changed:
                module.training = not training
            with ExitStack() as stack:
                if torch.is_inference_mode_enabled():
                    stack.enter_context(torch.inference_mode(False))
                stack.enter_context(torch.no_grad())
                yield
        except (NmfdiagError, torch.OutOfMemoryError):
            raise
        except RUN_ERRORS as error:
            raise shape_error(model, inputs, error) from error
        finally:
            for module, training in changed:
                module.training = training
