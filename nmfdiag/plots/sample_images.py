"""Samples as small PNGs: images as they are stored, spectrograms in the theme's colours. What is neither has no image."""

import base64
import io

import numpy as np

from nmfdiag.plots.theme import SEQUENTIAL

SIDE = 96
"""Pixels of the longer side, at most; a smaller image is enlarged by a whole number up to this."""
COLOURS = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for _, colour in SEQUENTIAL], float)


def is_image(shape: tuple[int, ...]) -> bool:
    """Return whether samples of a shape are drawn as images: one channel or three, and more than a line.

    >>> is_image((3, 32, 32)), is_image((1, 8, 8)), is_image((64,)), is_image((20, 4, 4)), is_image((1, 1, 64))
    (True, True, False, False, False)
    """
    return len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) > 1


def png_uri(sample: np.ndarray, *, is_sound: bool = False) -> str:
    """Return an image (1 or 3, h, w) as the ``data:`` address of a PNG.

    Args:
        sample: uint8, or numbers: those within 0 .. 1 are drawn so, others from the least to the largest.
        is_sound: Whether it is a spectrogram (1, bands, frames), whose low bands are drawn at the bottom.
    """
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(_pixels(sample, is_sound)))
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE))
    elif (factor := SIDE // max(image.size)) > 1:
        image = image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _pixels(sample: np.ndarray, is_sound: bool) -> np.ndarray:
    """Return the pixels (h, w) or (h, w, 3), uint8."""
    if sample.dtype != np.uint8:
        values = np.nan_to_num(sample.astype(float))
        low, high = float(values.min()), float(values.max())
        shares = values if low >= 0 and high <= 1 else (values - low) / max(high - low, 1e-12)
        if is_sound:
            places = np.linspace(0, 1, len(COLOURS))
            return np.stack([np.interp(shares[0, ::-1], places, COLOURS[:, i]) for i in range(3)], -1).astype(np.uint8)
        sample = (255 * shares).round().astype(np.uint8)
    return sample[0] if len(sample) == 1 else sample.transpose(1, 2, 0)
