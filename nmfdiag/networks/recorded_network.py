"""A network of which only one layer's activations and the linear layer that answers are known."""

from collections import OrderedDict

from torch import nn

from nmfdiag.networks.architectures import Shape

RECORDED = "activations"
"""Name of this architecture, and of its one ReLU."""


class RecordedNetwork(nn.Sequential):
    """The rest of a network after its last ReLU. No operation of its own makes the channels, so that it has to say where they are."""

    nmfdiag_channel_dim = 1


def recorded_network(input_shape: Shape, n_classes: int, *, places: int = 0, bias: int = 1) -> RecordedNetwork:
    """Build the rest of a network after its last ReLU; its inputs are that layer's activations.

    Args:
        input_shape: Channels, height and width of the activations of one sample; for vectors 1 and 1.
        n_classes: Number of outputs.
        places: Whether activations are maps (n, c, h, w), of which the mean over places is taken; else vectors (n, c).
        bias: Whether the linear layer has one.
    """
    mean = {"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()} if places else {}
    head = nn.Linear(input_shape[0], n_classes, bias=bool(bias))
    return RecordedNetwork(OrderedDict({RECORDED: nn.ReLU(), **mean, "head": head}))
