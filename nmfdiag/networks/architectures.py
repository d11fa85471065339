"""The networks that the zoo trains, and torchvision's by name.

Layer names are the paper's where it names them: ``conv1_1 ... conv4_3`` for the VGG-like network, ``fc1 ... fc5`` for
the fully-connected one. Each such name is the path of a block that calls one ReLU, so it is also the name under which
:func:`nmfdiag.relu_layers` finds that ReLU.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError

RECORDED = "activations"
"""Name of this architecture, and of its one ReLU."""

Shape = tuple[int, int, int]
CONVS_A_BLOCK = (2, 2, 3, 3)
SMALLEST_MAP = {"cnn": 4, "resnet": 4, "audio_cnn": 16}


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
        same = stride == 1 and inputs == outputs
        shortcut = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Sequential(*([] if same else shortcut))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ConvNet(nn.Sequential):
    """The paper's VGG-like network: blocks of 3x3 convolutions, halved between blocks, mean over the last map.

    Blocks are added while a map of at least 2x2 is left, up to four: 10 convolutions from 16x16 inputs on, 7 for 8x8.
    ``convs`` is the number of convolutions in every block, where it is not the paper's 2, 2, 3, 3 (``convs=0``).
    """

    def __init__(self, input_shape: Shape, n_classes: int, width: int = 32, convs: int = 0):
        super().__init__()
        channels, side = input_shape[0], min(input_shape[1:])
        n_blocks = 2 if side < 8 else 3 if side < 16 else 4
        for block, usual in enumerate(CONVS_A_BLOCK[:n_blocks], start=1):
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
    """Fully-connected network with batch norm, ``fc1 ... fcN`` (without batch norm the effect nearly vanishes)."""

    def __init__(self, input_shape: Shape, n_classes: int, width: int = 128, depth: int = 5):
        super().__init__()
        inputs = input_shape[0] * input_shape[1] * input_shape[2]
        self.add_module("flatten", nn.Flatten())
        for i in range(1, depth + 1):
            self.add_module(f"fc{i}", LinearBlock(inputs, width))
            inputs = width
        self.add_module("classifier", nn.Linear(inputs, n_classes))


class ResNet(nn.Sequential):
    """A residual network for small images: a stem and three stages of residual blocks (He et al. 2016, section 4.2)."""

    def __init__(self, input_shape: Shape, n_classes: int, width: int = 32, blocks_a_stage: int = 2):
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

    def __init__(self, input_shape: Shape, n_classes: int, width: int = 16):
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


@dataclass(frozen=True)
class Architecture:
    """One way to build a network: ``make(input_shape, n_classes, **options)``."""

    name: str
    title: str
    make: Callable[..., nn.Module]


ARCHITECTURES: dict[str, Architecture] = {
    a.name: a
    for a in (
        Architecture("cnn", "VGG-like CNN", ConvNet),
        Architecture("mlp", "Fully-connected", MLP),
        Architecture("resnet", "Residual network", ResNet),
        Architecture("audio_cnn", "Spectrogram CNN", AudioConvNet),
    )
}


def architecture_title(name: str) -> str:
    """The name for people: ours have one, torchvision's go by their own."""
    return ARCHITECTURES[name].title if name in ARCHITECTURES else name


def torchvision_names() -> list[str]:
    """Torchvision's image classifiers that :func:`build` takes by name."""
    from torchvision import models

    return models.list_models(module=models)


def build(
    name: str, input_shape: Shape = (3, 32, 32), n_classes: int = 10, *, seed: int = 0, **options: int
) -> nn.Module:
    """Build an untrained network, initialised from ``seed`` without touching the global random state.

    Args:
        name: One of :data:`ARCHITECTURES`, or a classifier of torchvision (``"vgg19"``, ``"resnet18"``, ...).
        input_shape: Channels, height, width of one input. Torchvision's networks take three channels.
        n_classes: Number of outputs.
        seed: Seed of the initial weights.
        **options: Sizes of the architecture, such as ``width`` and ``depth``.

    Returns:
        The network in training mode, on the CPU.

    Raises:
        NmfdiagError: If the name is unknown, or the architecture cannot take that input shape.
    """
    if name in SMALLEST_MAP and min(input_shape[1:]) < SMALLEST_MAP[name]:
        raise NmfdiagError(
            f"{name!r} needs inputs of at least {SMALLEST_MAP[name]}x{SMALLEST_MAP[name]}, got {input_shape[1:]}."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name in ARCHITECTURES:
            return ARCHITECTURES[name].make(input_shape, n_classes, **options)
        return _torchvision(name, input_shape, n_classes, options)


def _torchvision(name: str, input_shape: Shape, n_classes: int, options: dict[str, int]) -> nn.Module:
    if name not in torchvision_names():
        raise NmfdiagError(
            f"Unknown architecture {name!r}: accepted are {', '.join(ARCHITECTURES)} and torchvision's classifiers "
            f"(vgg19, resnet18, ...)."
        )
    if input_shape[0] != 3:
        raise NmfdiagError(f"torchvision's {name!r} takes three channels, got an input shape of {input_shape}.")
    from torchvision import models

    eager_init = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return models.get_model(name, weights=None, num_classes=n_classes, **eager_init, **options)


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
