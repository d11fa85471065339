"""The registry of architectures: the zoo's as records, torchvision's by name. Torch is loaded only to build a network.

To add an architecture, write its class in :mod:`nmfdiag.networks.zoo_networks` and add a record to :data:`ARCHITECTURES`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.tensor_names import count_numbers, length

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = tuple[int, int, int]
State = Mapping[str, "Tensor"]
USUAL_SIDE = 32
"""Side of the images that weights are taken to be for where they don't say it, in pixels."""

CONVOLUTIONAL, RESIDUAL, FULLY_CONNECTED, OTHER = "convolutional", "residual", "fully-connected", "other"
NETWORK_KINDS = (CONVOLUTIONAL, RESIDUAL, FULLY_CONNECTED)
"""Kinds of networks that have reference networks."""
_TORCHVISION_KINDS = (
    (re.compile(r"(wide_)?resne(x)?t\d|regnet"), RESIDUAL),
    (re.compile(r"(vgg|alexnet|squeezenet|googlenet|inception)"), CONVOLUTIONAL),
)
TORCHVISION_NAMES = tuple(
    """alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161 densenet169 densenet201
    efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6
    efficientnet_b7 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5
    mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf
    regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_128gf regnet_y_16gf regnet_y_1_6gf
    regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34 resnet50
    resnext101_32x8d resnext101_64x4d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5
    shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_b swin_s swin_t swin_v2_b swin_v2_s swin_v2_t vgg11 vgg11_bn vgg13
    vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32 wide_resnet101_2 wide_resnet50_2
    """.split()
)
"""Names of torchvision's classifiers: asking it for them would import torch."""


def _no_options(_: State) -> dict[str, int]:
    return {}


def _colour_images(_: State) -> Shape:
    return (3, USUAL_SIDE, USUAL_SIDE)


@dataclass(frozen=True)
class Architecture:
    """An architecture of the zoo.

    Attributes:
        name: Its name in recipes, in links and on the command line.
        title: Its name in sentences.
        make: ``make(input_shape, n_classes, **options)`` builds the network; it imports torch itself.
        kind: Kind of network, one of :data:`NETWORK_KINDS` or ``"other"``: decides the reference networks.
        options_of: Reads the options of ``make`` from the shapes of a state dict.
        input_shape_of: Reads from a state dict an input shape that the weights take.
        smallest_side: Smallest height and width of an input, in pixels.
        takes_vectors: Whether inputs may be vectors.
        head: Name of the tensor whose length is the number of classes.
    """

    name: str
    title: str
    make: Callable[..., "nn.Module"]
    kind: str = OTHER
    options_of: Callable[[State], dict[str, int]] = _no_options
    input_shape_of: Callable[[State], Shape] = _colour_images
    smallest_side: int = 1
    takes_vectors: bool = False
    head: str = "classifier.bias"


def _zoo_network(class_name: str) -> Callable[..., "nn.Module"]:
    """Return a function that builds a class of :mod:`nmfdiag.networks.zoo_networks`, which imports torch."""

    def make(input_shape: Shape, n_classes: int, **options: int) -> "nn.Module":
        from nmfdiag.networks import zoo_networks

        network: nn.Module = getattr(zoo_networks, class_name)(input_shape, n_classes, **options)
        return network

    return make


def _convs_per_block(state: State) -> list[int]:
    blocks = [block for block in range(1, 5) if any(name.startswith(f"conv{block}_") for name in state)]
    return [count_numbers(state, rf"conv{block}_(\d+)\.conv\.weight") for block in blocks]


def _cnn_options(state: State) -> dict[str, int]:
    from nmfdiag.networks.zoo_networks import CONVS_PER_BLOCK

    convs = _convs_per_block(state)
    is_usual = tuple(convs) == CONVS_PER_BLOCK[: len(convs)]
    return _known_sizes(width=length(state, "conv1_1.conv.weight"), convs=0 if is_usual else max(convs, default=0))


def _cnn_input_shape(state: State) -> Shape:
    side = {2: 4, 3: 8}.get(len(_convs_per_block(state)), USUAL_SIDE)
    return (length(state, "conv1_1.conv.weight", 1) or 3, side, side)


def _mlp_options(state: State) -> dict[str, int]:
    depth = count_numbers(state, r"fc(\d+)\.linear\.weight")
    return _known_sizes(width=length(state, "fc1.linear.weight"), depth=depth)


def _mlp_input_shape(state: State) -> Shape:
    return (length(state, "fc1.linear.weight", 1) or 1, 1, 1)


def _resnet_options(state: State) -> dict[str, int]:
    blocks = count_numbers(state, r"res1_(\d+)\.conv1\.weight")
    return _known_sizes(width=length(state, "conv1.conv.weight"), blocks_a_stage=blocks)


def _resnet_input_shape(state: State) -> Shape:
    return (length(state, "conv1.conv.weight", 1) or 3, USUAL_SIDE, USUAL_SIDE)


def _audio_cnn_options(state: State) -> dict[str, int]:
    return _known_sizes(width=length(state, "conv1_1.conv.weight"))


def _audio_cnn_input_shape(state: State) -> Shape:
    return (length(state, "conv1_1.conv.weight", 1) or 3, USUAL_SIDE, USUAL_SIDE)


def _known_sizes(**sizes: int | None) -> dict[str, int]:
    return {name: value for name, value in sizes.items() if value}


ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            "cnn", "VGG-like CNN", _zoo_network("ConvNet"), CONVOLUTIONAL, _cnn_options, _cnn_input_shape,
            smallest_side=4,
        ),
        Architecture(
            "mlp", "fully-connected", _zoo_network("MLP"), FULLY_CONNECTED, _mlp_options, _mlp_input_shape,
            takes_vectors=True,
        ),
        Architecture(
            "resnet", "residual network", _zoo_network("ResNet"), RESIDUAL, _resnet_options, _resnet_input_shape,
            smallest_side=4,
        ),
        Architecture(
            "audio_cnn", "spectrogram CNN", _zoo_network("AudioConvNet"), CONVOLUTIONAL, _audio_cnn_options,
            _audio_cnn_input_shape, smallest_side=16,
        ),
    )
}  # fmt: skip


def kind_of_architecture(arch: str) -> str:
    """Return the kind of a named architecture, the zoo's or torchvision's; empty for others.

    >>> kind_of_architecture("resnet18")
    'residual'
    """
    if arch in ARCHITECTURES:
        return ARCHITECTURES[arch].kind
    return next((kind for pattern, kind in _TORCHVISION_KINDS if pattern.match(arch)), "")


def torchvision_names() -> list[str]:
    """Return the names of the image classifiers that the installed torchvision has."""
    from torchvision import models

    return models.list_models(module=models)


def build(
    name: str, input_shape: Shape = (3, 32, 32), n_classes: int = 10, *, seed: int = 0, **options: int
) -> "nn.Module":
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
    import torch

    smallest = ARCHITECTURES[name].smallest_side if name in ARCHITECTURES else 1
    if min(input_shape[1:]) < smallest:
        raise NmfdiagError(f"{name!r} needs inputs of at least {smallest}x{smallest}, got {input_shape[1:]}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name in ARCHITECTURES:
            return ARCHITECTURES[name].make(input_shape, n_classes, **options)
        return _build_torchvision(name, input_shape, n_classes, options)


def _build_torchvision(name: str, input_shape: Shape, n_classes: int, options: dict[str, int]) -> "nn.Module":
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
