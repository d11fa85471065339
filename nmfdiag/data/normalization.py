"""From stored inputs to what a network sees."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normalization:
    """Per-channel standardisation; ``mean`` and ``std`` are of inputs scaled to [0, 1] where they are uint8."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, inputs: Tensor) -> "Normalization":
        """Measure mean and standard deviation of each channel of inputs (n, c, h, w)."""
        scaled = _scaled(inputs)
        mean, std = scaled.mean(dim=(0, 2, 3)), scaled.std(dim=(0, 2, 3)).clamp_min(1e-6)
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return (x - mean) / std as float32, shape unchanged."""
        mean, std = (torch.tensor(v, device=inputs.device).view(-1, 1, 1) for v in (self.mean, self.std))
        return (_scaled(inputs) - mean) / std


def _scaled(inputs: Tensor) -> Tensor:
    return inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs.float()
