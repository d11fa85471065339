"""Guess a caller's mistake where a network can't take the inputs, by the first layer that has weights."""

import math

from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


def first_layer(model: nn.Module) -> nn.Module | None:
    """Return the first layer, in the order of definition, whose weights show the inputs' shape."""
    kinds = (*CONVOLUTIONS, *EMBEDDINGS, nn.Linear, nn.RNNBase)
    return next((module for module in model.modules() if isinstance(module, kinds)), None)


def input_hint(model: nn.Module, inputs: Tensor) -> str:
    """Return sentences on the likely mistake, to follow another sentence; empty if no mistake is likely."""
    layer, shape = first_layer(model), tuple(inputs.shape)
    if isinstance(layer, EMBEDDINGS):
        return ". Its first layer looks up whole numbers: give inputs.long()." if inputs.is_floating_point() else ""
    hints = []
    if isinstance(layer, CONVOLUTIONS):
        axes = 1 + next(i for i, kind in enumerate(CONVOLUTIONS, 1) if isinstance(layer, kind)) + 1
        channels = layer.in_channels
        if len(shape) == axes and shape[1] != channels:
            if shape[-1] == channels:
                last = ", ".join(map(str, (0, axes - 1, *range(1, axes - 1))))
                hints.append(f"Its channels seem to come last: give inputs.permute({last}).")
            elif {shape[1], channels} == {1, 3}:
                kinds = {1: "grey", 3: "colour"}
                hints.append(
                    f"They are {kinds[shape[1]]}, and it takes {kinds[channels]}: convert them as in training."
                )
        elif len(shape) == axes - 1:
            missing = "samples: give inputs[None]" if shape[0] == channels else "channels: give inputs[:, None]"
            hints.append(f"They lack an axis of {missing}.")
    elif isinstance(layer, nn.Linear) and len(shape) > 2 and math.prod(shape[1:]) == layer.in_features != shape[-1]:
        hints.append("Its first layer takes vectors: give inputs.flatten(1).")
    if not inputs.is_floating_point():
        hints.append(
            "They are whole numbers: give floating-point ones, prepared as in training, such as inputs.float() / 255."
        )
    return f". {' '.join(hints)}" if hints else ""
