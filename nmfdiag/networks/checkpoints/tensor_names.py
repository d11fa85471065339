"""Read and clean the names of tensors in a state dict, and quote them in sentences."""

import re
import textwrap
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")

WRAPPER = re.compile(r"^(?:module\.|_orig_mod\.)+|(?<=\.)_orig_mod\.")
"""Parts of names that DataParallel and torch.compile add."""
RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)
"""Names that torchvision has changed since it published its weights."""
COUNTERS = {"n_averaged", "total_ops", "total_params"}
"""Tensors left behind by averaging and profiling tools."""
MOST_LAYERS = 1000
"""Largest number of layers that names are trusted with."""


def plain_names(state: Mapping[str, Value]) -> dict[str, Value]:
    """Remove what ``DataParallel`` and ``torch.compile`` add to names, and drop counters of tools.

    Raises:
        NmfdiagError: If two tensors then have the same name.
    """
    plain: dict[str, Value] = {}
    for name, value in state.items():
        short = WRAPPER.sub("", name)
        for pattern, replacement in RENAMED:
            short = pattern.sub(replacement, short)
        if short.rsplit(".", 1)[-1] in COUNTERS:
            continue
        if short in plain:
            raise NmfdiagError(f"The weights have the tensor {quoted(short)} twice, once as {quoted(name)}.")
        plain[short] = value
    return plain


def without_prefix(state: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """Return the part of a state dict below a prefix, with names without it."""
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def common_prefix(state: Mapping[str, Value]) -> str:
    """Return the first component (``"model."``) if all names share it and have more components, else ``""``."""
    firsts = {name.partition(".")[0] if "." in name else "" for name in state}
    first = firsts.pop() if len(firsts) == 1 else ""
    return f"{first}." if first else ""


def quoted(name: str) -> str:
    """Quote a name for a sentence: on one line, never long."""
    return repr(textwrap.shorten(name, 80, placeholder="...") if len(name) > 80 and " " in name else name[:80])


def first_quoted(names: Collection[str], n: int = 3) -> str:
    """List the first names for a sentence, quoted, with dots for the rest."""
    return ", ".join([quoted(name) for name in list(names)[:n]] + (["..."] if len(names) > n else []))


def length(state: Mapping[str, "Tensor"], name: str, dim: int = 0) -> int | None:
    """Return the length of a tensor's dimension; None if there is no such tensor or dimension.

    Empty tensors count as missing: their sides cost a file nothing and can't be trusted.
    """
    tensor = state.get(name)
    if tensor is None or not tensor.numel() or not -tensor.ndim <= dim < tensor.ndim:
        return None
    return int(tensor.shape[dim])


def count_numbers(names: Iterable[str], pattern: str) -> int:
    r"""Count the numbers 1, 2, ... without a gap in the names that match a pattern with one group.

    >>> count_numbers(["fc1.bias", "fc2.bias", "fc4.bias"], r"fc(\d+)\.bias")
    2
    """
    numbers = {match[1] for name in names if (match := re.fullmatch(pattern, name))}
    return next(i for i in range(MOST_LAYERS + 1) if str(i + 1) not in numbers or i == MOST_LAYERS)
