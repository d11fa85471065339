"""Normalise stored inputs for a network."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError

NORMALIZATIONS: dict[str, str] = {
    "auto": "whichever of these fits and gives the highest accuracy",
    "none": "bytes as 0 to 1, other numbers as they are",
    "data": "mean 0 and standard deviation 1 in each channel, measured on these samples",
    "imagenet": "minus (.485, .456, .406), divided by (.229, .224, .225), as torchvision's weights want it",
    "half": "-1 to 1",
    "bytes": "0 to 255",
}
"""Meanings of the named normalisations; numbers are accepted, too, see :func:`normalization`."""

SMALLEST_STD = 1e-6
BYTE, WORD = 255, 65_535
DARKEST = 16
"""Largest value up to which numbers above 1 don't count as pixels of 8 or 16 bits."""


@dataclass(frozen=True)
class Normalization:
    """Per-channel standardisation; ``mean`` and ``std`` refer to inputs scaled to [0, 1] if they are uint8.

    A single number applies to all channels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def measure(cls, inputs: Tensor) -> "Normalization":
        """Measure mean and standard deviation of each channel of inputs (n, c, ...)."""
        scaled = _scaled(inputs)
        places = [axis for axis in range(inputs.ndim) if axis != 1]
        mean, std = scaled.mean(dim=places), scaled.std(dim=places).clamp_min(SMALLEST_STD)
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    def of_scale(self, scale: float) -> "Normalization":
        """Return the same normalisation for inputs that have not been divided by ``scale``."""
        return Normalization(tuple(m * scale for m in self.mean), tuple(s * scale for s in self.std))

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return (x - mean) / std as float32, shape (n, c, ...) unchanged."""
        shape = (-1, *[1] * (inputs.ndim - 2))
        mean, std = (torch.tensor(v, device=inputs.device).view(shape) for v in (self.mean, self.std))
        return (_scaled(inputs) - mean) / std


FIXED = {
    "none": Normalization((0.0,), (1.0,)),
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": Normalization((0.5,), (0.5,)),
    "bytes": Normalization((0.0,), (1 / 255,)),
}
"""Normalisations of inputs scaled to [0, 1]."""


def normalization(name: str, inputs: Tensor) -> Normalization:
    """Return the normalisation of a name, for inputs (n, c, ...).

    Args:
        name: One of :data:`NORMALIZATIONS` except ``"auto"`` (those of [0, 1] first divide by :func:`full_scale`), or
            ``"MEAN,.../STD,..."``: a number for each channel, or one for all, for inputs scaled to [0, 1] if they are uint8.
        inputs: Inputs that ``"data"`` is measured on, and whose channels the others must fit.

    Raises:
        NmfdiagError: If the name is unknown, or the number of channels differs.
    """
    result = Normalization.measure(inputs) if name == "data" else FIXED.get(name) or _parsed(name)
    if name in FIXED and name != "none":
        result = result.of_scale(full_scale(inputs) or 1)
    lengths = {len(result.mean), len(result.std)}
    if not lengths <= {1, inputs.shape[1]}:
        raise NmfdiagError(
            f"Normalisation {name!r} has {max(lengths)} channels, the inputs have {inputs.shape[1]} (shape {tuple(inputs.shape[1:])})."
        )
    return result


def normalizations(inputs: Tensor) -> dict[str, Normalization]:
    """Return every normalisation that fits inputs (n, c, ...), by name, the most common first.

    Those of [0, 1] fit bytes, other numbers in that range, and numbers of 0 to 255 or 65,535, which are divided by that: for these
    ``"0/255"`` is a name, too.
    """
    scale = full_scale(inputs)
    names = ["none", "data"]
    if scale:
        colours = inputs.ndim == 4 and inputs.shape[1] == 3
        names = [
            *(["imagenet"] if colours else []), *([f"0/{scale}"] if scale > 1 else []), "none", "data", "half",
            *(["bytes"] if scale != BYTE else []),
        ]  # fmt: skip
    return {name: normalization(name, inputs) for name in names}


def full_scale(inputs: Tensor) -> int:
    """Return the divisor that scales inputs to [0, 1]: 1 for bytes, which are always scaled; 0 if it is unknown."""
    low, high = float(inputs.min()), float(inputs.max())
    if inputs.dtype == torch.uint8 or (low >= 0 and high <= 1):
        return 1
    if low < 0 or not DARKEST < high <= WORD:
        return 0
    if high <= BYTE:
        return BYTE
    return WORD if bool((inputs == inputs.round()).all()) else 0


def _parsed(text: str) -> Normalization:
    try:
        mean, std = (tuple(float(number) for number in part.split(",")) for part in text.split("/"))
    except ValueError:
        raise NmfdiagError(
            f"Unknown normalisation {text!r}: accepted are {', '.join(NORMALIZATIONS)}, or MEAN,.../STD,... such as "
            "0.49,0.48,0.45/0.25,0.24,0.26."
        ) from None
    if not all(math.isfinite(v) for v in (*mean, *std)) or min(std) <= 0:
        raise NmfdiagError(f"A normalisation's means must be finite and its deviations positive, got {text!r}.")
    return Normalization(mean, std)


def _scaled(inputs: Tensor) -> Tensor:
    return inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs.float()
