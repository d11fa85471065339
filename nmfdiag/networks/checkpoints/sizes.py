"""Read the sizes of an architecture (width, depth, image size, number of classes) from the shapes of its weights."""

import math

from nmfdiag.networks.architectures import ARCHITECTURES, USUAL_SIDE, Shape, State
from nmfdiag.networks.checkpoints.tensor_names import length

AUXILIARY_HEADS = {"googlenet": ("aux1.fc2.bias", "aux2.fc2.bias"), "inception_v3": ("AuxLogits.fc.bias",)}
"""Last tensors of the heads of torchvision's architectures that only training uses."""
USUAL_IMAGE = 224
"""Side of the images that torchvision's vision transformers are made for, in pixels."""


def options_in(arch: str, state: State, n_outputs: int) -> dict[str, int]:
    """Return the options of :func:`nmfdiag.networks.architectures.build` that the shapes of the weights require, without the number of classes."""
    if arch in ARCHITECTURES:
        return ARCHITECTURES[arch].options_of(state)
    if arch.startswith("vit_"):
        places, patch = length(state, "encoder.pos_embedding", 1), int(arch.rpartition("_")[2])
        side = math.isqrt(max(places - 1, 0)) * patch if places else USUAL_IMAGE
        return {} if side == USUAL_IMAGE or not side else {"image_size": side}
    if any(length(state, head) != n_outputs for head in AUXILIARY_HEADS.get(arch, ())):
        return {"aux_logits": 0}  # they are missing, or of other classes: left over from before fine-tuning
    return {}


def is_auxiliary(arch: str, name: str) -> bool:
    """Return whether a tensor belongs to a head that only training uses."""
    return name.partition(".")[0] in {head.partition(".")[0] for head in AUXILIARY_HEADS.get(arch, ())}


def input_shape_in(arch: str, state: State) -> Shape:
    """Return an input shape that the weights take: with their channels, and sides that give their number of blocks."""
    return ARCHITECTURES[arch].input_shape_of(state) if arch in ARCHITECTURES else (3, USUAL_SIDE, USUAL_SIDE)
