"""Read the user's own data: an image folder, a zip of one, an ``.npz`` of arrays. Every file counts as hostile."""

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
from nmfdiag.data.labels import as_labels, unlabelled_hint
from nmfdiag.data.untrusted import MAX_SCANS, ZIP_ERRORS, scans_in
from nmfdiag.errors import NmfdiagError, printable

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {
    ".tif": "TIFF", ".tiff": "TIFF", ".gif": "GIF", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM",
}  # fmt: skip
"""Formats that only a file with this suffix may have."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", *FORMATS)
TIFF_PACKINGS = ("raw", "tiff_lzw", "packbits", "tiff_deflate", "tiff_adobe_deflate")
"""Compressions of a TIFF that can't hide another image format."""
MAX_FILES = 1_000_000
MAX_ENTRIES, DEEPEST = 4 * MAX_FILES, 3
"""Largest number of entries of any kind, and of levels (SPLIT/CLASS/IMAGE)."""
MAX_IMAGE_BYTES = 64 * 2**20
MAX_WORK = 2**36
"""Largest number of unpacked bytes and decoded pixels: a few minutes of work."""
MAX_IMAGE_WORK = 2**29
"""Largest number of pixels of an image, times the scans of a JPEG: some seconds of work."""
MAX_ARRAY_BYTES = 4 * 2**30
MAX_CLASSES = 10_000
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # Pillow ignores the name, and EPS would start an interpreter
ARRAY_NAMES = {"inputs": ("x", "images", "inputs"), "labels": ("y", "labels", "targets")}

Arrays = tuple[np.ndarray, np.ndarray, tuple[str, ...]]
"""Inputs, labels and class names."""


def load_image_folder(
    path: Path,
    split: str,
    *,
    size: tuple[int, int] | None = None,
    limit_per_class: int | None = None,
    on_note: Callable[[str], None] | None = None,
    on_listing: Callable[[int], None] | None = None,
    on_image: Callable[[int, str], None] | None = None,
) -> Arrays:
    """Read ``class/image`` (or ``split/class/image``) from a folder or zip.

    Args:
        path: Folder or zip file.
        split: Sub-folder to read, if there is one of that name.
        size: Height and width to which images are resized; by default those of the first image.
        limit_per_class: Largest number of images per class; the first by name are read.
        on_note: Called with a sentence for everything that is skipped.
        on_listing: Called with the number of all images, read or not.
        on_image: Called for each image that is read, with its place in the sorted list of all images, and its path in the folder or zip, where
            bytes that are not UTF-8 are written out.

    Returns:
        Images (n, c, h, w) uint8, labels (n,), and class names, with those of empty folders; c is 1 if every image is grey.

    Raises:
        NmfdiagError: If there are no images, or one can't be decoded.
    """
    readers, listing = _zip_images(path) if path.is_file() else _folder_images(path)
    if path.is_file() and not readers and (kind := kind_of_file(path)) != "a zip file":
        raise NmfdiagError(f"No images as CLASS/IMAGE or {split}/CLASS/IMAGE in {path}: it is {kind}.")
    by_class, notes = images_by_class(listing, split, str(path))
    if on_note is not None:
        for note in notes:
            on_note(note)
    parent = PurePosixPath()
    if any(len(name.parts) == 3 and name.parts[0] == split for name in readers):
        parent = PurePosixPath(split)
        readers = {PurePosixPath(*name.parts[1:]): read for name, read in readers.items() if name.parts[0] == split}
    if on_listing is not None:
        on_listing(sum(map(len, by_class.values())))
    images: list[np.ndarray] = []
    labels: list[int] = []
    work = n_before = 0
    for label, names in enumerate(by_class.values()):
        for place, name in enumerate(names[:limit_per_class], n_before):
            try:
                content = readers[name]()
            except NmfdiagError:
                raise
            except ZIP_ERRORS as error:
                raise NmfdiagError(f"{name} can't be read: {error}") from None
            decoded = decode_image(str(name), content)
            work += decoding_work(content, decoded)
            if work > MAX_WORK:
                raise NmfdiagError(f"The images in {path} are too large to unpack them all: take fewer of each class.")
            image = _pixels(decoded, size)
            size = size or (image.shape[0], image.shape[1])
            if (len(images) + 1) * math.prod(size) * 3 > MAX_ARRAY_BYTES:
                raise NmfdiagError(
                    f"The images in {path} take more than {MAX_ARRAY_BYTES >> 30} GiB at {size[0]}x{size[1]} pixels: "
                    "take fewer of each class, or a smaller size."
                )
            images.append(image)
            labels.append(label)
            if on_image is not None:
                on_image(place, str(parent / name).encode(errors="backslashreplace").decode())
        n_before += len(names)
    if any(image.ndim == 3 for image in images):
        images = [np.repeat(i[..., None], 3, 2) if i.ndim == 2 else i for i in images]
        stacked = np.stack(images).transpose(0, 3, 1, 2)
    else:
        stacked = np.stack(images)[:, None]
    return np.ascontiguousarray(stacked), np.asarray(labels), tuple(map(printable, by_class))


