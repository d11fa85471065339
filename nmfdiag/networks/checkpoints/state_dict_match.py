"""Compare a state dict, below every prefix, with the tensors of a network, and load it if it fits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.tensor_names import common_prefix, first_quoted, plain_names, quoted, without_prefix

COUNTER = ".num_batches_tracked"
"""Suffix of tensors that old checkpoints lack and evaluation doesn't use."""
MOST_PREFIXES = 4
"""Largest number of prefixes that are compared."""


@dataclass(frozen=True)
class Match:
    """The comparison of the part of a state dict below one prefix with a network.

    Attributes:
        network: The network's name in sentences.
        prefix: The prefix.
        part: The tensors by their names without the prefix.
        wanted: Shapes of the network's tensors.
        options: Options with which an architecture has these shapes.
        n_outputs: Number of outputs; 0 if the part doesn't show it.
    """

    network: str
    prefix: str
    part: dict[str, Tensor]
    wanted: dict[str, torch.Size]
    options: dict[str, int] = field(default_factory=dict)
    n_outputs: int = 0

    @property
    def missing(self) -> list[str]:
        return [name for name in self.wanted if name not in self.part and not name.endswith(COUNTER)]

    @property
    def unexpected(self) -> list[str]:
        return [name for name in self.part if name not in self.wanted]

    @property
    def reshaped(self) -> list[str]:
        return [name for name, shape in self.wanted.items() if name in self.part and self.part[name].shape != shape]

    @property
    def fits(self) -> bool:
        """Return whether no tensor is missing, left over or of another shape."""
        return not (self.missing or self.unexpected or self.reshaped)

    @property
    def share(self) -> float:
        """Return the share of the tensors, the network's and the part's, that agree."""
        names = [name for name in self.wanted if not name.endswith(COUNTER)]
        n_agreeing = len(names) - len(self.missing) - sum(not name.endswith(COUNTER) for name in self.reshaped)
        return n_agreeing / max(len(names) + len(self.unexpected), 1)

    @property
    def faults(self) -> str:
        """Return a sentence on what doesn't fit."""
        pairs = [
            f"{name}: {tuple(self.part[name].shape)} here, {tuple(self.wanted[name])} in {self.network}"
            for name in self.reshaped[:3]
        ]
        faults = [
            (
                self.missing,
                f"they lack {len(self.missing)} of its {len(self.wanted)} tensors ({first_quoted(self.missing)})",
            ),
            (self.unexpected, f"it lacks {len(self.unexpected)} of theirs ({first_quoted(self.unexpected)})"),
            (self.reshaped, f"shapes differ in {len(self.reshaped)} ({'; '.join(pairs)})"),
        ]
        return ", ".join(sentence for names, sentence in faults if names)


def prefixes_before(last_name: str, plain: Mapping[str, Tensor]) -> list[str]:
    """Return the prefixes below which a network may be: those of the name of its last tensor."""
    prefixes = [name.removesuffix(last_name) for name in plain if name == last_name or name.endswith("." + last_name)]
    return sorted(prefixes, key=len)[:MOST_PREFIXES] or list(dict.fromkeys(("", common_prefix(plain))))


def best_match(matches: Sequence[Match], title: str) -> Match:
    """Return the match that fits, else the one of which the largest share does.

    Raises:
        NmfdiagError: If several fit.
    """
    fitting = [match for match in matches if match.fits]
    if len(fitting) > 1:
        under = first_quoted([match.prefix for match in fitting])
        raise NmfdiagError(
            f"{sentence_subject(title)} hold {len(fitting)} networks that fit {matches[0].network}, under {under}: keep one, or name it "
            "(--weights-key)."
        )
    return fitting[0] if fitting else max(matches, key=lambda match: match.share)


def load_weights(model: nn.Module, state: Mapping[str, Tensor], *, title: str = "the weights") -> None:
    """Load weights into a network; either may have a prefix that the other lacks.

    Args:
        model: The network, whose parameters and buffers are overwritten.
        state: Tensors by name, as :func:`nmfdiag.networks.checkpoints.read.read_state_dict` returns them.
        title: The weights' name in errors.

    Raises:
        NmfdiagError: If they don't fit, or hold NaN or infinite values; the network is left unchanged.
    """
    built = model.state_dict()
    if lazy := [name for name, value in built.items() if is_lazy(value)]:
        raise NmfdiagError(
            f"The size of {quoted(lazy[0])} in the network is not known yet: call it on a sample before you return it."
        )
    names, plain = plain_names({name: name for name in built}), plain_names(state)
    matches: list[Match] = []
    for own_prefix in dict.fromkeys(("", common_prefix(names))):
        shapes = {name: built[full].shape for name, full in without_prefix(names, own_prefix).items()}
        prefixes = prefixes_before(next(reversed(shapes), ""), plain)
        matches += [
            Match("the network", prefix, plain_names(without_prefix(plain, prefix)), shapes) for prefix in prefixes
        ]
        if any(match.fits for match in matches):
            break
    match = best_match(matches, title)
    if not match.fits:
        raise NmfdiagError(f"{sentence_subject(title)} don't fit the network: {match.faults}.")
    full_names = list(names.values())  # in the order of `wanted`
    weights = {full: match.part.get(name) for full, name in zip(full_names, match.wanted, strict=True)}
    model.load_state_dict(
        {full: cast_like(built[full], value, full, title) for full, value in weights.items() if value is not None},
        strict=False,
    )


def cast_like(built: Tensor, weight: Tensor, name: str, title: str) -> Tensor:
    """Return a copy of a tensor in the precision of the network's.

    Raises:
        NmfdiagError: If it holds integers where the network has floating-point numbers, or values that are not finite.
    """
    if built.is_floating_point() and not weight.is_floating_point():
        raise NmfdiagError(
            f"{sentence_subject(title)} hold {weight.dtype} in {quoted(name)}: accepted are floating-point weights."
        )
    value = weight.to(built.dtype, copy=True)
    if not bool(torch.isfinite(value).all()):
        raise NmfdiagError(f"{sentence_subject(title)} hold NaN or infinite values, in {name}.")
    return value


def sentence_subject(title: str) -> str:
    """Return the weights' name at the beginning of a sentence."""
    return "The weights" if title == "the weights" else f"The weights {title}"
