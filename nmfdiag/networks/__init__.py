"""Architectures, their ReLU layers, and cutting a network at one of them."""

from importlib import import_module
from typing import Any

_HOMES = {
    "ARCHITECTURES": "architectures",
    "Architecture": "architectures",
    "Cut": "split",
    "ReluLayer": "layers",
    "SplitNetwork": "split",
    "build": "architectures",
    "find_relu_layers": "split",
    "fold": "matrix_fold",
    "relu_layers": "split",
    "unfold": "matrix_fold",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: pages read parts of this room without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
