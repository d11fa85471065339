"""Names that a package hands on, imported when they are first used: ``import nmfdiag``, or one file of a room, must not load torch."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_getattr(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package.

    Args:
        package: Dotted name of the package.
        homes: For each name, the module below the package that has it.

    >>> lazy_getattr("nmfdiag", {"NmfdiagError": "errors"})("NmfdiagError").__name__
    'NmfdiagError'
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get
