"""The user's own data: an image folder, a zip of one, an ``.npz`` of arrays. Every such file is treated as hostile."""

import io
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from nmfdiag.data.class_layout import Listing, images_by_class, is_data
from nmfdiag.data.file_kinds import kind_of_file, open_zip
from nmfdiag.data.labels import as_labels
from nmfdiag.data.untrusted import MAX_SCANS, ZIP_ERRORS, scans_in
from nmfdiag.errors import NmfdiagError, printable

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {
    ".tif": "TIFF", ".tiff": "TIFF", ".gif": "GIF", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM",
}  # fmt: skip
"""Formats that only a file of this ending may have."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", *FORMATS)
TIFF_PACKINGS = ("raw", "tiff_lzw", "packbits", "tiff_deflate", "tiff_adobe_deflate")
"""Those that can't hide another image's format in a TIFF."""
MAX_FILES = 1_000_000
MAX_SEEN, DEEPEST = 4 * MAX_FILES, 3  # entries of any kind that are looked at; SPLIT/CLASS/IMAGE
MAX_IMAGE_BYTES = 64 * 2**20
MAX_WORK = 2**36
"""Bytes that are unpacked and pixels that are decoded: a few minutes' worth."""
MAX_IMAGE_WORK = 2**29
"""Pixels of one image, times the scans of a JPEG: some seconds' worth."""
MAX_ARRAY_BYTES = 4 * 2**30
MAX_CLASSES = 10_000
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # a file's name does not bind Pillow: EPS would start an interpreter
ARRAY_NAMES = {"inputs": ("x", "images", "inputs"), "labels": ("y", "labels", "targets")}

Arrays = tuple[np.ndarray, np.ndarray, tuple[str, ...]]


