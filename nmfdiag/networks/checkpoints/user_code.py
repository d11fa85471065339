"""Take a network from the user's own code, which is run.

Nothing of this is for a name that a stranger has given: it serves the command line and the library, where who asks is who has
written the code.
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
from nmfdiag.networks.checkpoints.tensor_names import few, shown


def factory(spec: str) -> nn.Module:
    """Import the user's code and take a network from it.

    Args:
        spec: ``"package.module:name"``: a function or class that is called without arguments, or the network itself. The
            current directory is importable.

    Returns:
        The network, in the mode that it comes in.

    Raises:
        NmfdiagError: If there is no such module or name, importing or calling it fails, or what comes is no network.
    """
    path, colon, name = spec.partition(":")
    if path.endswith(".py") or "/" in path or "\\" in path:
        dotted = Path(path).with_suffix("").as_posix().strip("./").replace("/", ".")
        raise NmfdiagError(
            f"{shown(spec)} names a file: accepted is the module's name, such as '{dotted}:{name or 'NAME'}'."
        )
    if not colon or not path or not name:
        raise NmfdiagError(
            f"{shown(spec)} names no network: accepted is 'package.module:name' of a function without arguments."
        )
    module = _import(path)
    try:
        made = attrgetter(name)(module)
    except AttributeError:
        there = [
            each for each, value in vars(module).items() if callable(value) and getattr(value, "__module__", "") == path
        ]
        raise NmfdiagError(
            f"The module {path} has no {shown(name)}: there are {few(there, 8) or 'no functions'}."
        ) from None
    if not isinstance(made, nn.Module):
        made = _call(made, spec)
    if not isinstance(made, nn.Module):
        raise NmfdiagError(f"{spec} gave {_kind(made)}: wanted is a network (torch.nn.Module).")
    return made


def _import(path: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)  # and it stays there: the user's code may import more of itself later
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(f"{error.name}.")):
            raise NmfdiagError(
                f"There is no module {shown(path)}: it is looked for in {here} and among what is installed."
            ) from None
        raise NmfdiagError(
            f"Importing {path} failed: it needs the module {error.name!r}, which is not installed."
        ) from error
    except (Exception, SystemExit) as error:
        raise NmfdiagError(f"Importing {shown(path)} failed with {_failure(error)}") from error


def _call(made: Any, spec: str) -> Any:
    if not callable(made):
        raise NmfdiagError(
            f"{spec} is {_kind(made)}: wanted is a function without arguments that returns a network, or a network."
        )
    try:
        inspect.signature(made).bind()
    except TypeError as error:
        raise NmfdiagError(
            f"{spec} is called without arguments and can't be ({error}): write a function that calls it with them."
        ) from None
    except ValueError:
        pass  # a builtin without a signature
    try:
        return made()
    except (Exception, SystemExit) as error:
        raise NmfdiagError(f"Calling {spec} failed with {_failure(error)}") from error


def _failure(error: BaseException) -> str:
    return f"{type(error).__name__}: {textwrap.shorten(str(error), 300)}"


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a value of type {type(value).__name__}"