def load_npz(path: Path, *, as_stored: bool = False) -> Arrays:
    """Read ``x`` and ``y`` (n,) from an ``.npz``; never unpickles.

    ``x`` holds vectors (n, d) or images (n, h, w), (n, c, h, w) or (n, h, w, c): a last axis of length 1 or 3 holds the
    channels unless the second axis has one of these lengths. ``y`` may be one-hot rows (n, classes).

    Args:
        path: The file.
        as_stored: Whether ``x`` keeps its axes, however many, and its integers.

    Raises:
        NmfdiagError: As in :func:`read_arrays`, and if the shapes disagree, or a value or label is out of range.
    """
    arrays = read_arrays(path, ARRAY_NAMES)
    x, y = arrays["inputs"], arrays["labels"]
    if not as_stored:
        x = channels_first(x)
    try:
        labels = as_labels(y).numpy()
    except NmfdiagError as error:
        raise _wrong_shapes(path, x, y, f" {error}") from None
    if (x.ndim < 2 if as_stored else x.ndim not in (2, 4)) or len(x) != len(labels):
        raise _wrong_shapes(path, x, y)
    if x.size == 0:
        raise NmfdiagError(f"{path.name}: x is empty, its shape is {x.shape}.")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < MAX_CLASSES:
        raise NmfdiagError(
            f"{path.name}: labels must lie in 0 .. {MAX_CLASSES - 1}, got {labels.min()} .. {labels.max()}.{unlabelled_hint(int(labels.min()), 'x', 'y')}"
        )
    types = (np.uint8, np.int64) if as_stored else (np.uint8,)
    x = x.astype(np.int64) if as_stored and x.dtype.kind in "iu" and x.dtype != np.uint8 else x
    if x.dtype not in types and x.size * np.dtype(np.float32).itemsize > MAX_ARRAY_BYTES:
        raise NmfdiagError(f"{path.name}: x takes more than {MAX_ARRAY_BYTES >> 30} GiB as float32.")
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(x if x.dtype in types else x.astype(np.float32))
    if x.dtype not in types and not np.isfinite(x).all():
        raise NmfdiagError(f"{path.name}: x holds values that are not finite, or too large for float32.")
    return x, labels, tuple(str(c) for c in range(int(labels.max()) + 1 if len(labels) else 0))


def channels_first(x: np.ndarray) -> np.ndarray:
    """Return grey images (n, h, w) and images with their channels last as (n, c, h, w); other arrays unchanged."""
    if x.ndim == 3:
        return x[:, None]
    is_last = x.ndim == 4 and x.shape[-1] in (1, 3) and x.shape[1] not in (1, 3)
    return x.transpose(0, 3, 1, 2) if is_last else x


def _wrong_shapes(path: Path, x: np.ndarray, y: np.ndarray, detail: str = "") -> NmfdiagError:
    return NmfdiagError(
        f"{path.name}: x must be (n, c, h, w) or (n, d), and y (n,) whole numbers, got {x.shape} and {y.shape} {y.dtype}.{detail}"
    )


