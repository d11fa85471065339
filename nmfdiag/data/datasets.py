"""The registry of data sets, read by name or path: inputs as they are stored, integer labels, class names.

To add a data set, write its reader here and add a record to :data:`DATASETS`. Torch is loaded only to read one.
"""

import gzip
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nmfdiag.data.file_kinds import checked_path, is_arrays
from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from torch import Tensor

    from nmfdiag.data.files import Arrays

SPLITS = ("train", "test")
FILES = "an image folder (CLASS/IMAGE), a zip of one, or an .npz"
DIGITS_TRAIN = 1200
"""Number of training samples among the digits."""
MAX_IDX_BYTES, MAX_IDX_DIMS = 2**28, 4
IDX_PIECE = 2**18
"""Bytes that are unpacked at once."""

Reader: TypeAlias = "Callable[[Path, str, bool], Arrays]"
"""Function of the folder of the data sets, the split, and whether missing files may be downloaded."""


@dataclass(frozen=True)
class Dataset:
    """A split of a data set.

    Attributes:
        name: Its name in :data:`DATASETS`, or its path.
        split: ``"train"`` or ``"test"``.
        inputs: (n, c, h, w), or (n, d) for vectors: uint8 for images, else float32.
        labels: (n,) int64.
        class_names: One per class.
        notes: Sentences on what was skipped in reading it.
        rows: The samples' numbers (n,) in the split, the ``.npz`` or the sorted list of images, ascending; None for 0, 1, ...
        file_names: The samples' paths in the folder or zip; empty where they have none.
        n_stored: Number of samples in the split, file or folder, of which these are all or the first ones of each class.
    """

    name: str
    split: str
    inputs: "Tensor"
    labels: "Tensor"
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    rows: "Tensor | None" = None
    file_names: tuple[str, ...] = ()
    n_stored: int = 0

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return channels, height and width; a vector is a map of one place."""
        c, h, w = (*self.inputs.shape[1:], 1, 1)[:3]
        return c, h, w


@dataclass(frozen=True)
class DatasetInfo:
    """A data set known by name.

    Attributes:
        name: Its name in recipes, in links and on the command line.
        title: Its name in sentences.
        source: Its origin and size.
        load: Reads a split.
        places: Paths in the folder of the data sets, one of which exists if the data set is there; none if it comes with a package.
    """

    name: str
    title: str
    source: str
    load: Reader
    places: tuple[str, ...] = ()


def load(
    name: str,
    split: str = "train",
    *,
    root: str | Path | None = None,
    download: bool = False,
    size: int | tuple[int, int] | None = None,
    limit_per_class: int | None = None,
    as_stored: bool = False,
) -> Dataset:
    """Load a data set by name, or an image folder, a zip of one, or an ``.npz`` by path.

    Args:
        name: One of :data:`DATASETS`, or a path.
        split: ``"train"`` or ``"test"``.
        root: Folder of the data sets; default ``$NMFDIAG_DATA``, else ``data/`` in the current directory.
        download: Whether torchvision may download missing files.
        size: Height and width to which images are resized, or one number for both; by default they keep their size, and images of
            a folder get that of its first one.
        limit_per_class: Largest number of samples per class; the first ones are kept, and of a folder only these are read.
        as_stored: Whether the arrays of an ``.npz`` keep their axes and integers.

    Raises:
        NmfdiagError: If the data set is unknown, missing or damaged, or the size is not positive.
    """
    import torch

    from nmfdiag.data.files import load_image_folder, load_npz
    from nmfdiag.data.labels import check_labels
    from nmfdiag.data.resize import checked_size, resize

    if split not in SPLITS:
        raise NmfdiagError(f"Unknown split {split!r}: accepted are {', '.join(SPLITS)}.")
    if limit_per_class is not None and limit_per_class < 1:
        raise NmfdiagError(f"limit_per_class must be at least 1, got {limit_per_class}.")
    sides = None if size is None else checked_size(size)
    folder = Path(root or os.environ.get("NMFDIAG_DATA") or "data")
    notes: list[str] = []
    files: list[tuple[int, str]] = []
    listing: list[int] = []
    if name in DATASETS:
        inputs, labels, class_names = DATASETS[name].load(folder, split, download)
    elif _passes(path := checked_path(name, "data"), Path.is_file) and is_arrays(path):
        inputs, labels, class_names = load_npz(path, as_stored=as_stored)
    elif _passes(path, Path.is_file) or _passes(path, Path.is_dir):
        inputs, labels, class_names = load_image_folder(
            path, split, size=sides, limit_per_class=limit_per_class, on_note=notes.append,
            on_listing=listing.append, on_image=lambda *file: files.append(file),
        )  # fmt: skip
    else:
        raise NmfdiagError(f"Unknown data set {name!r}: accepted are {', '.join(DATASETS)}, or the path of {FILES}.")
    if (inputs.ndim not in (2, 4) and not as_stored) or labels.ndim != 1 or len(inputs) != len(labels):
        raise NmfdiagError(f"{name}: the inputs {inputs.shape} and the labels {labels.shape} do not match.")
    n_stored = listing[0] if listing else len(labels)
    rows = np.array([place for place, _ in files]) if files else np.arange(len(labels))
    if limit_per_class is not None and not files:
        rows = _first_rows(labels, limit_per_class)
        inputs, labels = inputs[rows], labels[rows]
    y = check_labels(torch.from_numpy(labels.astype(np.int64)), len(class_names))
    x = torch.from_numpy(inputs)
    return Dataset(
        name, split, x if sides is None else resize(x, sides), y, class_names, tuple(notes),
        torch.from_numpy(rows), tuple(file_name for _, file_name in files), n_stored,
    )  # fmt: skip


def _passes(path: Path, check: Callable[[Path], bool]) -> bool:
    """Return whether a path passes a check; one that is too long, or inside a locked folder, does not."""
    try:
        return check(path)
    except OSError:
        return False


def _first_rows(labels: np.ndarray, limit: int) -> np.ndarray:
    """Return the rows of the first ``limit`` samples of each class, ascending."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:limit] for c in np.unique(labels)] or [labels[:0]]))


