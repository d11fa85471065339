"""Moving inputs and networks to the device of a measurement."""

import copy

import torch
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError

DEVICES = 'Accepted are "cpu", "cuda" where PyTorch has one, and None, which leaves the network where it is.'


def inputs_on(device: str | None, inputs: Tensor) -> Tensor:
    """Return the inputs on a device; None leaves them where they are.

    Raises:
        NmfdiagError: If the device can't be used.
    """
    try:
        device_inputs = inputs.to(device)
    except Exception as error:  # its type depends on the device and the build of PyTorch
        raise NmfdiagError(f"device={device!r} can't be used here: {_first_line(error)} {DEVICES}") from error
    if device_inputs.is_meta:
        raise NmfdiagError(f"device={device!r} keeps no values to compute with. {DEVICES}")
    return device_inputs


def model_on(device: str | None, model: nn.Module) -> nn.Module:
    """Return the model if it is on the device already, else a copy there; the caller's stays where it is.

    Raises:
        NmfdiagError: If the model can't be copied.
    """
    parameter = next(model.parameters(), None)
    if device is None or parameter is None or parameter.device.type == torch.device(device).type:
        return model
    try:
        return copy.deepcopy(model).to(device)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a network may hold anything that can't be copied
        raise NmfdiagError(
            f"{type(model).__name__} can't be copied to device={device!r}: {_first_line(error)} Give it on that device already."
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{lines[0].rstrip('.')}."
