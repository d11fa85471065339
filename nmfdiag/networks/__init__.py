"""Architectures, their ReLU layers, and cutting a network at one of them."""

from nmfdiag.networks.architectures import ARCHITECTURES, Architecture, build
from nmfdiag.networks.fold import fold, unfold
from nmfdiag.networks.layers import ReluLayer
from nmfdiag.networks.split import Cut, SplitNetwork, find_relu_layers, relu_layers

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Cut",
    "ReluLayer",
    "SplitNetwork",
    "build",
    "find_relu_layers",
    "fold",
    "relu_layers",
    "unfold",
]
