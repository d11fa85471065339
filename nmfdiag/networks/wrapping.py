"""The network inside what training puts around it: ``torch.compile``, data parallelism, averaging of weights."""

import torch
from torch import nn

from nmfdiag.errors import NmfdiagError

INNER = ("_orig_mod", "module")
"""Where ``torch.compile``, and where DataParallel, DistributedDataParallel and AveragedModel keep it."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Take off wrappers whose only part is the network: it computes the same, and it can be looked into.

    Args:
        model: Any module; itself is returned where nothing is around it.

    Raises:
        NmfdiagError: If it is TorchScript, which shows none of its parts.

    >>> inner = nn.Linear(2, 2)
    >>> unwrapped(nn.DataParallel(inner)) is inner
    True
    """
    while True:
        if isinstance(model, torch.jit.ScriptModule):
            raise NmfdiagError(
                "A TorchScript network (torch.jit) can't be looked into: build the network by its Python code and give it the same "
                "weights, network.load_state_dict(script.state_dict())."
            )
        names = [name for name, _ in model.named_children()]
        if len(names) != 1 or names[0] not in INNER or not _is_wrapper(model, names[0]):
            return model
        model = getattr(model, names[0])


def _is_wrapper(model: nn.Module, inner: str) -> bool:
    """Whether a module is one of torch's wrappers, not somebody's own that happens to call its part so."""
    return inner == "_orig_mod" or type(model).__module__.startswith("torch.")
