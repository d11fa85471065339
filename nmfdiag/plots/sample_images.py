"""Samples as small PNGs: images as they are stored, spectrograms and other values in the theme's colours."""

import base64
import io

import numpy as np

from nmfdiag.plots.theme import SEQUENTIAL

SMALL = 96
"""Pixels of the longer side, at least, of what is not larger: whole multiples of a small image's pixels."""
SOUND = ("audio", "spoken", "urban")
"""Beginnings of the names of architectures and data sets whose samples are spectrograms."""
COLOURS = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for _, colour in SEQUENTIAL], float)


def is_image(shape: tuple[int, ...]) -> bool:
    """Return whether samples of a shape are drawn as images: one channel or three, and more than a line.

    >>> is_image((3, 32, 32)), is_image((1, 8, 8)), is_image((64,)), is_image((20, 4, 4)), is_image((1, 1, 64))
    (True, True, False, False, False)
    """
    return len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) > 1


def is_sound(*names: str) -> bool:
    """Return whether an architecture or a data set of these names takes spectrograms."""
    return any(name.startswith(SOUND) for name in names)


def image_pixels(sample: np.ndarray, *, sound: bool = False) -> np.ndarray:
    """Return the pixels (h, w) or (h, w, 3), uint8, of an image.

    Args:
        sample: (1 or 3, h, w), uint8 or numbers: those within 0 .. 1 are drawn so, others from the least to the largest.
        sound: Whether it is a spectrogram (1, bands, frames), whose low bands are drawn at the bottom.
    """
    if sound and len(sample) == 1:
        return coloured(_between_0_and_1(sample[0].astype(float))[::-1])
    image = sample[0] if len(sample) == 1 else sample.transpose(1, 2, 0)
    return image if image.dtype == np.uint8 else (255 * _between_0_and_1(image.astype(float))).astype(np.uint8)


def coloured(shares: np.ndarray) -> np.ndarray:
    """Return shares (h, w) in [0, 1] in the sequential scale, and white where there is none (h, w, 3), uint8."""
    places = np.linspace(0, 1, len(COLOURS))
    channels = [np.interp(np.nan_to_num(shares), places, COLOURS[:, i]) for i in range(3)]
    return np.where(np.isnan(shares)[..., None], 255, np.stack(channels, -1)).astype(np.uint8)


def png_uri(pixels: np.ndarray, side: int = SMALL) -> str:
    """Return pixels (h, w) or (h, w, 3), uint8, as the ``data:`` address of a PNG whose longer side has about ``side`` pixels."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    longer = max(image.size)
    if longer > side:
        image.thumbnail((side, side))
    elif longer < side:
        factor = -(-side // longer)
        image = image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _between_0_and_1(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return values if low >= 0 and high <= 1 else (values - low) / max(high - low, 1e-12)
