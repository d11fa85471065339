"""The user's own data: an image folder, a zip of one, an ``.npz`` of arrays. Every such file is treated as hostile."""

import io
import math
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
MAX_FILES = 1_000_000
MAX_IMAGE_BYTES = 64 * 2**20
MAX_ARRAY_BYTES = 4 * 2**30
MAX_CLASSES = 10_000
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # a file's name does not bind Pillow: EPS would start an interpreter
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError)
ARRAY_NAMES = {"inputs": ("x", "images", "inputs"), "labels": ("y", "labels", "targets")}

Arrays = tuple[np.ndarray, np.ndarray, tuple[str, ...]]


def load_image_folder(
    path: Path, split: str, *, size: tuple[int, int] | None = None, limit_per_class: int | None = None
) -> Arrays:
    """Read ``class/image`` (or ``split/class/image``) from a folder or zip.

    Args:
        path: Folder or zip file.
        split: Sub-folder to read where there is one of that name.
        size: Height and width to which images are resized; default that of the first.
        limit_per_class: Read only the first so many of each class, by name.

    Returns:
        Images (n, c, h, w) uint8, labels (n,), class names; c is 1 where every image is grey.

    Raises:
        NmfdiagError: If there are no images, or one can't be decoded.
    """
    found = _zip_images(path) if path.is_file() else _folder_images(path)
    classes = {name.parts[0] for name in found if len(name.parts) == 2}
    if any(name.parts[0] == split and len(name.parts) == 3 for name in found):
        # The classes of both splits, so that a label means the same in each.
        classes = {
            name.parts[1] for name in found if name.parts[0] in {"train", "test", split} and len(name.parts) == 3
        }
        found = {PurePosixPath(*name.parts[1:]): read for name, read in found.items() if name.parts[0] == split}
    by_class: dict[str, list[PurePosixPath]] = {name: [] for name in sorted(classes)}
    for name in sorted(found):
        if len(name.parts) == 2:
            by_class[name.parts[0]].append(name)
    if not any(by_class.values()):
        raise NmfdiagError(f"No images as CLASS/IMAGE or {split}/CLASS/IMAGE in {path}.")
    images: list[np.ndarray] = []
    labels: list[int] = []
    for label, names in enumerate(by_class.values()):
        for name in names[:limit_per_class]:
            try:
                content = found[name]()
            except ZIP_ERRORS as error:
                raise NmfdiagError(f"{name} can't be read: {error}") from None
            image = _pixels(decode_image(str(name), content), size)
            size = size or (image.shape[0], image.shape[1])
            if (len(images) + 1) * math.prod(size) * 3 > MAX_ARRAY_BYTES:
                raise NmfdiagError(
                    f"The images in {path} take more than {MAX_ARRAY_BYTES >> 30} GiB at {size[0]}x{size[1]} pixels: "
                    "take fewer of each class, or a smaller size."
                )
            images.append(image)
            labels.append(label)
    if any(image.ndim == 3 for image in images):
        images = [np.repeat(i[..., None], 3, 2) if i.ndim == 2 else i for i in images]
        stacked = np.stack(images).transpose(0, 3, 1, 2)
    else:
        stacked = np.stack(images)[:, None]
    return np.ascontiguousarray(stacked), np.asarray(labels), tuple(by_class)


def load_npz(path: Path) -> Arrays:
    """Read ``x`` and ``y`` (n,) from an ``.npz``; never unpickles.

    ``x`` holds vectors (n, d) or images (n, h, w), (n, c, h, w) or (n, h, w, c): a last axis of 1 or 3 is the channels
    where the second axis is neither.

    Raises:
        NmfdiagError: As :func:`read_arrays`, and if the shapes disagree, or a value or label is out of range.
    """
    found = read_arrays(path, ARRAY_NAMES)
    x, y = found["inputs"], found["labels"]
    if x.ndim == 3:
        x = x[:, None]
    if x.ndim == 4 and x.shape[-1] in (1, 3) and x.shape[1] not in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim not in (2, 4) or y.ndim != 1 or len(x) != len(y) or y.dtype.kind not in "iu":
        raise NmfdiagError(
            f"{path.name}: x must be (n, c, h, w) or (n, d), and y (n,) whole numbers, got {x.shape} and {y.shape} {y.dtype}."
        )
    if x.size == 0:
        raise NmfdiagError(f"{path.name}: x holds nothing, its shape is {x.shape}.")
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < MAX_CLASSES:
        raise NmfdiagError(f"{path.name}: labels must lie in 0 .. {MAX_CLASSES - 1}, got {y.min()} .. {y.max()}.")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise NmfdiagError(f"{path.name}: x holds values that are not finite.")
    x = np.ascontiguousarray(x if x.dtype == np.uint8 else x.astype(np.float32))
    return x, y, tuple(str(c) for c in range(int(y.max()) + 1 if len(y) else 0))


