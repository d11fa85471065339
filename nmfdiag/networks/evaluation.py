"""Run a network in evaluation mode, and leave it, its parameters and the process unchanged."""

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
from nmfdiag.networks.checkpoints.tensor_names import quoted
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
"""Held while a network's own code runs: random states belong to the whole process."""
_networks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
"""Held, by network, while its parts run with changed modes."""
_networks_lock = threading.Lock()


def _lock(model: nn.Module) -> threading.RLock:
    with _networks_lock:
        return _networks.setdefault(model, threading.RLock())


@contextmanager
def plainly() -> Iterator[None]:
    """Compute without gradients and without the caller's autocast or inference mode: tensors keep their types."""
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():  # a module may keep its tensors, which can't be used outside of it
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def check_initialised(model: nn.Module) -> None:
    """Check that all of a network's tensors have a size; running it would give them one.

    Raises:
        NmfdiagError: If one has no size.
    """
    for name, value in itertools.chain(model.named_parameters(), model.named_buffers()):
        if is_lazy(value):
            raise NmfdiagError(
                f"The size of {quoted(name)} in {type(model).__name__} is not known yet: call the network on a sample first."
            )


def _uncompiled() -> AbstractContextManager[object]:
    """Run functions wrapped by ``torch.compile`` uncompiled; loading the compiler would take seconds."""
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
    """Run a network's own code in evaluation mode, without gradients and from a fixed random state.

    Everything that the code changes is restored: modes, attributes, buffers, random states. Compiled parts run uncompiled. Modules
    that the network holds without registering them are treated alike.

    Args:
        model: The network.
        inputs: Its inputs, for the error.

    Yields:
        The state that is restored afterwards.

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
        except Exception as error:  # a network's own code may raise anything
            raise shape_error(model, inputs, error) from error
        finally:
            try:
                snapshot.restore()
            finally:
                states.restore()


@contextmanager
def in_modes(modules: list[tuple[nn.Module, bool]], model: nn.Module, inputs: Tensor) -> Iterator[None]:
    """Run stateless parts of a network in the given modes.

    Args:
        modules: The network's modules, and whether each is to be in training mode.
        model: The network.
        inputs: Its inputs, for the error.

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
