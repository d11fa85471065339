"""The networks that the zoo trains, and what is left of one whose activations were recorded.

Layer names are the paper's where it names them: ``conv1_1 ... conv4_3`` for the VGG-like network, ``fc1 ... fc5`` for the
fully-connected one. Each such name is the path of a block that calls one ReLU, so it is also the name under which
:func:`nmfdiag.relu_layers` finds that ReLU.
"""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

CONVS_PER_BLOCK = (2, 2, 3, 3)
"""Number of convolutions in each block of the paper's network."""
RECORDED = "activations"
"""Name of the architecture whose inputs are recorded activations, and of its one ReLU."""


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU: one entry of the paper's ``convB_I`` numbering."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class LinearBlock(nn.Module):
    """Linear map, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.linear(x)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016); two ReLUs, the second after the addition."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        is_identity = stride == 1 and inputs == outputs
        shortcut = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Sequential(*([] if is_identity else shortcut))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ConvNet(nn.Sequential):
    """The paper's VGG-like network: blocks of 3x3 convolutions, halved between blocks, mean over the last map.

    There are up to four blocks, as long as a map of at least 2x2 is left: 10 convolutions from 16x16 inputs on, 7 for 8x8.
    ``convs`` is the number of convolutions per block; 0 for the paper's 2, 2, 3, 3.
    """

    def __init__(self, input_shape: tuple[int, int, int], n_classes: int, width: int = 32, convs: int = 0):
        super().__init__()
        channels, side = input_shape[0], min(input_shape[1:])
        n_blocks = 2 if side < 8 else 3 if side < 16 else 4
        for block, usual in enumerate(CONVS_PER_BLOCK[:n_blocks], start=1):
            for i in range(1, (convs or usual) + 1):
                outputs = width * min(2 ** (block - 1), 4)
                self.add_module(f"conv{block}_{i}", ConvBlock(channels, outputs))
                channels = outputs
            if block < n_blocks:
                self.add_module(f"pool{block}", nn.MaxPool2d(2))
        self.add_module("mean", nn.AdaptiveAvgPool2d(1))
        self.add_module("flatten", nn.Flatten())
        self.add_module("classifier", nn.Linear(channels, n_classes))


class MLP(nn.Sequential):
    """Fully-connected network with batch norm, ``fc1 ... fcN``; without batch norm the effect nearly vanishes."""

    def __init__(self, input_shape: tuple[int, int, int], n_classes: int, width: int = 128, depth: int = 5):
        super().__init__()
        inputs = input_shape[0] * input_shape[1] * input_shape[2]
        self.add_module("flatten", nn.Flatten())
        for i in range(1, depth + 1):
            self.add_module(f"fc{i}", LinearBlock(inputs, width))
            inputs = width
        self.add_module("classifier", nn.Linear(inputs, n_classes))


class ResNet(nn.Sequential):
    """A residual network for small images: a stem and three stages of residual blocks (He et al. 2016, section 4.2)."""

    def __init__(self, input_shape: tuple[int, int, int], n_classes: int, width: int = 32, blocks_a_stage: int = 2):
        super().__init__()
        self.add_module("conv1", ConvBlock(input_shape[0], width))
        channels = width
        for stage in range(1, 4):
            for i in range(1, blocks_a_stage + 1):
                outputs = width * 2 ** (stage - 1)
                stride = 2 if stage > 1 and i == 1 else 1
                self.add_module(f"res{stage}_{i}", ResidualBlock(channels, outputs, stride))
                channels = outputs
        self.add_module("mean", nn.AdaptiveAvgPool2d(1))
        self.add_module("flatten", nn.Flatten())
        self.add_module("classifier", nn.Linear(channels, n_classes))


class AudioConvNet(nn.Sequential):
    """A spectrogram network: four convolution blocks over (mel band, frame) and a fully-connected ReLU layer."""

    def __init__(self, input_shape: tuple[int, int, int], n_classes: int, width: int = 16):
        super().__init__()
        channels = input_shape[0]
        for block in range(1, 5):
            for i in (1, 2):
                outputs = width * min(2 ** (block - 1), 4)
                self.add_module(f"conv{block}_{i}", ConvBlock(channels, outputs))
                channels = outputs
            self.add_module(f"pool{block}", nn.MaxPool2d(2))
        self.add_module("mean", nn.AdaptiveAvgPool2d(1))
        self.add_module("flatten", nn.Flatten())
        self.add_module("fc1", LinearBlock(channels, 2 * channels))
        self.add_module("classifier", nn.Linear(2 * channels, n_classes))


class RecordedNetwork(nn.Sequential):
    """The rest of a network after its last ReLU. No operation makes its channels, so it has to declare their axis."""

    nmfdiag_channel_dim = 1


def recorded_network(
    input_shape: tuple[int, int, int], n_classes: int, *, places: int = 0, bias: int = 1
) -> RecordedNetwork:
    """Build the rest of a network after its last ReLU; its inputs are that layer's activations.

    Args:
        input_shape: Channels, height and width of the activations of one sample; for vectors 1 and 1.
        n_classes: Number of outputs.
        places: Whether activations are maps (n, c, h, w), averaged over their places, or vectors (n, c).
        bias: Whether the linear layer has one.
    """
    mean = {"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()} if places else {}
    head = nn.Linear(input_shape[0], n_classes, bias=bool(bias))
    return RecordedNetwork(OrderedDict({RECORDED: nn.ReLU(), **mean, "head": head}))
