"""Resize images to the size that a network was trained on."""

import torch
import torch.nn.functional as F
from torch import Tensor

from nmfdiag.errors import NmfdiagError

LARGEST_SIDE = 4096
MAX_RESIZED_BYTES = 4 * 2**30
BATCH = 256
"""Number of images that are resized at once."""


def checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return height and width, from a pair or from one number for both.

    Raises:
        NmfdiagError: If they are not whole numbers of pixels.
    """
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, int) and 0 < side <= LARGEST_SIDE for side in sides):
        raise NmfdiagError(f"A size must be one or two whole numbers of pixels in 1 .. {LARGEST_SIDE}, got {size!r}.")
    return sides[0], sides[1]


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images (n, c, h, w) to a height and width: bilinear, with antialiasing; their type is kept.

    Raises:
        NmfdiagError: If they are not images, or would take too much memory.
    """
    if images.ndim != 4:
        raise NmfdiagError(f"Only images are resized, got inputs of shape {tuple(images.shape[1:])} each.")
    if tuple(images.shape[2:]) == size:
        return images
    if len(images) * images.shape[1] * size[0] * size[1] * images.element_size() > MAX_RESIZED_BYTES:
        raise NmfdiagError(
            f"{len(images):,} images take more than {MAX_RESIZED_BYTES >> 30} GiB at {size[0]}x{size[1]} pixels: take fewer of "
            "each class, or a smaller size."
        )
    parts = []
    for batch in images.split(BATCH):
        part = F.interpolate(batch.float(), size=size, mode="bilinear", antialias=True)
        is_bytes = images.dtype == torch.uint8
        parts.append(part.round().clamp(0, 255).to(torch.uint8) if is_bytes else part)
    return torch.cat(parts)
