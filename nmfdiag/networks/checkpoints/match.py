"""Find the architecture that a state dict belongs to, and build it to the sizes that its weights have."""

import difflib
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.architectures import ARCHITECTURES, Shape, torchvision_names
from nmfdiag.networks.checkpoints.meta import SOME_CLASSES, families, family_of, outline, shapes_of, without_weights
from nmfdiag.networks.checkpoints.sizes import USUAL_IMAGE, input_shape_in, is_auxiliary, options_in
from nmfdiag.networks.checkpoints.state_dict_match import Match, as_in, best_of, called, prefixes_before
from nmfdiag.networks.checkpoints.tensor_names import length, plain_names, shown, without_prefix

TRANSFORM_INPUT = {"googlenet", "inception_v3"}  # torchvision's weights of these expect another normalisation inside
DEEPEST = 3  # components that a prefix may have, to rank families
FAMILIES = 3  # of torchvision's architectures that are compared one by one


def network_for(
    arch: str,
    state: Mapping[str, Tensor],
    input_shape: tuple[int, ...],
    *,
    title: str = "the weights",
    options: Mapping[str, int] | None = None,
) -> tuple[nn.Module, int]:
    """Build an architecture to the sizes that the weights have, and load them.

    Args:
        arch: One of :data:`ARCHITECTURES`, or a classifier of torchvision.
        state: Tensors by name; a prefix that all of the network's tensors share is taken off.
        input_shape: Of one input: channels, height and width, or the length of a vector.
        title: What the weights are called in an error; for torchvision's own the name of its file or of its enumeration.
        options: Of the architecture, instead of what :func:`options_for` reads.

    Returns:
        The network in evaluation mode, with weights of its own in float32, and its number of outputs.

    Raises:
        NmfdiagError: If the architecture is unknown, can't take the inputs, or the weights don't fit it (what is missing, what
            has another shape, and which architecture is nearest), or if they hold NaN or infinite values.
    """
    shape = _three(arch, tuple(input_shape))
    match = best_of(_matches(arch, plain_names(state), title, shape, options), title)
    if not match.fits:
        raise NmfdiagError(_mismatch(match, state, title, shape))
    _check_image_size(match, shape, title)
    model = without_weights(arch, shape, match.n_outputs, match.options)
    built = model.state_dict()
    loaded = OrderedDict((name, _value(value, match.part.get(name), name, title)) for name, value in built.items())
    loaded._metadata = built._metadata  # type: ignore[attr-defined]  # layers' versions: nothing is to be renamed
    model.load_state_dict(loaded, assign=True)
    return model.eval(), match.n_outputs


def options_for(arch: str, state: Mapping[str, Tensor], *, title: str = "the weights") -> dict[str, int]:
    """Read the options with which :func:`build` makes an architecture for these weights, such as ``width``.

    Args:
        arch: One of :data:`ARCHITECTURES`, or a classifier of torchvision.
        state: Tensors by name.
        title: What the weights are called, see :func:`network_for`.
    """
    return best_of(_matches(arch, plain_names(state), title), title).options


def input_channels(arch: str, state: Mapping[str, Tensor]) -> int | None:
    """Number of channels of the inputs that the weights are for; None where they only say how long a vector is.

    Args:
        arch: One of :data:`ARCHITECTURES`, or a classifier of torchvision.
        state: Tensors by name.
    """
    part = best_of(_matches(arch, plain_names(state)), "the weights").part
    return None if _takes_vectors(arch) else input_shape_in(arch, part)[0]


def nearest_architectures(state: Mapping[str, Tensor], *, n: int = 3) -> list[tuple[str, float]]:
    """Rank architectures by the share of all tensors, theirs and the weights', whose names and shapes agree.

    The class count, and heads that only training uses, don't matter: 1.0 is a network that :func:`network_for` builds.

    Args:
        state: Tensors by name.
        n: How many to return at most, the nearest first.
    """
    plain = plain_names(state)
    if not plain:
        return []
    shares = [(arch, max(match.share for match in _matches(arch, plain))) for arch in _candidates(plain)]
    return sorted((each for each in shares if each[1] > 0), key=lambda each: -each[1])[:n]


