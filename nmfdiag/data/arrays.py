"""Turn an array in any form (tensor, NumPy, pandas, nested lists) into one plain tensor."""

import warnings
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError

UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
"""Types that PyTorch stores, but barely computes with."""
MOST_QUOTED = 3
"""Largest number of values that an error quotes."""


def as_tensor(values: Any, role: str, accepted: str) -> Tensor:
    """Return an array-like as a strided tensor, which shares its memory if possible.

    Args:
        values: A tensor, an array, a pandas frame or series, anything with ``__array__``, or (nested) lists of these and of numbers.
        role: Its name in errors, such as ``"inputs"``.
        accepted: The end of the error's sentence.

    Raises:
        NmfdiagError: If it holds text, objects, masked or missing values, or is not an array.
    """

    def refused(got: str) -> NmfdiagError:
        return NmfdiagError(f"The {role} are {got}: {accepted}.")

    if (
        values is None
        or isinstance(values, str | bytes | PathLike | Mapping)
        or callable(getattr(values, "getbands", None))
    ):
        raise refused(describe_values(values))
    if isinstance(values, list | tuple) and any(callable(getattr(value, "getbands", None)) for value in values):
        raise refused(describe_values(values[0]))
    if isinstance(values, list | tuple) and any(isinstance(value, Tensor) for value in values):
        parts = [as_tensor(value, role, accepted) for value in values]
        shapes = {tuple(part.shape) for part in parts}
        if len(shapes) > 1:
            raise refused(f"a {type(values).__name__} of arrays of different shapes ({_listed_values(sorted(shapes))})")
        return torch.stack([part.to(parts[0].device) for part in parts])
    if isinstance(values, Tensor):
        if values.layout != torch.strided or values.is_quantized or values.is_nested or values.is_meta:
            raise refused(
                f"a tensor that is sparse, quantised, nested or without values ({values.layout}, {values.device})"
            )
        plain = values.detach().as_subclass(Tensor)
        return plain.long() if plain.dtype in UNSIGNED else plain
    if np.ma.is_masked(values):
        raise refused("an array with masked values")
    return torch_array(_as_array(values, refused), refused)


def torch_array(array: np.ndarray, refused: Any) -> Tensor:
    """Return an array of numbers of any byte order, strides and width as a tensor."""
    if array.dtype == object:
        array = _as_numbers(array, refused)
    if array.dtype.kind not in "fiubc":
        raise refused(
            f"text ({_listed_values(array.ravel()[:MOST_QUOTED].tolist())}, ...)"
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
        warnings.simplefilter("ignore")  # the array is read-only, and nothing here writes
        return torch.from_numpy(np.asarray(array))


def describe_values(values: Any) -> str:
    """Describe in a few words a value that is not an array."""
    if values is None:
        return "None"
    if isinstance(values, str | bytes | PathLike):
        return f"text or a path ({str(values)[:80]!r})"
    if isinstance(values, Mapping):
        return f"a dictionary with the entries {_listed_values(list(values))}"
    if callable(getattr(values, "getbands", None)):
        return "pictures of Pillow, not yet tensors as the network takes them"
    return f"of type {type(values).__name__}"


def _as_array(values: Any, refused: Any) -> np.ndarray:
    to_numpy = getattr(values, "to_numpy", None)
    try:
        if not isinstance(values, list | tuple) and not callable(to_numpy) and not hasattr(values, "__array__"):
            raise refused(describe_values(values))
        return np.asarray(to_numpy() if callable(to_numpy) else values)
    except NmfdiagError:
        raise
    except Exception as error:  # lists of different lengths, or a foreign array class
        raise refused(f"not an array ({type(error).__name__}: {str(error)[:120]})") from None


def _as_numbers(array: np.ndarray, refused: Any) -> np.ndarray:
    """Return an array of objects as an array of the numbers in them."""
    flat = array.ravel().tolist()
    if texts := [value for value in flat if isinstance(value, str | bytes)]:
        raise refused(f"text ({_listed_values(texts[:MOST_QUOTED])}, ...)")
    if missing := sum(_is_missing(value) for value in flat):
        raise refused(f"without a value (None or NA) in {missing} of {len(flat)} places")
    try:
        numbers = np.array([np.asarray(value) for value in flat])
        plain = numbers.reshape(array.shape + numbers.shape[1:])
    except Exception:  # as in `_as_array`
        plain = array
    if plain.dtype == object:
        raise refused(
            f"objects ({_listed_values(list(dict.fromkeys(type(value).__name__ for value in flat)))}), not numbers"
        )
    return plain


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _listed_values(values: list[Any]) -> str:
    return ", ".join(repr(value) for value in values[:MOST_QUOTED]) + (", ..." if len(values) > MOST_QUOTED else "")
