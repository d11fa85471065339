"""Samples -> small PNGs, as data URIs: images, spectrograms, or a strip of feature values. Made for what is on the screen only."""

import base64
import io
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from nmfdiag.plots.theme import SEQUENTIAL
from nmfdiag.zoo.pool_rows import pool_rows
from nmfdiag.zoo.registry import ZooEntry

SMALL, LARGE = 96, 192
"""Pixels of the longer side, at least, of what is not larger: whole multiples of a small image's pixels."""
SOUND = ("audio", "spoken", "urban")
"""Beginnings of the names of architectures and data sets whose samples are spectrograms."""
RANGE_ROWS, WIDEST_ROW = 500, 16
"""Samples that tell the range of each feature, and features in a row of a strip."""
COLOURS = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for _, colour in SEQUENTIAL], float)


def thumbnails(entry: ZooEntry, rows: Sequence[int], side: int = SMALL) -> list[str]:
    """Return each sample as the data URI of a PNG.

    Args:
        entry: The network.
        rows: Of its pool.
        side: :data:`SMALL` or :data:`LARGE`.

    Raises:
        NmfdiagError: If the samples can't be read.
    """
    return [_uri(pixels_of(entry, sample), side) for sample in pool_rows(entry, rows)]


def kind_of(entry: ZooEntry) -> str:
    """Return what a network's samples are drawn as: ``"image"``, ``"spectrogram"`` or ``"values"``."""
    channels, height, width = entry.input_shape
    if channels not in (1, 3) or min(height, width) == 1:
        return "values"
    names = (entry.recipe.arch, entry.recipe.dataset)
    return "spectrogram" if channels == 1 and any(name.startswith(SOUND) for name in names) else "image"


def pixels_of(entry: ZooEntry, sample: np.ndarray) -> np.ndarray:
    """Return a sample's pixels (h, w, 3) or (h, w), uint8: images as they are stored, others in the theme's colours."""
    kind = kind_of(entry)
    if kind == "image":
        image = sample.transpose(1, 2, 0) if sample.shape[0] == 3 else sample[0]
        return image if image.dtype == np.uint8 else (255 * _between_0_and_1(image.astype(float))).astype(np.uint8)
    values = sample.astype(float)
    if kind == "spectrogram":
        return _coloured(_between_0_and_1(values[0])[::-1])  # low frequencies at the bottom
    low, high = (np.reshape(bound, values.shape) for bound in _ranges(entry))
    scaled = np.clip((values - low) / np.maximum(high - low, 1e-12), 0, 1)
    if scaled.size == max(scaled.shape):  # one value per feature
        width = min(scaled.size, max(WIDEST_ROW, int(np.ceil(scaled.size**0.5))))
        height = -(-scaled.size // width)
        padded = np.full(height * width, np.nan)
        padded[: scaled.size] = scaled.ravel()
        return _coloured(padded.reshape(height, width))
    return _coloured(
        scaled.mean(0) if scaled.ndim == 3 and min(scaled.shape[1:]) > 1 else scaled.reshape(len(scaled), -1)
    )


@lru_cache(maxsize=16)
def _ranges_of_pool(name: str, digest: str) -> tuple[np.ndarray, np.ndarray]:
    from nmfdiag.zoo.registry import lookup

    entry = lookup(name)
    samples = pool_rows(entry, range(RANGE_ROWS)).astype(float)
    return samples.min(0), samples.max(0)


def _ranges(entry: ZooEntry) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest value of each feature among the first samples."""
    return _ranges_of_pool(entry.name, entry.digest)


def _between_0_and_1(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return values
    return (values - low) / max(high - low, 1e-12)


def _coloured(shares: np.ndarray) -> np.ndarray:
    """Return shares (h, w) in [0, 1] in the sequential scale, and white where there is none (h, w, 3)."""
    places = np.linspace(0, 1, len(COLOURS))
    channels = [np.interp(np.nan_to_num(shares), places, COLOURS[:, i]) for i in range(3)]
    return np.where(np.isnan(shares)[..., None], 255, np.stack(channels, -1)).astype(np.uint8)


def _uri(pixels: np.ndarray, side: int) -> str:
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
