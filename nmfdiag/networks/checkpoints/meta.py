"""Build architectures without weights: only the names and shapes of their tensors, at no cost of memory."""

import functools
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from nmfdiag.networks.architectures import Shape, build, torchvision_names
from nmfdiag.networks.checkpoints.sizes import USUAL_IMAGE

USUAL_CLASSES = 1000
"""Number of classes where the weights don't show it."""
INITIALISERS = {
    f for name, f in vars(nn.init).items() if name.endswith("_") and not name.startswith("_") and callable(f)
}
FILLERS = {torch.Tensor.normal_, torch.Tensor.uniform_}
"""Functions that initialisers call, slow even without values to fill."""
FACTORIES = {torch.empty, torch.zeros, torch.ones}


def without_weights(arch: str, shape: Shape, n_classes: int, options: Mapping[str, int]) -> nn.Module:
    """Build an architecture whose weights have shapes and no values (they are on the ``meta`` device)."""
    with shapes_only():
        return build(arch, shape, n_classes, **options)


def shapes_only() -> TorchFunctionMode:
    """Return a context in which new layers have shapes and no values."""
    return _WithoutWeights()


def shapes_of(arch: str, shape: Shape, n_classes: int, options: Mapping[str, int]) -> dict[str, torch.Size]:
    """Return the shapes of an architecture's tensors by name."""
    return dict(_shapes(arch, shape, n_classes, tuple(sorted(options.items()))))


@functools.lru_cache(maxsize=128)
def _shapes(arch: str, shape: Shape, n_classes: int, options: tuple[tuple[str, int], ...]) -> dict[str, torch.Size]:
    model = without_weights(arch, shape, n_classes, dict(options))
    return {name: value.shape for name, value in model.state_dict().items()}


class _WithoutWeights(TorchFunctionMode):
    """Gives new layers shapes and no values; tensors that torchvision computes with while it builds keep theirs."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in INITIALISERS:
            return args[0] if args else kwargs["tensor"]
        if func in FILLERS and args[0].is_meta:
            return args[0]
        if func in FACTORIES:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@functools.cache
def outline(family: str) -> tuple[str, ...]:
    """Return the names of the tensors of a family's first member."""
    return tuple(shapes_of(families()[family][0], (3, USUAL_IMAGE, USUAL_IMAGE), USUAL_CLASSES, {}))


def families() -> dict[str, list[str]]:
    """Return torchvision's names by family; members of a family agree in the name of their last tensor."""
    members: dict[str, list[str]] = {}
    for name in torchvision_names():
        members.setdefault(family_of(name), []).append(name)
    return members


def family_of(arch: str) -> str:
    """Return the family of one of torchvision's names: ``"efficientnet_v2"`` for ``"efficientnet_v2_s"``."""
    return re.match(r"[a-z]+(_v\d)?", arch)[0]  # type: ignore[index]
