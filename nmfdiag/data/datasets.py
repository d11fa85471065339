"""Data sets by name or path: inputs as they are stored, integer labels, class names."""

import gzip
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nmfdiag.data.audio import load_spoken_digits
from nmfdiag.data.file_kinds import given_path, is_arrays
from nmfdiag.data.files import load_image_folder, load_npz
from nmfdiag.data.labels import check_labels
from nmfdiag.data.resizing import checked_size, resized
from nmfdiag.data.urban_sound import load_urban_sound
from nmfdiag.errors import NmfdiagError

SPLITS = ("train", "test")
FILES = "an image folder (CLASS/IMAGE), a zip of one, or an .npz"
DIGITS_TRAIN = 1200
MAX_IDX_BYTES, MAX_IDX_DIMS, IDX_PIECE = 2**28, 4, 2**18


@dataclass(frozen=True)
class Dataset:
    """``inputs`` (n, c, h, w), or (n, d) for vectors: uint8 for images, else float32; ``labels`` (n,) int64.

    ``notes`` say what was left out in reading it.
    """

    name: str
    split: str
    inputs: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height, width; a vector is a map of one place."""
        c, h, w = (*self.inputs.shape[1:], 1, 1)[:3]
        return c, h, w


@dataclass(frozen=True)
class DatasetInfo:
    """One data set known by name. ``load(root, split, download)`` returns inputs, labels and class names."""

    name: str
    title: str
    source: str
    load: Callable[[Path, str, bool], tuple[np.ndarray, np.ndarray, tuple[str, ...]]]


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
        download: Whether torchvision may download what is missing. Never by default.
        size: Height and width to which images are resized, or one number for both; default is as they are, and that of
            the first image of a folder.
        limit_per_class: Keep only the first so many of each class; of a folder no more are read.
        as_stored: Whether the arrays of an ``.npz`` keep the axes and integers that they have.

    Raises:
        NmfdiagError: If the data set is unknown, missing or damaged, or the size is none.
    """
    if split not in SPLITS:
        raise NmfdiagError(f"Unknown split {split!r}: accepted are {', '.join(SPLITS)}.")
    if limit_per_class is not None and limit_per_class < 1:
        raise NmfdiagError(f"At least one sample a class is read, got limit_per_class={limit_per_class}.")
    sides = None if size is None else checked_size(size)
    folder = Path(root or os.environ.get("NMFDIAG_DATA") or "data")
    notes: list[str] = []
    if name in DATASETS:
        inputs, labels, class_names = DATASETS[name].load(folder, split, download)
    elif _is(path := given_path(name, "data"), Path.is_file) and is_arrays(path):
        inputs, labels, class_names = load_npz(path, as_stored=as_stored)
    elif _is(path, Path.is_file) or _is(path, Path.is_dir):
        inputs, labels, class_names = load_image_folder(
            path, split, size=sides, limit_per_class=limit_per_class, on_note=notes.append
        )
    else:
        raise NmfdiagError(f"Unknown data set {name!r}: accepted are {', '.join(DATASETS)}, or the path of {FILES}.")
    if (inputs.ndim not in (2, 4) and not as_stored) or labels.ndim != 1 or len(inputs) != len(labels):
        raise NmfdiagError(f"{name}: the inputs {inputs.shape} and the labels {labels.shape} do not belong together.")
    if limit_per_class is not None:
        first = _first_of_each(labels, limit_per_class)
        inputs, labels = inputs[first], labels[first]
    y = check_labels(torch.from_numpy(labels.astype(np.int64)), len(class_names))
    x = torch.from_numpy(inputs)
    return Dataset(name, split, x if sides is None else resized(x, sides), y, class_names, tuple(notes))


def _is(path: Path, kind: Callable[[Path], bool]) -> bool:
    """Whether something of this kind is there; a name that is too long, or behind a locked folder, is none."""
    try:
        return kind(path)
    except OSError:
        return False


