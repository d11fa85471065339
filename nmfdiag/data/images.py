"""Image folders, and zips of them: ``class/image``, or ``train/class/image`` beside ``test/class/image``."""

import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nmfdiag.data.arrays import MAX_BYTES, SPLITS, Arrays
from nmfdiag.data.tree import Name, Reader, Tree, open_tree
from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # decided by the content: a .png can't reach another decoder
GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")


def load_images(
    path: Path, split: str, *, size: tuple[int, int] | None = None, limit_per_class: int | None = None
) -> Arrays:
    """Read one split of an image folder or of a zip of one, classes and images in the order of their names.

    Labels follow the classes of both splits together, so that one label means one class in both. A folder without
    ``train/`` and ``test/`` is one training set. A single folder around everything, as many zips have it, is looked
    through. Transparency is dropped; images of 16 bits keep their upper eight.

    Args:
        path: Folder or zip file.
        split: ``"train"`` or ``"test"``.
        size: Height and width to which images are resized (bilinear); default those of the first.
        limit_per_class: Read only the first so many of each class.

    Returns:
        Images (n, c, h, w) uint8, labels (n,), class names; c is 1 where every image is grey, else 3.

    Raises:
        NmfdiagError: If there are no such images, or one can't be decoded.
    """
    with open_tree(path, SUFFIXES) as tree:
        class_names, members = _split(_unwrapped(tree), split, path)
        chosen = [
            (label, name, read)
            for label, class_name in enumerate(class_names)
            for name, read in members.get(class_name, [])[:limit_per_class]
        ]
        if not chosen:
            raise NmfdiagError(f"{path.name} has no image in {split}/.")
        images = _stack([(name, read) for _, name, read in chosen], size)
    return Arrays(images, np.asarray([label for label, _, _ in chosen]), class_names)


def _unwrapped(tree: Tree) -> Tree:
    """Drop the one folder, or one in the other, that everything lies in, where classes come below."""
    while tree and all(len(name) > 2 for name in tree):
        tops = {name[0] for name in tree}
        if len(tops) != 1 or tops <= set(SPLITS):
            break
        tree = {name[1:]: read for name, read in tree.items()}
    return tree


def _split(tree: Tree, split: str, path: Path) -> tuple[tuple[str, ...], dict[str, list[tuple[Name, Reader]]]]:
    """Return the class names, and the files of the wanted split by class."""
    deep = {name: read for name, read in tree.items() if len(name) == 3 and name[0] in SPLITS}
    files = deep or {("train", *name): read for name, read in tree.items() if len(name) == 2}
    if not files:
        raise NmfdiagError(
            f"{path.name} has no images as CLASS/IMAGE or {split}/CLASS/IMAGE; accepted are {', '.join(SUFFIXES)}."
        )
    splits = sorted({name[0] for name in files})
    if split not in splits:
        raise NmfdiagError(
            f"{path.name} has no split {split!r}: it has {', '.join(splits)}. "
            f"Images as CLASS/IMAGE are a training set; put them into train/ and test/ to have both."
        )
    members: dict[str, list[tuple[Name, Reader]]] = {}
    for name, read in files.items():
        if name[0] == split:
            members.setdefault(name[1], []).append((name, read))
    return tuple(sorted({name[1] for name in files})), members


def _stack(files: list[tuple[Name, Reader]], size: tuple[int, int] | None) -> np.ndarray:
    """Decode into one array (n, c, h, w); c is 1 where every image is grey, else 3."""
    first = decode("/".join(files[0][0][-2:]), files[0][1](), size)
    size = (first.shape[1], first.shape[2])
    if 3 * len(files) * size[0] * size[1] > MAX_BYTES:
        raise NmfdiagError(
            f"{len(files):,} images of {size[0]}x{size[1]} take more than {MAX_BYTES:,} bytes: "
            f"use a smaller size or limit_per_class."
        )
    stacked = np.empty((len(files), len(first), *size), np.uint8)
    for i, (name, read) in enumerate(files):
        image = decode("/".join(name[-2:]), read(), size)
        if len(image) > stacked.shape[1]:  # the first one in colour
            stacked = np.repeat(stacked, 3, axis=1)
        stacked[i] = image  # a grey one fills all three
    return stacked


def decode(name: str, content: bytes, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decode one image to (1, h, w) or (3, h, w) uint8.

    Raises:
        NmfdiagError: If it is no image, is damaged, or has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    from PIL import Image

    refused = (Image.DecompressionBombWarning, Image.DecompressionBombError)
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        # Checked here as well: above the limit Pillow only warns until the double of it, before it decodes anything.
        if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
            raise NmfdiagError(
                f"{name} has {image.width}x{image.height} pixels, {Image.MAX_IMAGE_PIXELS:,} are accepted."
            )
        pixels = _eight_bits(image)
        if size is not None and pixels.size != (size[1], size[0]):
            pixels = pixels.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    except refused as error:
        raise NmfdiagError(f"{name} has too many pixels: {error}") from None
    except NmfdiagError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        reason = "it is none, or of another format than " + ", ".join(FORMATS)
        raise NmfdiagError(f"{name} can't be decoded as an image: {_inner(error) or reason}.") from None
    array = np.asarray(pixels)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _eight_bits(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("L" if image.mode in GREY else "RGB")


def _inner(error: Exception) -> str:
    """What Pillow says, unless it only says that it knows no such file (with the address of a buffer)."""
    from PIL import UnidentifiedImageError

    return "" if isinstance(error, UnidentifiedImageError) else str(error)
