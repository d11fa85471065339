"""What kind of network one is, as far as reference networks are concerned (torch only where a model is looked at)."""

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from torch import Tensor, nn

CONVOLUTIONAL, RESIDUAL, FULLY_CONNECTED, OTHER = "convolutional", "residual", "fully-connected", "other"
KINDS = (CONVOLUTIONAL, RESIDUAL, FULLY_CONNECTED)
ADDITIONS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
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


def kind_of_model(model: "nn.Module", inputs: "Tensor") -> str:
    """Look at a model's modules and, in a run on two samples that leaves it as it is, for sums of two maps."""
    from torch import nn

    modules = list(model.modules())
    others = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.RNNBase, nn.RNNCellBase, nn.Embedding)
    if any(isinstance(m, others) for m in modules):
        return OTHER
    if any(isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d) for m in modules):
        return RESIDUAL if _has_sums(model, inputs[:2]) else CONVOLUTIONAL
    return FULLY_CONNECTED if any(isinstance(m, nn.Linear) for m in modules) else OTHER


def _has_sums(model: "nn.Module", inputs: "Tensor") -> bool:
    from torch import Tensor
    from torch.overrides import TorchFunctionMode

    from nmfdiag.networks.evaluation import evaluating

    class Sums(TorchFunctionMode):
        seen = False

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            terms = [value for value in args[:2] if isinstance(value, Tensor) and value.ndim > 2]
            self.seen |= len(terms) == 2 and getattr(function, "__name__", "") in ADDITIONS
            return function(*args, **(kwargs or {}))

    weight, sums = next(model.parameters()), Sums()
    samples = inputs.to(weight.device, weight.dtype if inputs.is_floating_point() else None)
    with suppress(NmfdiagError), evaluating(model, samples), sums:  # some networks take batches of one size only
        model(samples)
    return sums.seen
