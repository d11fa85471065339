"""Names of tensors in a state dict: what wrappers have put before them, and how a few of them are shown."""

import re
import textwrap
from collections.abc import Collection, Mapping
from typing import TypeVar

from nmfdiag.errors import NmfdiagError

Value = TypeVar("Value")

WRAPPER = re.compile(r"^(?:module\.|_orig_mod\.)+|(?<=\.)_orig_mod\.")  # of DataParallel; of torch.compile, also inside
RENAMED = (  # by torchvision since it published its weights
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)
COUNTERS = {"n_averaged", "total_ops", "total_params"}  # that averaging and profiling tools leave behind


def plain_names(state: Mapping[str, Value]) -> dict[str, Value]:
    """Take what ``DataParallel`` and ``torch.compile`` put before names off, and drop counters of tools.

    Raises:
        NmfdiagError: If two tensors have one name after that.
    """
    plain: dict[str, Value] = {}
    for name, value in state.items():
        short = WRAPPER.sub("", name)
        for old, new in RENAMED:
            short = old.sub(new, short)
        if short.rsplit(".", 1)[-1] in COUNTERS:
            continue
        if short in plain:
            raise NmfdiagError(f"The weights have the tensor {shown(short)} twice, once as {shown(name)}.")
        plain[short] = value
    return plain


def without_prefix(state: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """The part of a state dict below a prefix, named as it is without it."""
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def common_prefix(state: Mapping[str, Value]) -> str:
    """The first component (``"model."``) where every name has the same and something after it, else ``""``."""
    firsts = {name.partition(".")[0] if "." in name else "" for name in state}
    first = firsts.pop() if len(firsts) == 1 else ""
    return f"{first}." if first else ""


def shown(name: str) -> str:
    """A name for a sentence: quoted, on one line, never long."""
    return repr(textwrap.shorten(name, 80, placeholder="...") if len(name) > 80 and " " in name else name[:80])


def few(names: Collection[str], n: int = 3) -> str:
    """The first names for a sentence, and dots for the others."""
    return ", ".join([shown(name) for name in list(names)[:n]] + (["..."] if len(names) > n else []))
