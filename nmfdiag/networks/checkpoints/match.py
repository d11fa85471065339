"""Find the architecture of a state dict, and build it in the sizes of its weights."""

import difflib
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.architectures import ARCHITECTURES, Shape, torchvision_names
from nmfdiag.networks.checkpoints.meta import USUAL_CLASSES, families, family_of, outline, shapes_of, without_weights
from nmfdiag.networks.checkpoints.sizes import USUAL_IMAGE, input_shape_in, is_auxiliary, options_in
from nmfdiag.networks.checkpoints.state_dict_match import (
    Match,
    best_match,
    cast_like,
    prefixes_before,
    sentence_subject,
)
from nmfdiag.networks.checkpoints.tensor_names import length, plain_names, quoted, without_prefix

TRANSFORM_INPUT = {"googlenet", "inception_v3"}
"""Architectures of torchvision whose published weights expect another normalisation inside."""
DEEPEST = 3
"""Largest number of components of a prefix when families are ranked."""
FAMILIES = 3
"""Number of torchvision's families whose architectures are all compared."""


def network_for(
    arch: str,
    state: Mapping[str, Tensor],
    input_shape: tuple[int, ...],
    *,
    title: str = "the weights",
    options: Mapping[str, int] | None = None,
) -> tuple[nn.Module, int]:
    """Build an architecture in the sizes of the weights, and load them.

    Args:
        arch: One of :data:`ARCHITECTURES`, or a classifier of torchvision.
        state: Tensors by name; a prefix that all of the network's tensors share is removed.
        input_shape: Shape of one input: channels, height and width, or the length of a vector.
        title: The weights' name in errors; for torchvision's weights the name of their file or enumeration.
        options: Options of the architecture, instead of those that :func:`options_for` reads.

    Returns:
        The network in evaluation mode, with a copy of the weights in float32, and its number of outputs.

    Raises:
        NmfdiagError: If the architecture is unknown or can't take the inputs, or the weights don't fit it (the sentence says what is
            missing or of another shape, and which architecture is nearest) or hold NaN or infinite values.
    """
    shape = _checked_shape(arch, tuple(input_shape))
    match = best_match(_matches(arch, plain_names(state), title, shape, options), title)
    if not match.fits:
        raise NmfdiagError(_mismatch(match, state, title, shape))
    _check_image_size(match, shape, title)
    model = without_weights(arch, shape, match.n_outputs, match.options)
    built = model.state_dict()
    loaded = OrderedDict(
        (name, _loaded_value(value, match.part.get(name), name, title)) for name, value in built.items()
    )
    loaded._metadata = built._metadata  # type: ignore[attr-defined]  # versions of the layers: nothing has to be renamed
    model.load_state_dict(loaded, assign=True)
    return model.eval(), match.n_outputs


def options_for(arch: str, state: Mapping[str, Tensor], *, title: str = "the weights") -> dict[str, int]:
    """Read the options with which :func:`nmfdiag.networks.architectures.build` makes an architecture for these weights, such as ``width``.

    Args:
        arch: One of :data:`ARCHITECTURES`, or a classifier of torchvision.
        state: Tensors by name.
        title: The weights' name in errors.
    """
    return best_match(_matches(arch, plain_names(state), title), title).options


def input_channels(arch: str, state: Mapping[str, Tensor]) -> int | None:
    """Return the number of channels of the inputs that the weights take; None if they only show the length of a vector.

    Args:
        arch: One of :data:`ARCHITECTURES`, or a classifier of torchvision.
        state: Tensors by name.
    """
    part = best_match(_matches(arch, plain_names(state)), "the weights").part
    return None if _takes_vectors(arch) else input_shape_in(arch, part)[0]


def nearest_architectures(state: Mapping[str, Tensor], *, n: int = 3) -> list[tuple[str, float]]:
    """Rank architectures by the share of tensors, theirs and the weights', whose names and shapes agree.

    The number of classes, and heads that only training uses, don't count: at 1.0 :func:`network_for` builds the network.

    Args:
        state: Tensors by name.
        n: Largest number of architectures to return, the nearest first.
    """
    plain = plain_names(state)
    if not plain:
        return []
    shares = [(arch, max(match.share for match in _matches(arch, plain))) for arch in _candidates(plain)]
    return sorted((pair for pair in shares if pair[1] > 0), key=lambda pair: -pair[1])[:n]