def _first_of_each(labels: np.ndarray, limit: int) -> np.ndarray:
    """Rows of the first so many samples of each class, ascending."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:limit] for c in np.unique(labels)] or [labels[:0]]))


def _digits(_root: Path, split: str, _download: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    rows = np.arange(len(images))
    parts = train_test_split(rows, train_size=DIGITS_TRAIN, random_state=0, stratify=bunch.target)
    chosen = np.sort(parts[SPLITS.index(split)])
    return images[chosen], bunch.target[chosen], tuple(str(d) for d in range(10))


def _torchvision(class_name: str, channels_last: bool) -> Callable[[Path, str, bool], tuple]:
    def load_split(root: Path, split: str, download: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        from torchvision import datasets

        make = getattr(datasets, class_name)
        which = {"split": split} if class_name == "SVHN" else {"train": split == "train"}
        try:
            found = make(root, download=download, **which)
        except Exception as error:  # of a missing file, or a damaged one
            raise NmfdiagError(
                f"{class_name} was not found in {root} ({error}). Set NMFDIAG_DATA or root to the folder of it, "
                f"or allow torchvision to download it with download=True (--download on the command line)."
            ) from None
        images = np.asarray(found.data)
        if images.ndim == 3:
            images = images[:, None]
        elif channels_last:
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        labels = np.asarray(found.labels if class_name == "SVHN" else found.targets)
        return images, labels, tuple(getattr(found, "classes", [str(d) for d in range(10)]))

    return load_split


def _idx_first(class_name: str, class_names: tuple[str, ...]) -> Callable[[Path, str, bool], tuple]:
    """MNIST's format: read the gzipped files as they are distributed if they are there, else ask torchvision."""
    through_torchvision = _torchvision(class_name, channels_last=False)

    def load_split(root: Path, split: str, download: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        stem = root / class_name / "raw" / ("train" if split == "train" else "t10k")
        images, labels = (Path(f"{stem}-{part}-ubyte.gz") for part in ("images-idx3", "labels-idx1"))
        if images.is_file() and labels.is_file():
            return read_idx(images)[:, None], read_idx(labels), class_names
        return through_torchvision(root, split, download)

    return load_split


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes.

    Raises:
        NmfdiagError: If the header and the length disagree, or the file is no such file.
    """
    try:
        with gzip.open(path) as file:
            head = file.read(4)
            n_dims = head[3] if head[:3] == b"\x00\x00\x08" and len(head) == 4 else 0
            shape = [int.from_bytes(file.read(4), "big") for _ in range(n_dims if n_dims <= MAX_IDX_DIMS else 0)]
            promised = math.prod(shape) if shape else 0
            content, n_bytes = bytearray(), 0
            while n_bytes <= MAX_IDX_BYTES and (piece := file.read(IDX_PIECE)):  # never more than the file has
                n_bytes += len(piece)
                if n_bytes <= promised:
                    content += piece
    except (OSError, EOFError, zlib.error) as error:
        raise NmfdiagError(f"{path.name} can't be read: {error}") from None
    if n_bytes > MAX_IDX_BYTES:
        raise NmfdiagError(f"{path.name} unpacks to more than {MAX_IDX_BYTES >> 20} MiB.")
    if not promised or not len(content) == n_bytes == promised:
        raise NmfdiagError(f"{path.name} is no IDX file of unsigned bytes, or it is truncated.")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _cifar10(root: Path, split: str, download: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    archive = root / "cifar10_jpeg.zip"
    return (
        load_image_folder(archive, split) if archive.is_file() else _torchvision("CIFAR10", True)(root, split, download)
    )


def _spoken_digits(root: Path, split: str, _download: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    return load_spoken_digits(root, split)


def _urban_sound(root: Path, split: str, _download: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    return load_urban_sound(root, split)


FASHION = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
DIGIT_NAMES = tuple(str(d) for d in range(10))
DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo("digits", "Digits", "scikit-learn, 1,797 images of 8x8", _digits),
        DatasetInfo("mnist", "MNIST", "torchvision, 70,000 images of 28x28", _idx_first("MNIST", DIGIT_NAMES)),
        DatasetInfo("fashion_mnist", "Fashion-MNIST", "torchvision, 28x28 (MIT)", _idx_first("FashionMNIST", FASHION)),
        DatasetInfo("cifar10", "CIFAR-10", "torchvision, 60,000 images of 32x32", _cifar10),
        DatasetInfo("svhn", "SVHN", "torchvision, 99,289 images of 32x32", _torchvision("SVHN", channels_last=False)),
        DatasetInfo("spoken_digits", "Spoken digits", "Free Spoken Digit Dataset (CC BY-SA 4.0)", _spoken_digits),
        DatasetInfo("urban_sound", "UrbanSound8K", "8,732 clips of city noise, from your own folder", _urban_sound),
    )
}