def _digits(_root: Path, split: str, _download: bool) -> "Arrays":
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    rows = np.arange(len(images))
    parts = train_test_split(rows, train_size=DIGITS_TRAIN, random_state=0, stratify=bunch.target)
    split_rows = np.sort(parts[SPLITS.index(split)])
    return images[split_rows], bunch.target[split_rows], DIGIT_NAMES


def _torchvision_reader(class_name: str, channels_last: bool = False) -> Reader:
    def load_split(root: Path, split: str, download: bool) -> "Arrays":
        from torchvision import datasets

        make = getattr(datasets, class_name)
        options = {"split": split} if class_name == "SVHN" else {"train": split == "train"}
        try:
            dataset = make(root, download=download, **options)
        except Exception as error:  # a missing or a damaged file
            raise NmfdiagError(
                f"{class_name} was not found in {root} ({error}). Set NMFDIAG_DATA or root to its folder, "
                f"or allow torchvision to download it with download=True (--download on the command line)."
            ) from None
        images = np.asarray(dataset.data)
        if images.ndim == 3:
            images = images[:, None]
        elif channels_last:
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        labels = np.asarray(dataset.labels if class_name == "SVHN" else dataset.targets)
        return images, labels, tuple(getattr(dataset, "classes", DIGIT_NAMES))

    return load_split


def _idx_reader(class_name: str, class_names: tuple[str, ...]) -> Reader:
    """Return a reader of MNIST's format: of the gzipped files as distributed, if they exist, else by torchvision."""
    read_by_torchvision = _torchvision_reader(class_name)

    def load_split(root: Path, split: str, download: bool) -> "Arrays":
        stem = root / class_name / "raw" / ("train" if split == "train" else "t10k")
        images, labels = (Path(f"{stem}-{part}-ubyte.gz") for part in ("images-idx3", "labels-idx1"))
        if images.is_file() and labels.is_file():
            return read_idx(images)[:, None], read_idx(labels), class_names
        return read_by_torchvision(root, split, download)

    return load_split


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes.

    Raises:
        NmfdiagError: If it is not such a file, or its header and its length disagree.
    """
    try:
        with gzip.open(path) as file:
            head = file.read(4)
            n_dims = head[3] if head[:3] == b"\x00\x00\x08" and len(head) == 4 else 0
            shape = [int.from_bytes(file.read(4), "big") for _ in range(n_dims if n_dims <= MAX_IDX_DIMS else 0)]
            promised = math.prod(shape) if shape else 0
            content, n_bytes = bytearray(), 0
            while n_bytes <= MAX_IDX_BYTES and (piece := file.read(IDX_PIECE)):
                n_bytes += len(piece)
                if n_bytes <= promised:
                    content += piece
    except (OSError, EOFError, zlib.error) as error:
        raise NmfdiagError(f"{path.name} can't be read: {error}") from None
    if n_bytes > MAX_IDX_BYTES:
        raise NmfdiagError(f"{path.name} unpacks to more than {MAX_IDX_BYTES >> 20} MiB.")
    if not promised or not len(content) == n_bytes == promised:
        raise NmfdiagError(f"{path.name} is not an IDX file of unsigned bytes, or it is truncated.")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _cifar10(root: Path, split: str, download: bool) -> "Arrays":
    from nmfdiag.data.files import load_image_folder

    archive = root / "cifar10_jpeg.zip"
    if archive.is_file():
        return load_image_folder(archive, split)
    return _torchvision_reader("CIFAR10", channels_last=True)(root, split, download)


def _spoken_digits(root: Path, split: str, _download: bool) -> "Arrays":
    from nmfdiag.data.audio import load_spoken_digits

    return load_spoken_digits(root, split)


def _urban_sound(root: Path, split: str, _download: bool) -> "Arrays":
    from nmfdiag.data.urban_sound import load_urban_sound

    return load_urban_sound(root, split)


FASHION_NAMES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
DIGIT_NAMES = tuple(str(d) for d in range(10))
DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo("digits", "Digits", "scikit-learn, 1,797 images of 8x8", _digits),
        DatasetInfo(
            "mnist", "MNIST", "torchvision, 70,000 images of 28x28", _idx_reader("MNIST", DIGIT_NAMES), ("MNIST/raw",)
        ),
        DatasetInfo(
            "fashion_mnist", "Fashion-MNIST", "torchvision, 28x28 (MIT)", _idx_reader("FashionMNIST", FASHION_NAMES),
            ("FashionMNIST/raw",),
        ),
        DatasetInfo(
            "cifar10", "CIFAR-10", "torchvision, 60,000 images of 32x32", _cifar10,
            ("cifar10_jpeg.zip", "cifar-10-batches-py"),
        ),
        DatasetInfo(
            "svhn", "SVHN", "torchvision, 99,289 images of 32x32", _torchvision_reader("SVHN"), ("train_32x32.mat",)
        ),
        DatasetInfo(
            "spoken_digits", "Spoken digits", "Free Spoken Digit Dataset (CC BY-SA 4.0)", _spoken_digits,
            ("fsdd_wav.zip", "recordings"),
        ),
        DatasetInfo(
            "urban_sound", "UrbanSound8K", "8,732 clips of city noise, from your own folder", _urban_sound,
            ("UrbanSound8K/audio", "audio/fold1"),
        ),
    )
}  # fmt: skip