def _matches(
    arch: str,
    plain: dict[str, Tensor],
    title: str = "",
    shape: Shape | None = None,
    options: Mapping[str, int] | None = None,
) -> list[Match]:
    """Compare the weights below every possible prefix with an architecture."""
    if arch not in ARCHITECTURES and arch not in torchvision_names():
        close = difflib.get_close_matches(arch, [*ARCHITECTURES, *torchvision_names()])
        raise NmfdiagError(
            f"Unknown architecture {quoted(arch)}: accepted are {', '.join(ARCHITECTURES)} and torchvision's classifiers "
            f"({', '.join(close) or 'vgg19, resnet18'}, ...)."
        )
    return [_match(arch, prefix, plain, title, shape, options or {}) for prefix in prefixes_before(_head(arch), plain)]


def _match(
    arch: str, prefix: str, plain: dict[str, Tensor], title: str, shape: Shape | None, chosen_options: Mapping[str, int]
) -> Match:
    part = without_prefix(plain, prefix)
    n_outputs = length(part, _head(arch)) or 0
    options = options_in(arch, part, n_outputs) | _torchvision_options(arch, title) | dict(chosen_options)
    if not options.get("aux_logits", 1):
        part = {name: value for name, value in part.items() if not is_auxiliary(arch, name)}
    shapes = shapes_of(arch, shape or input_shape_in(arch, part), n_outputs or USUAL_CLASSES, options)
    return Match(arch, prefix, part, shapes, options, n_outputs)


def _loaded_value(built: Tensor, weight: Tensor | None, name: str, title: str) -> Tensor:
    """Return the tensor to load; a table of indices stays as the architecture makes it."""
    is_table = built.ndim and not built.is_floating_point()
    return built if weight is None or is_table else cast_like(built, weight, name, title)


def _torchvision_options(arch: str, title: str) -> dict[str, int]:
    """Return the options that torchvision sets for its own weights, recognised by their title."""
    if arch not in TRANSFORM_INPUT:
        return {}
    from torchvision import models

    titles = {called for preset in models.get_model_weights(arch) for called in (str(preset), Path(preset.url).name)}
    return {"transform_input": 1} if title in titles else {}


def _head(arch: str) -> str:
    """Return the name of the tensor whose length is the number of classes."""
    return ARCHITECTURES[arch].head if arch in ARCHITECTURES else outline(family_of(arch))[-1]


def _takes_vectors(arch: str) -> bool:
    return arch in ARCHITECTURES and ARCHITECTURES[arch].takes_vectors


def _candidates(plain: Mapping[str, Tensor]) -> list[str]:
    """Return the zoo's architectures, and torchvision's of the families whose tensor names are most similar."""
    below: list[Mapping[str, Tensor]] = [plain]
    while below[-1] and len(below) <= DEEPEST:
        first, _ = Counter(name.partition(".")[0] for name in below[-1]).most_common(1)[0]
        below.append(without_prefix(below[-1], f"{first}."))
    members = families()
    similar = sorted(members, key=lambda family: -max(_likeness(outline(family), names) for names in below))
    return [*ARCHITECTURES, *(name for family in similar[:FAMILIES] for name in members[family])]


def _likeness(outline: Iterable[str], plain: Iterable[str]) -> float:
    outlined, present = ({re.sub(r"\d+", "#", name) for name in names} for names in (outline, plain))
    return len(outlined & present) / len(outlined | present)


def _checked_shape(arch: str, shape: tuple[int, ...]) -> Shape:
    """Return channels, height and width; a vector counts as channels of one pixel where the network takes vectors."""
    if len(shape) == 1 and _takes_vectors(arch):
        shape = (*shape, 1, 1)
    if len(shape) != 3 or min(shape) < 1:
        raise NmfdiagError(f"{arch} takes inputs of (channels, height, width), got {shape}.")
    return shape


def _check_image_size(match: Match, shape: Shape, title: str) -> None:
    side = match.options.get("image_size", USUAL_IMAGE)
    if match.network.startswith("vit_") and shape[1:] != (side, side):
        raise NmfdiagError(
            f"{sentence_subject(title)} are for images of {side}x{side} ({match.network} has an embedding of every place), got "
            f"{shape[1]}x{shape[2]}: choose that size (--size {side})."
        )


def _mismatch(match: Match, state: Mapping[str, Tensor], title: str, shape: Shape) -> str:
    """Return the sentence on what doesn't fit, and which architecture would."""
    head = _head(match.network)
    no_head = f"they have no tensor {head!r}, whose length is the number of classes, " if head in match.missing else ""
    inputs = f" for inputs of {shape}" if match.network in ARCHITECTURES else ""
    near = ", ".join(f"{arch} ({share:.0%})" for arch, share in nearest_architectures(state))
    return f"{sentence_subject(title)} don't fit {match.network}{inputs}: {no_head}{match.faults}. " + (
        f"Share of tensors that agree with other architectures: {near}." if near else "No architecture here is near."
    )
