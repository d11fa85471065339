"""From stored inputs to what a network sees."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError

CHUNK = 4096  # samples converted to float64 at a time
CONSTANT = 1e-6  # a channel that varies less is only centred


@dataclass(frozen=True)
class Normalization:
    """Per-channel standardisation ``(x - mean) / std``, in units of inputs scaled to [0, 1] where they are uint8.

    Example:
        >>> Normalization((0.5,), (0.5,))(torch.tensor([[[[0, 255]]]], dtype=torch.uint8)).tolist()
        [[[[-1.0, 1.0]]]]
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise NmfdiagError(
                f"A normalisation needs one mean and one standard deviation a channel, "
                f"got {len(self.mean)} and {len(self.std)}."
            )
        if not all(map(math.isfinite, self.mean)) or not all(math.isfinite(s) and s > 0 for s in self.std):
            raise NmfdiagError(
                f"Means must be finite and standard deviations above 0, got mean {self.mean}, std {self.std}."
            )

    @classmethod
    def of(cls, inputs: Tensor) -> "Normalization":
        """Measure mean and standard deviation of each channel of inputs (n, c, h, w); a constant channel gets std 1.

        Raises:
            NmfdiagError: If the shape is another, there are no inputs, or they are not finite.
        """
        if inputs.ndim != 4 or not inputs.numel():
            raise NmfdiagError(f"Inputs must be (n, c, h, w) and hold something, got {tuple(inputs.shape)}.")
        count = inputs.numel() // inputs.shape[1]
        mean = _channel_sum(inputs, torch.zeros(inputs.shape[1], dtype=torch.float64), 1) / count
        spread = (_channel_sum(inputs, mean, 2) / max(count - 1, 1)).sqrt()
        std = torch.where(spread < CONSTANT, torch.ones_like(spread), spread)
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return inputs (..., c, h, w) standardised, as float32; the given tensor stays as it is.

        Raises:
            NmfdiagError: If the inputs have another number of channels.
        """
        if inputs.ndim < 3 or inputs.shape[-3] != len(self.mean):
            raise NmfdiagError(
                f"This normalisation is of {len(self.mean)} channels: inputs must be (..., {len(self.mean)}, h, w), "
                f"got {tuple(inputs.shape)}."
            )
        mean, std = (torch.tensor(v, device=inputs.device).view(-1, 1, 1) for v in (self.mean, self.std))
        scaled = inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs.float()
        return (scaled - mean) / std


def _channel_sum(inputs: Tensor, centre: Tensor, power: int) -> Tensor:
    """Sum of ``(x - centre) ** power`` by channel, (c,) float64, without a float copy of all inputs."""
    scale = 255 if inputs.dtype == torch.uint8 else 1
    total = torch.zeros_like(centre)
    for chunk in inputs.split(CHUNK):
        x = chunk.cpu().double() / scale - centre.view(-1, 1, 1)
        total += (x**power).sum(dim=(0, 2, 3))
    return total