def read_arrays(
    path: Path, accepted_names: Mapping[str, tuple[str, ...]], optional: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Read arrays from an ``.npz``; never unpickles.

    Headers are checked against the sizes of the zip's entries before anything is allocated.

    Args:
        path: The file.
        accepted_names: For each array, the names that it may have in the file.
        optional: Arrays that may be missing.

    Raises:
        NmfdiagError: If an array is missing, of objects, damaged or too large, or lies about its size.
    """
    try:
        with open_zip(path, ".npz") as archive:
            names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            return {
                key: _npz_array(archive, names, path, accepted)
                for key, accepted in accepted_names.items()
                if key not in optional or any(name in names for name in accepted)
            }
    except NmfdiagError:
        raise
    except ZIP_ERRORS as error:
        raise NmfdiagError(f"{path.name} is not a readable .npz: {error}") from None


def _npz_array(
    archive: zipfile.ZipFile, names: dict[str, zipfile.ZipInfo], path: Path, accepted: tuple[str, ...]
) -> np.ndarray:
    info = next((names[name] for name in accepted if name in names), None)
    if info is None:
        raise NmfdiagError(
            f"{path.name} has no array called {' or '.join(accepted)}; it has {', '.join(names) or 'none'}. Save each by its name, "
            f"such as np.savez(file, {accepted[0]}=...)."
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
    """Return the images down to the classes of a split, and the other entries; links that lead out of the folder are not read."""
    inside = folder.resolve()
    readers: Readers = {}
    other_files: list[PurePosixPath] = []
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
            other_files.append(name)
        elif is_file:
            readers[name] = lambda path=path: image_bytes(path)  # type: ignore[misc]
        if len(readers) > MAX_FILES:
            raise NmfdiagError(f"{folder} holds more than {MAX_FILES:,} images.")
    return readers, Listing(readers, other_files, folders)


def walk(folder: Path, depth: int = DEEPEST, *, folders: bool = False) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of a folder down to a depth, without or with folders; links to folders are not followed.

    Raises:
        NmfdiagError: If there are too many, or a folder can't be read.
    """
    n_entries, waiting = 0, [(str(folder), depth)]
    while waiting:
        subfolder, levels = waiting.pop()
        try:
            with os.scandir(subfolder) as entries:
                for entry in entries:
                    n_entries += 1
                    if n_entries > MAX_ENTRIES:
                        raise NmfdiagError(f"{folder} holds more than {MAX_ENTRIES:,} files.")
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if folders or not is_folder:
                        yield entry
                    if is_folder and levels > 1:
                        waiting.append((entry.path, levels - 1))
        except OSError as error:
            raise NmfdiagError(f"{subfolder} can't be read: {error.strerror}.") from None


def image_bytes(path: Path) -> bytes:
    """Return the content of an image file.

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
    if len(archive.infolist()) > MAX_ENTRIES:
        raise NmfdiagError(f"{path.name} holds more than {MAX_ENTRIES:,} files.")
    readers: Readers = {}
    other_files: list[PurePosixPath] = []
    folders: list[PurePosixPath] = []
    for info in archive.infolist():
        name = PurePosixPath(info.filename)
        if ".." in name.parts or name.is_absolute() or not name.parts or not is_data(name):
            continue
        if info.is_dir():
            folders.append(name)
        elif name.suffix.lower() not in IMAGE_SUFFIXES:
            other_files.append(name)
        elif info.file_size > MAX_IMAGE_BYTES:
            raise NmfdiagError(f"{path.name}: {name.name} expands to more than {MAX_IMAGE_BYTES >> 20} MiB.")
        else:
            readers[name] = lambda info=info: archive.read(info)  # type: ignore[misc]
        if len(readers) > MAX_FILES:
            raise NmfdiagError(f"{path.name} holds more than {MAX_FILES:,} images.")
    return readers, Listing(readers, other_files, folders)


def decode_image(name: str, content: bytes) -> "Image.Image":
    """Decode an image; grey or RGB.

    Raises:
        NmfdiagError: If its format is not accepted, or it is damaged or far too large.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        scans = scans_in(content)
        if scans > MAX_SCANS:
            raise NmfdiagError(f"it has more than {MAX_SCANS} scans.")
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            extra_format = FORMATS.get(PurePosixPath(name).suffix.lower())
            formats = (*IMAGE_FORMATS, extra_format) if extra_format else IMAGE_FORMATS
            image: Image.Image = Image.open(io.BytesIO(content), formats=formats)
            if math.prod(image.size) * scans > MAX_IMAGE_WORK:
                raise NmfdiagError(
                    f"it has {math.prod(image.size):,} pixels in {scans} scans, accepted are {MAX_IMAGE_WORK:,} together."
                )
            is_tiff = image.format == "TIFF"
            if is_tiff and image.info.get("compression", "raw") not in TIFF_PACKINGS:
                raise NmfdiagError(f"a TIFF packed as {image.info['compression']} is not accepted.")
            if image.mode == "F" or (is_tiff and image.mode == "I"):
                raise NmfdiagError("it holds numbers without a known range, not pixels of 8 or 16 bits.")
            if image.mode.startswith("I"):  # 16 bits per pixel: converting would clip, not scale
                image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
            return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    except UnidentifiedImageError:
        raise NmfdiagError(f"{name} can't be decoded as an image: expected {', '.join(IMAGE_FORMATS)}.") from None
    except Exception as error:  # a damaged or hostile file may raise anything, but runs no code
        reason = str(error) or type(error).__name__
        raise NmfdiagError(f"{name} can't be decoded as an image: {reason}") from None


def decoding_work(content: bytes, image: "Image.Image") -> int:
    """Return the work of reading an image, as :data:`MAX_WORK` counts it."""
    return len(content) + math.prod(image.size) * scans_in(content)


def _pixels(image: "Image.Image", size: tuple[int, int] | None) -> np.ndarray:
    from PIL import Image

    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)
