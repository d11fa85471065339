"""What kind of network one is, as far as reference networks are concerned (torch only where a model is looked at)."""

import operator
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nmfdiag.measures.curve import CompressionCurve

if TYPE_CHECKING:
    from torch import nn

CONVOLUTIONAL, RESIDUAL, FULLY_CONNECTED, OTHER = "convolutional", "residual", "fully-connected", "other"
KINDS = (CONVOLUTIONAL, RESIDUAL, FULLY_CONNECTED)
_ARCHITECTURES = {"mlp": FULLY_CONNECTED, "cnn": CONVOLUTIONAL, "audio_cnn": CONVOLUTIONAL, "resnet": RESIDUAL}
_OF_TORCHVISION = (
    (re.compile(r"(wide_)?resne(x)?t\d|regnet"), RESIDUAL),
    (re.compile(r"(vgg|alexnet|squeezenet|googlenet|inception)"), CONVOLUTIONAL),
)


def kind_of_architecture(arch: str) -> str:
    """The kind of a named architecture, the zoo's or torchvision's; empty for others.

    >>> kind_of_architecture("resnet18")
    'residual'
    """
    found = (kind for pattern, kind in _OF_TORCHVISION if pattern.match(arch))
    return _ARCHITECTURES.get(arch) or next(found, "")


def kind_of_curves(curves: Iterable[CompressionCurve]) -> str:
    """What activation matrices show: more rows than samples are places of a feature map. Sums of branches they don't show."""
    return CONVOLUTIONAL if any(curve.shape[0] > curve.n_samples for curve in curves) else FULLY_CONNECTED


def kind_of_model(model: "nn.Module") -> str:
    """Look at a model's modules, and at its graph for sums of two branches.

    A model that torch.fx can't trace counts as one without such sums.
    """
    from torch import nn

    modules = list(model.modules())
    others = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.RNNBase, nn.RNNCellBase, nn.Embedding)
    if any(isinstance(m, others) for m in modules):
        return OTHER
    if any(isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d) for m in modules):
        return RESIDUAL if _has_sums(model) else CONVOLUTIONAL
    return FULLY_CONNECTED if any(isinstance(m, nn.Linear) for m in modules) else OTHER


def _has_sums(model: "nn.Module") -> bool:
    import torch
    from torch import fx

    additions = {operator.add, operator.iadd, torch.add, "add", "add_"}
    try:
        graph = fx.Tracer().trace(model)
    except Exception:  # whatever a model's own code raises when it is run on proxies
        return False
    return any(
        node.target in additions and sum(isinstance(value, fx.Node) for value in node.args) > 1 for node in graph.nodes
    )
