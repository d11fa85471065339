"""Compare a state dict with the tensors that a network wants, below every prefix, and load it where it fits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.tensor_names import common_prefix, few, plain_names, shown, without_prefix

COUNTER = ".num_batches_tracked"  # old checkpoints lack it, and evaluation doesn't use it
MOST_PREFIXES = 4  # under which a network is looked for


@dataclass(frozen=True)
class Match:
    """How the part of a state dict below one prefix compares with a network.

    Attributes:
        network: What it is called in a sentence.
        prefix: What stands before the names of the part.
        part: The tensors by their names without it.
        wanted: Shapes of the network's tensors.
        options: With which an architecture is built to have these shapes.
        n_outputs: How many it has; 0 where the part doesn't say.
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
        """Whether nothing is missing, left over or of another shape."""
        return not (self.missing or self.unexpected or self.reshaped)

    @property
    def share(self) -> float:
        """Share of the tensors, the network's and the part's, that agree."""
        wanted = [name for name in self.wanted if not name.endswith(COUNTER)]
        right = len(wanted) - len(self.missing) - sum(not name.endswith(COUNTER) for name in self.reshaped)
        return right / max(len(wanted) + len(self.unexpected), 1)

    @property
    def faults(self) -> str:
        """What doesn't fit, in words."""
        pairs = [
            f"{name}: {tuple(self.part[name].shape)} here, {tuple(self.wanted[name])} in {self.network}"
            for name in self.reshaped[:3]
        ]
        faults = [
            (self.missing, f"they lack {len(self.missing)} of its {len(self.wanted)} tensors ({few(self.missing)})"),
            (self.unexpected, f"it lacks {len(self.unexpected)} of theirs ({few(self.unexpected)})"),
            (self.reshaped, f"shapes differ in {len(self.reshaped)} ({'; '.join(pairs)})"),
        ]
        return ", ".join(words for names, words in faults if names)


def prefixes_before(last: str, plain: Mapping[str, Tensor]) -> list[str]:
    """Where a network may begin in a state dict: what stands before the name of its last tensor."""
    found = [name.removesuffix(last) for name in plain if name == last or name.endswith("." + last)]
    return sorted(found, key=len)[:MOST_PREFIXES] or list(dict.fromkeys(("", common_prefix(plain))))


def best_of(matches: Sequence[Match], title: str) -> Match:
    """The match that fits, else the one of which most does.

    Raises:
        NmfdiagError: If several fit: then there are several such networks.
    """
    fitting = [match for match in matches if match.fits]
    if len(fitting) > 1:
        under = few([match.prefix for match in fitting])
        raise NmfdiagError(
            f"{called(title)} hold {len(fitting)} networks that fit {matches[0].network}, under {under}: keep one, or name it "
            "(--weights-key)."
        )
    return fitting[0] if fitting else max(matches, key=lambda match: match.share)


def load_weights(model: nn.Module, state: Mapping[str, Tensor], *, title: str = "the weights") -> None:
    """Load weights into a network, whatever prefix its names or theirs have more.

    Args:
        model: Whose parameters and buffers are written to.
        state: Tensors by name, as :func:`read_state_dict` reads them.
        title: What they are called in an error.

    Raises:
        NmfdiagError: If they don't fit, or hold NaN or infinite values; the network is left as it was.
    """
    built = model.state_dict()
    if lazy := [name for name, value in built.items() if is_lazy(value)]:
        raise NmfdiagError(
            f"The size of {shown(lazy[0])} in the network is not known yet: call it on a sample before you return it."
        )
    names, plain = plain_names({name: name for name in built}), plain_names(state)
    matches: list[Match] = []
    for own in dict.fromkeys(("", common_prefix(names))):
        wanted = {name: built[full].shape for name, full in without_prefix(names, own).items()}
        before = prefixes_before(next(reversed(wanted), ""), plain)
        matches += [
            Match("the network", prefix, plain_names(without_prefix(plain, prefix)), wanted) for prefix in before
        ]
        if any(match.fits for match in matches):
            break
    match = best_of(matches, title)
    if not match.fits:
        raise NmfdiagError(f"{called(title)} don't fit the network: {match.faults}.")
    full_names = list(names.values())  # in the order of `wanted`
    given = {full: match.part.get(name) for full, name in zip(full_names, match.wanted, strict=True)}
    model.load_state_dict(
        {full: as_in(built[full], value, full, title) for full, value in given.items() if value is not None},
        strict=False,
    )


def as_in(built: Tensor, given: Tensor, name: str, title: str) -> Tensor:
    """A copy of a tensor of the weights in the precision that the network has.

    Raises:
        NmfdiagError: If it holds integers where the network has numbers, or values that are not finite.
    """
    if built.is_floating_point() and not given.is_floating_point():
        raise NmfdiagError(f"{called(title)} hold {given.dtype} in {shown(name)}: accepted are floating-point weights.")
    value = given.to(built.dtype, copy=True)
    if not bool(torch.isfinite(value).all()):
        raise NmfdiagError(f"{called(title)} hold NaN or infinite values, in {name}.")
    return value


def called(title: str) -> str:
    """What the weights are called at the beginning of a sentence."""
    return "The weights" if title == "the weights" else f"The weights {title}"
