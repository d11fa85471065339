"""From stored inputs to what a network sees."""

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
"""How inputs may have been prepared in training, and what that means; also accepted are numbers, see :func:`normalization`."""

SMALLEST_STD = 1e-6


@dataclass(frozen=True)
class Normalization:
    """Per-channel standardisation; ``mean`` and ``std`` are of inputs scaled to [0, 1] where they are uint8.

    One number stands for all channels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, inputs: Tensor) -> "Normalization":
        """Measure mean and standard deviation of each channel of inputs (n, c, ...)."""
        scaled = _scaled(inputs)
        places = [axis for axis in range(inputs.ndim) if axis != 1]
        mean, std = scaled.mean(dim=places), scaled.std(dim=places).clamp_min(SMALLEST_STD)
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return (x - mean) / std as float32, shape (n, c, ...) unchanged."""
        shape = (-1, *[1] * (inputs.ndim - 2))
        mean, std = (torch.tensor(v, device=inputs.device).view(shape) for v in (self.mean, self.std))
        return (_scaled(inputs) - mean) / std


_FIXED = {
    "none": Normalization((0.0,), (1.0,)),
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": Normalization((0.5,), (0.5,)),
    "bytes": Normalization((0.0,), (1 / 255,)),
}


def normalization(name: str, inputs: Tensor) -> Normalization:
    """The normalisation of a name, for inputs (n, c, ...).

    Args:
        name: One of :data:`NORMALIZATIONS` but ``"auto"``, or ``"MEAN,.../STD,..."``: a number for each channel, or one for all, of
            inputs scaled to [0, 1] where they are uint8.
        inputs: Those that ``"data"`` is measured on, and whose channels the others must fit.

    Raises:
        NmfdiagError: If there is none of that name, or it is of another number of channels.
    """
    chosen = Normalization.of(inputs) if name == "data" else _FIXED.get(name) or _parsed(name)
    lengths = {len(chosen.mean), len(chosen.std)}
    if not lengths <= {1, inputs.shape[1]}:
        raise NmfdiagError(
            f"Normalisation {name!r} is of {max(lengths)} channels, the inputs have {inputs.shape[1]} (shape {tuple(inputs.shape[1:])})."
        )
    return chosen


def normalizations(inputs: Tensor) -> dict[str, Normalization]:
    """Every normalisation that fits inputs (n, c, ...), by name, the most common first.

    Scales that start from [0, 1] fit bytes, and other numbers that all lie there.
    """
    from_one = inputs.dtype == torch.uint8 or (float(inputs.min()) >= 0 and float(inputs.max()) <= 1)
    names = ["none", "data"]
    if from_one:
        colours = inputs.ndim == 4 and inputs.shape[1] == 3
        names = [*(["imagenet"] if colours else []), "none", "data", "half", "bytes"]
    return {name: normalization(name, inputs) for name in names}


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
