"""Read weights that others have written, and find the network that they fit."""

from importlib import import_module
from typing import Any

_HOMES = {
    "read_state_dict": "read",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: pages read parts of this room without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