def load_image_folder(
    path: Path,
    split: str,
    *,
    size: tuple[int, int] | None = None,
    limit_per_class: int | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Arrays:
    """Read ``class/image`` (or ``split/class/image``) from a folder or zip.

    Args:
        path: Folder or zip file.
        split: Sub-folder to read where there is one of that name.
        size: Height and width to which images are resized; default that of the first.
        limit_per_class: Read only the first so many of each class, by name.
        on_note: Told what is left out, a sentence each.

    Returns:
        Images (n, c, h, w) uint8, labels (n,), class names, also of folders without images; c is 1 where every image is grey.

    Raises:
        NmfdiagError: If there are no images, or one can't be decoded.
    """
    found, listing = _zip_images(path) if path.is_file() else _folder_images(path)
    if path.is_file() and not found and (kind := kind_of_file(path)) != "a zip file":
        raise NmfdiagError(f"No images as CLASS/IMAGE or {split}/CLASS/IMAGE in {path}: it is {kind}.")
    by_class, notes = images_by_class(listing, split, str(path))
    if on_note is not None:
        for note in notes:
            on_note(note)
    if any(len(name.parts) == 3 and name.parts[0] == split for name in found):
        found = {PurePosixPath(*name.parts[1:]): read for name, read in found.items() if name.parts[0] == split}
    images: list[np.ndarray] = []
    labels: list[int] = []
    work = 0
    for label, names in enumerate(by_class.values()):
        for name in names[:limit_per_class]:
            try:
                content = found[name]()
            except NmfdiagError:
                raise
            except ZIP_ERRORS as error:
                raise NmfdiagError(f"{name} can't be read: {error}") from None
            decoded = decode_image(str(name), content)
            work += work_of(content, decoded)
            if work > MAX_WORK:
                raise NmfdiagError(f"The images in {path} are too large to be all unpacked: take fewer of each class.")
            image = _pixels(decoded, size)
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
    return np.ascontiguousarray(stacked), np.asarray(labels), tuple(map(printable, by_class))


def load_npz(path: Path, *, as_stored: bool = False) -> Arrays:
    """Read ``x`` and ``y`` (n,) from an ``.npz``; never unpickles.

    ``x`` holds vectors (n, d) or images (n, h, w), (n, c, h, w) or (n, h, w, c): a last axis of 1 or 3 is the channels
    where the second axis is neither. ``y`` may be one-hot rows (n, classes).

    Args:
        path: The file.
        as_stored: Whether the axes of ``x`` stay as they are, whatever their number, and integers stay integers.

    Raises:
        NmfdiagError: As :func:`read_arrays`, and if the shapes disagree, or a value or label is out of range.
    """
    found = read_arrays(path, ARRAY_NAMES)
    x, y = found["inputs"], found["labels"]
    if not as_stored:
        x = as_images(x)
    try:
        given = as_labels(y).numpy()
    except NmfdiagError as error:
        raise _wrong_shapes(path, x, y, f" {error}") from None
    if (x.ndim < 2 if as_stored else x.ndim not in (2, 4)) or len(x) != len(given):
        raise _wrong_shapes(path, x, y)
    if x.size == 0:
        raise NmfdiagError(f"{path.name}: x holds nothing, its shape is {x.shape}.")
    if len(given) and not 0 <= int(given.min()) <= int(given.max()) < MAX_CLASSES:
        raise NmfdiagError(
            f"{path.name}: labels must lie in 0 .. {MAX_CLASSES - 1}, got {given.min()} .. {given.max()}."
        )
    kept = (np.uint8, np.int64) if as_stored else (np.uint8,)
    x = x.astype(np.int64) if as_stored and x.dtype.kind in "iu" and x.dtype != np.uint8 else x
    if x.dtype not in kept and x.size * np.dtype(np.float32).itemsize > MAX_ARRAY_BYTES:
        raise NmfdiagError(f"{path.name}: x takes more than {MAX_ARRAY_BYTES >> 30} GiB as float32.")
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(x if x.dtype in kept else x.astype(np.float32))
    if x.dtype not in kept and not np.isfinite(x).all():
        raise NmfdiagError(f"{path.name}: x holds values that are not finite, or too large for float32.")
    return x, given, tuple(str(c) for c in range(int(given.max()) + 1 if len(given) else 0))


def as_images(x: np.ndarray) -> np.ndarray:
    """Grey images (n, h, w) and images with their channels last as (n, c, h, w); other arrays as they are."""
    if x.ndim == 3:
        return x[:, None]
    is_last = x.ndim == 4 and x.shape[-1] in (1, 3) and x.shape[1] not in (1, 3)
    return x.transpose(0, 3, 1, 2) if is_last else x


def _wrong_shapes(path: Path, x: np.ndarray, y: np.ndarray, why: str = "") -> NmfdiagError:
    return NmfdiagError(
        f"{path.name}: x must be (n, c, h, w) or (n, d), and y (n,) whole numbers, got {x.shape} and {y.shape} {y.dtype}.{why}"
    )


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
        with open_zip(path, ".npz") as archive:
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
            f"{path.name} has no array called {' or '.join(wanted)}; it has {', '.join(names) or 'none'}. Save each by its name, "
            f"such as np.savez(file, {wanted[0]}=...)."
        )
    if info.file_size > MAX_ARRAY_BYTES:
        raise NmfdiagError(f"{path.name}: {info.filename} expands to more than {MAX_ARRAY_BYTES >> 30} GiB.")
    try:
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            promised = math.prod(shape) * dtype.itemsize
            if dtype.kind in "US" and not dtype.hasobject:
                raise NmfdiagError(
                    f"{path.name}: array {info.filename} holds text; expected whole numbers, the number of the network's output for "
                    "each sample: [names.index(label) for label in labels], with the names in the order of the outputs."
                )
            if dtype.hasobject or dtype.kind not in "fiub" or promised != info.file_size - file.tell():
                raise NmfdiagError(
                    f"{path.name}: array {info.filename} is of objects, or its header lies about its size."
                )
        with archive.open(info) as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (NmfdiagError, *ZIP_ERRORS):
        raise
    except Exception as error:  # a damaged or hostile header may raise anything, but runs no code
        raise NmfdiagError(f"{path.name}: {type(error).__name__}: {error}") from None


Readers = dict[PurePosixPath, Callable[[], bytes]]


def _folder_images(folder: Path) -> tuple[Readers, Listing]:
    """The images as deep as classes of a split lie, and all else that lies there; links that lead out of the folder are not read."""
    inside = folder.resolve()
    found: Readers = {}
    others: list[PurePosixPath] = []
    folders: list[PurePosixPath] = []
    for entry in walk(folder, folders=True):
        path = Path(entry.path)
        name = PurePosixPath(path.relative_to(folder).as_posix())
        if not is_data(name):
            continue
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
            leads_out = entry.is_symlink() and (is_folder or not path.resolve().is_relative_to(inside))
        except (OSError, RuntimeError):  # a link that leads to itself
            is_folder, is_file, leads_out = False, False, True
        if is_folder:
            folders.append(name)
        if leads_out or (is_file and path.suffix.lower() not in IMAGE_SUFFIXES):
            others.append(name)
        elif is_file:
            found[name] = lambda path=path: image_bytes(path)  # type: ignore[misc]
        if len(found) > MAX_FILES:
            raise NmfdiagError(f"{folder} holds more than {MAX_FILES:,} images.")
    return found, Listing(found, others, folders)