def _matches(
    arch: str,
    plain: dict[str, Tensor],
    title: str = "",
    shape: Shape | None = None,
    given: Mapping[str, int] | None = None,
) -> list[Match]:
    """Compare the weights below every prefix under which the network may be."""
    if arch not in ARCHITECTURES and arch not in torchvision_names():
        close = difflib.get_close_matches(arch, [*ARCHITECTURES, *torchvision_names()])
        raise NmfdiagError(
            f"Unknown architecture {shown(arch)}: accepted are {', '.join(ARCHITECTURES)} and torchvision's classifiers "
            f"({', '.join(close) or 'vgg19, resnet18'}, ...)."
        )
    return [_match(arch, prefix, plain, title, shape, given or {}) for prefix in prefixes_before(_head(arch), plain)]


def _match(
    arch: str, prefix: str, plain: dict[str, Tensor], title: str, shape: Shape | None, given: Mapping[str, int]
) -> Match:
    part = without_prefix(plain, prefix)
    n_outputs = length(part, _head(arch)) or 0
    options = options_in(arch, part, n_outputs) | _own(arch, title) | dict(given)
    if not options.get("aux_logits", 1):
        part = {name: value for name, value in part.items() if not is_auxiliary(arch, name)}
    wanted = shapes_of(arch, shape or input_shape_in(arch, part), n_outputs or SOME_CLASSES, options)
    return Match(arch, prefix, part, wanted, options, n_outputs)


def _value(built: Tensor, given: Tensor | None, name: str, title: str) -> Tensor:
    """What is loaded; a table of indices stays as the architecture makes it."""
    is_table = built.ndim and not built.is_floating_point()
    return built if given is None or is_table else as_in(built, given, name, title)


def _own(arch: str, title: str) -> dict[str, int]:
    """What torchvision sets for weights of its own, known by their title."""
    if arch not in TRANSFORM_INPUT:
        return {}
    from torchvision import models

    own = {called for one in models.get_model_weights(arch) for called in (str(one), Path(one.url).name)}
    return {"transform_input": 1} if title in own else {}


def _head(arch: str) -> str:
    """Return the name of the tensor whose length is the number of classes."""
    return ARCHITECTURES[arch].head if arch in ARCHITECTURES else outline(family_of(arch))[-1]


def _takes_vectors(arch: str) -> bool:
    return arch in ARCHITECTURES and ARCHITECTURES[arch].takes_vectors


def _candidates(plain: Mapping[str, Tensor]) -> list[str]:
    """Our architectures, and torchvision's of the families whose names, but for numbers, are most like these."""
    below: list[Mapping[str, Tensor]] = [plain]
    while below[-1] and len(below) <= DEEPEST:
        first, _ = Counter(name.partition(".")[0] for name in below[-1]).most_common(1)[0]
        below.append(without_prefix(below[-1], f"{first}."))
    members = families()
    alike = sorted(members, key=lambda family: -max(_likeness(outline(family), names) for names in below))
    return [*ARCHITECTURES, *(name for family in alike[:FAMILIES] for name in members[family])]


def _likeness(outline: Iterable[str], plain: Iterable[str]) -> float:
    ours, theirs = ({re.sub(r"\d+", "#", name) for name in names} for names in (outline, plain))
    return len(ours & theirs) / len(ours | theirs)


def _three(arch: str, shape: tuple[int, ...]) -> Shape:
    """Channels, height and width; a vector is that many channels of one pixel to a fully-connected network."""
    if len(shape) == 1 and _takes_vectors(arch):
        shape = (*shape, 1, 1)
    if len(shape) != 3 or min(shape) < 1:
        raise NmfdiagError(f"{arch} takes inputs of (channels, height, width), got {shape}.")
    return shape


def _check_image_size(match: Match, shape: Shape, title: str) -> None:
    side = match.options.get("image_size", USUAL_IMAGE)
    if match.network.startswith("vit_") and shape[1:] != (side, side):
        raise NmfdiagError(
            f"{called(title)} are for images of {side}x{side} ({match.network} has an embedding of every place), got "
            f"{shape[1]}x{shape[2]}: choose that size (--size {side})."
        )


def _mismatch(match: Match, state: Mapping[str, Tensor], title: str, shape: Shape) -> str:
    """The sentence that says what doesn't fit, and what would."""
    head = _head(match.network)
    no_head = f"they have no tensor {head!r}, whose length is the number of classes, " if head in match.missing else ""
    inputs = f" for inputs of {shape}" if match.network in ARCHITECTURES else ""
    near = ", ".join(f"{arch} ({share:.0%})" for arch, share in nearest_architectures(state))
    return f"{called(title)} don't fit {match.network}{inputs}: {no_head}{match.faults}. " + (
        f"Share of tensors that agree with other architectures: {near}." if near else "No architecture here is near."
    )
