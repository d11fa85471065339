"""Data sets by name or path: inputs as they are stored, integer labels, class names."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nmfdiag.data.arrays import SPLITS, Arrays, first_of_each_class
from nmfdiag.data.catalogue import DATASETS, DatasetInfo
from nmfdiag.data.images import load_images
from nmfdiag.data.labels import check_labels
from nmfdiag.data.npz import load_npz
from nmfdiag.data.sources import Wanted
from nmfdiag.errors import NmfdiagError

__all__ = ["DATASETS", "Dataset", "DatasetInfo", "load"]


@dataclass(frozen=True)
class Dataset:
    """``inputs`` (n, c, h, w): uint8 for images, float32 for spectrograms and floats; ``labels`` (n,) int64."""

    name: str
    split: str
    inputs: Tensor
    labels: Tensor
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        c, h, w = self.inputs.shape[1:]
        return c, h, w


def load(
    name: str | Path,
    split: str = "train",
    *,
    root: str | Path | None = None,
    download: bool = False,
    size: tuple[int, int] | None = None,
    limit_per_class: int | None = None,
) -> Dataset:
    """Load a data set by name, or an image folder, a zip of one, or an ``.npz`` by path.

    Args:
        name: One of :data:`DATASETS`, or a path. A name wins over a folder of the same name: write ``./digits`` then.
        split: ``"train"`` or ``"test"``. What a path holds undivided is a training set.
        root: Folder of the data sets known by name; default ``$NMFDIAG_DATA``, else ``data`` in the current directory.
        download: Whether torchvision may download what is missing. Never by default.
        size: Height and width to which the images of a folder or zip are resized; default those of the first.
        limit_per_class: Keep only the first so many samples of each class; what is left out is not even decoded.

    Raises:
        NmfdiagError: If the data set is unknown, missing or damaged.

    Example:
        >>> digits = load("digits")
        >>> digits.input_shape, len(digits), digits.n_classes
        ((1, 8, 8), 1200, 10)
    """
    _check(split, size, limit_per_class)
    path = Path(name)
    if str(name) in DATASETS:
        folder = Path(root or os.environ.get("NMFDIAG_DATA") or "data")
        found = DATASETS[str(name)].loader(Wanted(folder, split, download, limit_per_class))
    elif path.suffix.lower() == ".npz" and path.is_file():
        found = load_npz(path, split)
    elif path.exists():
        found = load_images(path, split, size=size, limit_per_class=limit_per_class)
    else:
        raise NmfdiagError(
            f"Unknown data set {str(name)!r}: accepted are {', '.join(DATASETS)}, or the path of an image folder, "
            f"a zip of one, or an .npz."
        )
    if size is not None and (str(name) in DATASETS or path.suffix.lower() == ".npz"):
        raise NmfdiagError(f"size= is for image folders: {path.name} has the size {found.inputs.shape[2:]}.")
    return _dataset(path.name, split, found, limit_per_class)


def _check(split: str, size: tuple[int, int] | None, limit_per_class: int | None) -> None:
    if split not in SPLITS:
        raise NmfdiagError(f"Unknown split {split!r}: accepted are {', '.join(SPLITS)}.")
    if limit_per_class is not None and limit_per_class < 1:
        raise NmfdiagError(f"limit_per_class must be 1 or more, got {limit_per_class}.")
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise NmfdiagError(f"size must be (height, width), each 1 or more, got {size}.")


def _dataset(name: str, split: str, found: Arrays, limit_per_class: int | None) -> Dataset:
    labels = check_labels(torch.from_numpy(found.labels.astype(np.int64)), len(found.class_names))
    inputs = torch.from_numpy(found.inputs)
    if limit_per_class is not None:
        rows = torch.from_numpy(first_of_each_class(found.labels, limit_per_class))
        inputs, labels = inputs[rows], labels[rows]
    return Dataset(name, split, inputs, labels, found.class_names)
