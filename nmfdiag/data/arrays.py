"""One array in whatever form a caller has it (tensor, NumPy, pandas, nested lists) -> one plain tensor on which PyTorch computes."""

import warnings
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError

UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
"""Types that PyTorch stores, but hardly computes with."""
SHOWN = 3
"""Texts that an error quotes at most."""


def as_tensor(values: Any, role: str, accepted: str) -> Tensor:
    """Bring one array-like into a strided tensor; shares memory with the caller's where that is possible.

    Args:
        values: A tensor, an array, a pandas frame or series, anything with ``__array__``, or (nested) lists of those and of numbers.
        role: What it is, for the error, such as ``"inputs"``.
        accepted: The rest of the error's sentence.

    Raises:
        NmfdiagError: If it holds text, objects, masked or missing values, or is no array.
    """

    def refused(got: str) -> NmfdiagError:
        return NmfdiagError(f"The {role} are {got}: {accepted}.")

    if (
        values is None
        or isinstance(values, str | bytes | PathLike | Mapping)
        or callable(getattr(values, "getbands", None))
    ):
        raise refused(described(values))
    if isinstance(values, list | tuple) and any(callable(getattr(value, "getbands", None)) for value in values):
        raise refused(described(values[0]))
    if isinstance(values, list | tuple) and any(isinstance(value, Tensor) for value in values):
        parts = [as_tensor(value, role, accepted) for value in values]
        shapes = {tuple(part.shape) for part in parts}
        if len(shapes) > 1:
            raise refused(f"a {type(values).__name__} of arrays of different shapes ({_few(sorted(shapes))})")
        return torch.stack([part.to(parts[0].device) for part in parts])
    if isinstance(values, Tensor):
        if values.layout != torch.strided or values.is_quantized or values.is_nested or values.is_meta:
            raise refused(
                f"a tensor that is sparse, quantised, nested or without values ({values.layout}, {values.device})"
            )
        plain = values.detach().as_subclass(Tensor)
        return plain.long() if plain.dtype in UNSIGNED else plain
    if np.ma.is_masked(values):
        raise refused("an array of which some values are masked")
    return torch_array(_as_array(values, refused), refused)


def torch_array(array: np.ndarray, refused: Any) -> Tensor:
    """Bring an array of numbers into a tensor, whatever its byte order, strides and width."""
    if array.dtype == object:
        array = _plain(array, refused)
    if array.dtype.kind not in "fiubc":
        raise refused(
            f"text ({_few(array.ravel()[:SHOWN].tolist())}, ...)"
            if array.dtype.kind in "UST"
            else f"of type {array.dtype}"
        )
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    elif array.dtype.itemsize > 8 and array.dtype.kind == "f":
        array = array.astype(np.float64)
    if not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        array = array.astype(array.dtype.newbyteorder("="))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it can't be written to: nothing here writes
        return torch.from_numpy(np.asarray(array))


def described(values: Any) -> str:
    """What a caller has given instead of an array, in a few words."""
    if values is None:
        return "None"
    if isinstance(values, str | bytes | PathLike):
        return f"text or a path ({str(values)[:80]!r})"
    if isinstance(values, Mapping):
        return f"a dictionary with the entries {_few(list(values))}"
    if callable(getattr(values, "getbands", None)):
        return "pictures of Pillow, not yet tensors as the network takes them"
    return f"of type {type(values).__name__}"


def _as_array(values: Any, refused: Any) -> np.ndarray:
    to_numpy = getattr(values, "to_numpy", None)
    try:
        if not isinstance(values, list | tuple) and not callable(to_numpy) and not hasattr(values, "__array__"):
            raise refused(described(values))
        return np.asarray(to_numpy() if callable(to_numpy) else values)
    except NmfdiagError:
        raise
    except Exception as error:  # of lists whose parts have different lengths, or of somebody's own array class
        raise refused(f"no array ({type(error).__name__}: {str(error)[:120]})") from None


def _plain(array: np.ndarray, refused: Any) -> np.ndarray:
    """An array of objects as one of the numbers that they are."""
    flat = array.ravel().tolist()
    if texts := [value for value in flat if isinstance(value, str | bytes)]:
        raise refused(f"text ({_few(texts[:SHOWN])}, ...)")
    if missing := sum(_is_missing(value) for value in flat):
        raise refused(f"without a value (None or NA) in {missing} of {len(flat)} places")
    try:
        found = np.array([np.asarray(value) for value in flat])
        plain = found.reshape(array.shape + found.shape[1:])
    except Exception:  # as in `_as_array`
        plain = array
    if plain.dtype == object:
        raise refused(f"objects ({_few(list(dict.fromkeys(type(value).__name__ for value in flat)))}), not numbers")
    return plain


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _few(values: list[Any]) -> str:
    return ", ".join(repr(value) for value in values[:SHOWN]) + (", ..." if len(values) > SHOWN else "")
