"""Samples -> small PNGs, as data URIs: images, spectrograms, or feature values as bars or tiles. Made for what is on the screen only."""

import html
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from nmfdiag.plots.sample_images import SMALL, coloured, image_pixels, is_image, is_sound, png_uri
from nmfdiag.zoo.pool_rows import pool_rows
from nmfdiag.zoo.registry import ZooEntry, lookup

LARGE = 2 * SMALL
"""Pixels of the longer side, as :data:`SMALL`."""
RANGE_ROWS = 500
"""Samples that tell the range of each feature."""
MOST_BARS, BAR_HEIGHT, BAR_COLOUR = 48, 60, (0x22, 0x90, 0x8C)
"""Features that are drawn as bars, and not as the tiles of a square; pixels of the highest bar; its colour, seen on white and on black."""

PICTURE_STYLE = "height:44px;border-radius:3px;image-rendering:pixelated"


def thumbnails(entry: ZooEntry, rows: Sequence[int], side: int = SMALL) -> list[str]:
    """Return each sample as the data URI of a PNG.

    Args:
        entry: The network.
        rows: Of its pool.
        side: :data:`SMALL` or :data:`LARGE`.

    Raises:
        NmfdiagError: If the samples can't be read.
    """
    return [_thumbnail(entry.name, entry.digest, int(row), side) for row in rows]


def picture_row(entry: ZooEntry, rows: Sequence[int], alt: str) -> str:
    """Return samples side by side as HTML, described together by ``alt``.

    Raises:
        NmfdiagError: As :func:`thumbnails`.
    """
    images = "".join(f'<img src="{uri}" alt="" style="{PICTURE_STYLE}">' for uri in thumbnails(entry, rows))
    return f'<div role="img" aria-label="{html.escape(alt)}" style="display:flex;flex-wrap:wrap;gap:4px;min-height:44px">{images}</div>'


@lru_cache(maxsize=1024)
def _thumbnail(name: str, _digest: str, row: int, side: int) -> str:
    """Return a sample's picture; cached, since a page sends the same ones each time it is drawn."""
    entry = lookup(name)
    [sample] = pool_rows(entry, [row])
    return png_uri(pixels_of(entry, sample), side)


def kind_of(entry: ZooEntry) -> str:
    """Return what a network's samples are drawn as: ``"image"``, ``"spectrogram"`` or ``"values"``."""
    if not is_image(entry.input_shape):
        return "values"
    return "spectrogram" if entry.input_shape[0] == 1 and is_sound(entry.recipe.arch, entry.recipe.dataset) else "image"


def pixels_of(entry: ZooEntry, sample: np.ndarray) -> np.ndarray:
    """Return a sample's pixels (h, w, 3) or (h, w), uint8: images as they are stored, others in the theme's colours.

    Bars have a fourth channel, how opaque they are.
    """
    kind = kind_of(entry)
    if kind != "values":
        return image_pixels(sample, sound=kind == "spectrogram")
    values = sample.astype(float)
    low, high = (np.reshape(bound, values.shape) for bound in _ranges(entry.name, entry.digest))
    scaled = np.clip((values - low) / np.maximum(high - low, 1e-12), 0, 1)
    if scaled.size == max(scaled.shape):  # one value per feature
        return _bars(scaled.ravel()) if scaled.size <= MOST_BARS else _tiles(scaled.ravel())
    return coloured(
        scaled.mean(0) if scaled.ndim == 3 and min(scaled.shape[1:]) > 1 else scaled.reshape(len(scaled), -1)
    )


def _bars(shares: np.ndarray) -> np.ndarray:
    """Return a bar (h, w, 4) for each share in [0, 1], on a transparent ground."""
    width = max(2, SMALL // len(shares))
    filled = np.arange(BAR_HEIGHT, 0, -1)[:, None] <= 1 + shares * (BAR_HEIGHT - 1)
    pixels = np.zeros((BAR_HEIGHT, len(shares) * width, 4), np.uint8)
    for i in range(width - 1):  # the last column is the gap
        pixels[:, i::width] = np.where(filled[..., None], (*BAR_COLOUR, 255), 0)
    return pixels


def _tiles(shares: np.ndarray) -> np.ndarray:
    """Return shares in [0, 1] as the tiles of a square, row by row."""
    width = int(np.ceil(len(shares) ** 0.5))
    tiles = np.full(-(-len(shares) // width) * width, np.nan)
    tiles[: len(shares)] = shares
    return coloured(tiles.reshape(-1, width))


@lru_cache(maxsize=16)
def _ranges(name: str, _digest: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest value of each feature among the first samples."""
    samples = pool_rows(lookup(name), slice(0, RANGE_ROWS)).astype(float)
    return samples.min(0), samples.max(0)
