"""Unwrap a network from what training puts around it: ``torch.compile``, data parallelism, averaging of weights."""

from typing import Any

import torch
from torch import nn

from nmfdiag.errors import NmfdiagError

INNER = ("_orig_mod", "module")
"""Attributes that hold the network: of ``torch.compile``; of DataParallel, DistributedDataParallel and AveragedModel."""


class Opaque(nn.Module):
    """A TorchScript part of a network: it runs unchanged, but its calls are hidden."""

    def __init__(self, script: nn.Module):
        super().__init__()
        object.__setattr__(self, "script", script)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.script(*args, **kwargs)

    def train(self, mode: bool = True) -> "Opaque":
        """Set the mode of the part, too."""
        self.script.train(mode)
        return super().train(mode)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "script"), name)


def open_parts(model: nn.Module) -> None:
    """Replace compiled code by the original, and TorchScript parts by modules that take hooks.

    This changes the network; a :class:`nmfdiag.networks.snapshot.Snapshot` restores it.
    """
    for module in list(model.modules()):
        attributes: dict[str, Any] = module.__dict__
        if attributes.get("_compiled_call_impl") is not None:
            attributes["_compiled_call_impl"] = None
        original = getattr(attributes.get("forward"), "_torchdynamo_orig_callable", None)
        if original is not None:
            attributes["forward"] = original
        if isinstance(module, torch.jit.ScriptModule | Opaque):
            continue
        for name, child in list(module._modules.items()):
            if isinstance(child, torch.jit.ScriptModule):
                module._modules[name] = Opaque(child)
            elif child is not None and "_orig_mod" in child._modules:
                module._modules[name] = child._modules["_orig_mod"]


def unwrapped(model: Any) -> nn.Module:
    """Return the network without wrappers that only hold it.

    Args:
        model: Any module, or a program of ``torch.export``.

    Raises:
        NmfdiagError: If it is TorchScript, whose parts are hidden.

    >>> inner = nn.Linear(2, 2)
    >>> unwrapped(nn.DataParallel(inner)) is inner
    True
    """
    while True:
        if isinstance(model, torch.export.ExportedProgram):
            model = model.module()
        if isinstance(model, torch.jit.ScriptModule):
            raise NmfdiagError(
                "A TorchScript network (torch.jit) can't be looked into: build the network by its Python code and give it the same "
                "weights, network.load_state_dict(script.state_dict())."
            )
        if not isinstance(model, nn.Module):
            raise NmfdiagError(f"A network must be a torch.nn.Module, got a {type(model).__name__}.")
        names = [name for name, _ in model.named_children()]
        if len(names) != 1 or names[0] not in INNER or not _is_wrapper(model, names[0]):
            return model
        model = getattr(model, names[0])


def _is_wrapper(model: nn.Module, inner: str) -> bool:
    """Return whether a module is one of torch's wrappers, not a user's with an attribute of that name."""
    return inner == "_orig_mod" or type(model).__module__.startswith("torch.")