def read_arrays(
    path: Path, wanted: Mapping[str, tuple[str, ...]], optional: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Read arrays from an ``.npz``; never unpickles.

    Headers are checked against the sizes of the zip's entries before anything is allocated.

    Args:
        path: The file.
        wanted: For each array, the names that it may have in the file.
        optional: Those that need not be there.

    Raises:
        NmfdiagError: If an array is missing, of objects, damaged or too large, or lies about its size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            return {
                key: _npz_array(archive, names, path, accepted)
                for key, accepted in wanted.items()
                if key not in optional or any(name in names for name in accepted)
            }
    except NmfdiagError:
        raise
    except ZIP_ERRORS as error:
        raise NmfdiagError(f"{path.name} is no readable .npz: {error}") from None


def _npz_array(
    archive: zipfile.ZipFile, names: dict[str, zipfile.ZipInfo], path: Path, wanted: tuple[str, ...]
) -> np.ndarray:
    info = next((names[name] for name in wanted if name in names), None)
    if info is None:
        raise NmfdiagError(
            f"{path.name} has no array called {' or '.join(wanted)}; it has {', '.join(names) or 'none'}."
        )
    if info.file_size > MAX_ARRAY_BYTES:
        raise NmfdiagError(f"{path.name}: {info.filename} expands to more than {MAX_ARRAY_BYTES >> 30} GiB.")
    try:
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            promised = math.prod(shape) * dtype.itemsize
            if dtype.hasobject or dtype.kind not in "fiub" or promised != info.file_size - file.tell():
                raise NmfdiagError(
                    f"{path.name}: array {info.filename} is of objects, or its header lies about its size."
                )
        with archive.open(info) as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, SyntaxError, tokenize.TokenError) as error:
        raise error if isinstance(error, NmfdiagError) else NmfdiagError(f"{path.name}: {error}") from None


def _folder_images(folder: Path) -> dict[PurePosixPath, Callable[[], bytes]]:
    inside = folder.resolve()
    found: dict[PurePosixPath, Callable[[], bytes]] = {}
    for path in folder.rglob("*"):
        hidden = path.name.startswith(".")
        is_image = path.suffix.lower() in IMAGE_SUFFIXES and not hidden and path.is_file()
        if is_image and path.resolve().is_relative_to(inside):
            found[PurePosixPath(path.relative_to(folder).as_posix())] = path.read_bytes
        if len(found) > MAX_FILES:
            raise NmfdiagError(f"{folder} holds more than {MAX_FILES:,} images.")
    return found


def _zip_images(path: Path) -> dict[PurePosixPath, Callable[[], bytes]]:
    try:
        archive = zipfile.ZipFile(path)
    except ZIP_ERRORS as error:
        raise NmfdiagError(f"{path.name} is no readable zip: {error}") from None
    found: dict[PurePosixPath, Callable[[], bytes]] = {}
    for info in archive.infolist():
        name = PurePosixPath(info.filename)
        if (
            name.suffix.lower() not in IMAGE_SUFFIXES
            or ".." in name.parts
            or name.is_absolute()
            or name.name.startswith(".")
        ):
            continue
        if info.file_size > MAX_IMAGE_BYTES:
            raise NmfdiagError(f"{path.name}: {name.name} expands to more than {MAX_IMAGE_BYTES >> 20} MiB.")
        found[name] = lambda info=info: archive.read(info)  # type: ignore[misc]
    return found


def decode_image(name: str, content: bytes) -> "Image.Image":
    """Decode an image; grey or RGB.

    Raises:
        NmfdiagError: If it is none of the accepted formats, damaged or far too large; names it.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(io.BytesIO(content), formats=IMAGE_FORMATS)
            if image.mode.startswith("I"):  # 16 bits a pixel: converting would clip, not scale
                image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
            return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as e:
        raise NmfdiagError(f"{name} can't be decoded as an image: {e}") from None


def _pixels(image: "Image.Image", size: tuple[int, int] | None) -> np.ndarray:
    from PIL import Image

    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)