def walk(folder: Path, depth: int = DEEPEST, *, folders: bool = False) -> Iterator[os.DirEntry[str]]:
    """What a folder holds, down to a depth, without or with folders; those behind links are not looked into.

    Raises:
        NmfdiagError: If there is too much of it, or a folder can't be read.
    """
    seen, waiting = 0, [(str(folder), depth)]
    while waiting:
        here, deep = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    seen += 1
                    if seen > MAX_SEEN:
                        raise NmfdiagError(f"{folder} holds more than {MAX_SEEN:,} files.")
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if folders or not is_folder:
                        yield entry
                    if is_folder and deep > 1:
                        waiting.append((entry.path, deep - 1))
        except OSError as error:
            raise NmfdiagError(f"{here} can't be read: {error.strerror}.") from None


def image_bytes(path: Path) -> bytes:
    """The content of an image's file.

    Raises:
        NmfdiagError: If it is too large, or can't be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_IMAGE_BYTES + 1)
    except OSError as error:
        raise NmfdiagError(f"{path.parent.name}/{path.name} can't be read: {error.strerror}.") from None
    if len(content) > MAX_IMAGE_BYTES:
        raise NmfdiagError(f"{path.parent.name}/{path.name} has more than {MAX_IMAGE_BYTES >> 20} MiB.")
    return content


def _zip_images(path: Path) -> tuple[Readers, Listing]:
    archive = open_zip(path)
    if len(archive.infolist()) > MAX_SEEN:
        raise NmfdiagError(f"{path.name} holds more than {MAX_SEEN:,} files.")
    found: Readers = {}
    others: list[PurePosixPath] = []
    folders: list[PurePosixPath] = []
    for info in archive.infolist():
        name = PurePosixPath(info.filename)
        if ".." in name.parts or name.is_absolute() or not name.parts or not is_data(name):
            continue
        if info.is_dir():
            folders.append(name)
        elif name.suffix.lower() not in IMAGE_SUFFIXES:
            others.append(name)
        elif info.file_size > MAX_IMAGE_BYTES:
            raise NmfdiagError(f"{path.name}: {name.name} expands to more than {MAX_IMAGE_BYTES >> 20} MiB.")
        else:
            found[name] = lambda info=info: archive.read(info)  # type: ignore[misc]
        if len(found) > MAX_FILES:
            raise NmfdiagError(f"{path.name} holds more than {MAX_FILES:,} images.")
    return found, Listing(found, others, folders)


def decode_image(name: str, content: bytes) -> "Image.Image":
    """Decode an image; grey or RGB.

    Raises:
        NmfdiagError: If it is none of the accepted formats, damaged or far too large; names it.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        scans = scans_in(content)
        if scans > MAX_SCANS:
            raise NmfdiagError(f"it has more than {MAX_SCANS} scans.")
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            further = FORMATS.get(PurePosixPath(name).suffix.lower())
            formats = (*IMAGE_FORMATS, further) if further else IMAGE_FORMATS
            image: Image.Image = Image.open(io.BytesIO(content), formats=formats)
            if math.prod(image.size) * scans > MAX_IMAGE_WORK:
                raise NmfdiagError(
                    f"it has {math.prod(image.size):,} pixels in {scans} scans, accepted are {MAX_IMAGE_WORK:,} together."
                )
            is_tiff = image.format == "TIFF"
            if is_tiff and image.info.get("compression", "raw") not in TIFF_PACKINGS:
                raise NmfdiagError(f"a TIFF packed as {image.info['compression']} is not accepted.")
            if image.mode == "F" or (is_tiff and image.mode == "I"):
                raise NmfdiagError("it holds numbers without a known range, no pixels of 8 or 16 bits.")
            if image.mode.startswith("I"):  # 16 bits a pixel: converting would clip, not scale
                image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
            return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    except UnidentifiedImageError:
        raise NmfdiagError(f"{name} can't be decoded as an image: it is no {', '.join(IMAGE_FORMATS)}.") from None
    except Exception as error:  # a damaged or hostile file may raise anything, but runs no code
        why = str(error) or type(error).__name__
        raise NmfdiagError(f"{name} can't be decoded as an image: {why}") from None


def work_of(content: bytes, image: "Image.Image") -> int:
    """What reading an image has taken, as :data:`MAX_WORK` counts it."""
    return len(content) + math.prod(image.size) * scans_in(content)


def _pixels(image: "Image.Image", size: tuple[int, int] | None) -> np.ndarray:
    from PIL import Image

    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)
