"""Read the sizes of an architecture (width, depth, image size, number of classes) from the shapes of its weights."""

import math
import re
from collections.abc import Callable, Mapping

from torch import Tensor

from nmfdiag.networks.architectures import CONVS_A_BLOCK, Shape

State = Mapping[str, Tensor]
AUXILIARY = {
    "googlenet": ("aux1.fc2.bias", "aux2.fc2.bias"),
    "inception_v3": ("AuxLogits.fc.bias",),
}  # for training only
MOST_LAYERS = 1000  # that names are believed to have
USUAL_IMAGE = 224  # the side that torchvision's vision transformers are made for


def size(state: State, name: str, dim: int = 0) -> int | None:
    """The length of one dimension of a tensor, or None where there is no such tensor or dimension, or no value in it.

    The sides of an empty tensor cost its file nothing: they are not believed.
    """
    tensor = state.get(name)
    there = tensor is not None and tensor.numel() > 0 and -tensor.ndim <= dim < tensor.ndim
    return int(tensor.shape[dim]) if tensor is not None and there else None


def options_in(arch: str, state: State, n_outputs: int) -> dict[str, int]:
    """The options of :func:`build` that the shapes of the weights ask for, but for the class count."""
    if arch in OPTIONS:
        return OPTIONS[arch](state)
    if arch.startswith("vit_"):
        places, patch = size(state, "encoder.pos_embedding", 1), int(arch.rpartition("_")[2])
        side = math.isqrt(max(places - 1, 0)) * patch if places else USUAL_IMAGE
        return {} if side == USUAL_IMAGE or not side else {"image_size": side}
    if any(size(state, head) != n_outputs for head in AUXILIARY.get(arch, ())):
        return {"aux_logits": 0}  # there are none, or of other classes: left from what was fine-tuned
    return {}


def is_auxiliary(arch: str, name: str) -> bool:
    """Whether a tensor is of a head that only training uses."""
    return name.partition(".")[0] in {head.partition(".")[0] for head in AUXILIARY.get(arch, ())}


def input_shape_in(arch: str, state: State) -> Shape:
    """An input shape that the weights are for: channels are theirs, sides one that gives their number of blocks."""
    if arch == "mlp":
        return (size(state, "fc1.linear.weight", 1) or 1, 1, 1)
    first = {"cnn": "conv1_1.conv.weight", "audio_cnn": "conv1_1.conv.weight", "resnet": "conv1.conv.weight"}
    channels = size(state, first[arch], 1) or 3 if arch in first else 3
    side = {2: 4, 3: 8}.get(len(_convs(state)), 32) if arch == "cnn" else 32
    return (channels, side, side)


def _convs(state: State) -> list[int]:
    """Number of convolutions of each block."""
    return [_count(state, rf"conv{block}_(\d+)\.conv\.weight") for block in range(1, 5) if _has(state, f"conv{block}_")]


def _has(state: State, start: str) -> bool:
    return any(name.startswith(start) for name in state)


def _count(state: State, pattern: str) -> int:
    """How many numbers there are, from 1 on without a gap, in names of this pattern."""
    numbers = {match[1] for name in state if (match := re.fullmatch(pattern, name))}
    return next(i for i in range(MOST_LAYERS + 1) if str(i + 1) not in numbers or i == MOST_LAYERS)


def _cnn(state: State) -> dict[str, int]:
    convs = _convs(state)
    usual = tuple(convs) == CONVS_A_BLOCK[: len(convs)]
    return _given(width=size(state, "conv1_1.conv.weight"), convs=0 if usual else max(convs, default=0))


def _mlp(state: State) -> dict[str, int]:
    return _given(width=size(state, "fc1.linear.weight"), depth=_count(state, r"fc(\d+)\.linear\.weight"))


def _resnet(state: State) -> dict[str, int]:
    blocks = _count(state, r"res1_(\d+)\.conv1\.weight")
    return _given(width=size(state, "conv1.conv.weight"), blocks_a_stage=blocks)


def _audio_cnn(state: State) -> dict[str, int]:
    return _given(width=size(state, "conv1_1.conv.weight"))


def _given(**sizes: int | None) -> dict[str, int]:
    return {name: value for name, value in sizes.items() if value}


OPTIONS: dict[str, Callable[[State], dict[str, int]]] = {
    "cnn": _cnn,
    "mlp": _mlp,
    "resnet": _resnet,
    "audio_cnn": _audio_cnn,
}
