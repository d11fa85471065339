"""Run a network as it is used, not as it is trained, and leave it as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.layers import shape_error

RUN_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError)


@contextmanager
def evaluating(model: nn.Module, inputs: Tensor) -> Iterator[None]:
    """Evaluation mode without gradients; the mode is restored, and what the network can't take becomes our error.

    Args:
        model: The network.
        inputs: What it is run on, for the error.

    Raises:
        NmfdiagError: If the network can't take the inputs.
    """
    training = [module for module in model.modules() if module.training]
    try:
        if training:
            model.eval()
        with torch.no_grad():  # as fast as inference_mode, whose tensors would spoil what a module keeps of them
            yield
    except (NmfdiagError, torch.OutOfMemoryError):
        raise
    except RUN_ERRORS as error:
        raise shape_error(model, inputs, error) from error
    finally:
        for module in training:
            module.training = True
