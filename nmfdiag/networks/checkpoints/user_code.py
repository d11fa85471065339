"""Take a network from the user's own code, which is run.

This is never used for a name from a stranger: only for the command line and the library, where the caller wrote the code.
"""

import importlib
import inspect
import sys
import textwrap
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.tensor_names import first_quoted, quoted


def factory(spec: str) -> nn.Module:
    """Import the user's code and take a network from it.

    Args:
        spec: ``"package.module:name"`` of a function or class that is called without arguments, or of the network itself. Modules
            in the current directory can be imported.

    Returns:
        The network, in its own mode.

    Raises:
        NmfdiagError: If there is no such module or name, importing or calling it fails, or the result is not a network.
    """
    path, colon, name = spec.partition(":")
    if path.endswith(".py") or "/" in path or "\\" in path:
        dotted = Path(path).with_suffix("").as_posix().strip("./").replace("/", ".")
        raise NmfdiagError(
            f"{quoted(spec)} names a file: accepted is the module's name, such as '{dotted}:{name or 'NAME'}'."
        )
    if not colon or not path or not name:
        raise NmfdiagError(
            f"{quoted(spec)} does not name a network: accepted is 'package.module:name' of a function without arguments."
        )
    module = _import(path)
    try:
        network = attrgetter(name)(module)
    except AttributeError:
        functions = [
            function
            for function, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == path
        ]
        raise NmfdiagError(
            f"The module {path} has no {quoted(name)}; it has {first_quoted(functions, 8) or 'no functions'}."
        ) from None
    if not isinstance(network, nn.Module):
        network = _call(network, spec)
    if not isinstance(network, nn.Module):
        raise NmfdiagError(f"{spec} gave {_kind(network)}: expected a network (torch.nn.Module).")
    return network


def _import(path: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)  # not removed: the user's code may import more modules later
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(f"{error.name}.")):
            raise NmfdiagError(
                f"There is no module {quoted(path)}: searched in {folder} and the installed packages."
            ) from None
        raise NmfdiagError(
            f"Importing {path} failed: it needs the module {error.name!r}, which is not installed."
        ) from error
    except (Exception, SystemExit) as error:
        raise NmfdiagError(f"Importing {quoted(path)} failed with {_failure(error)}") from error


def _call(function: Any, spec: str) -> Any:
    if not callable(function):
        raise NmfdiagError(
            f"{spec} is {_kind(function)}: expected a function without arguments that returns a network, or a network."
        )
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise NmfdiagError(f"{spec} needs arguments ({error}): write a function that calls it with them.") from None
    except ValueError:
        pass  # a builtin without a signature
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise NmfdiagError(f"Calling {spec} failed with {_failure(error)}") from error


def _failure(error: BaseException) -> str:
    return f"{type(error).__name__}: {textwrap.shorten(str(error), 300)}"


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a value of type {type(value).__name__}"
