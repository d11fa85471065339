"""How each data set known by name is found and read. Nothing is downloaded unless it is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nmfdiag.data.arrays import SPLITS, Arrays
from nmfdiag.data.idx import read_labelled_images
from nmfdiag.data.images import load_images
from nmfdiag.data.spoken import load_spoken_digits
from nmfdiag.errors import NmfdiagError

DIGIT_NAMES = tuple(str(d) for d in range(10))
FASHION_NAMES = (
    "T-shirt",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS_TRAIN = 1200


@dataclass(frozen=True)
class Wanted:
    """What a loader is asked for: one split, from ``root``, of each class at most ``limit_per_class``."""

    root: Path
    split: str
    download: bool = False
    limit_per_class: int | None = None


def digits(wanted: Wanted) -> Arrays:
    """Read scikit-learn's digits; a seeded stratified split into 1,200 and 597, which shipped networks rely on."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None]  # grey levels 0 .. 16 -> 0 .. 255
    rows = np.arange(len(images))
    parts = train_test_split(rows, train_size=DIGITS_TRAIN, random_state=0, stratify=bunch.target)
    chosen = np.sort(parts[SPLITS.index(wanted.split)])
    return Arrays(images[chosen], bunch.target[chosen], DIGIT_NAMES)


def mnist(wanted: Wanted) -> Arrays:
    """Read ``MNIST/raw``: its IDX files, plain or gzipped."""
    return _idx(wanted, "MNIST", DIGIT_NAMES)


def fashion_mnist(wanted: Wanted) -> Arrays:
    """Read ``FashionMNIST/raw``: its IDX files, plain or gzipped."""
    return _idx(wanted, "FashionMNIST", FASHION_NAMES)


def cifar10(wanted: Wanted) -> Arrays:
    """Read ``cifar10_jpeg.zip`` or ``cifar10_jpeg/`` as an image folder, else torchvision's batches."""
    for place in (wanted.root / "cifar10_jpeg.zip", wanted.root / "cifar10_jpeg"):
        if place.exists():
            found = load_images(place, wanted.split, limit_per_class=wanted.limit_per_class)
            if found.class_names != CIFAR10_NAMES:
                raise NmfdiagError(f"{place.name} has other classes than CIFAR-10: {', '.join(found.class_names)}.")
            return found
    batches = _torchvision(wanted, "CIFAR10", looked_for=("cifar10_jpeg.zip", "cifar10_jpeg", "cifar-10-batches-py"))
    return Arrays(np.ascontiguousarray(batches.data.transpose(0, 3, 1, 2)), np.asarray(batches.targets), CIFAR10_NAMES)


def svhn(wanted: Wanted) -> Arrays:
    """Read ``train_32x32.mat`` and ``test_32x32.mat`` through torchvision."""
    house_numbers = _torchvision(wanted, "SVHN", looked_for=(f"{wanted.split}_32x32.mat",))
    return Arrays(np.ascontiguousarray(house_numbers.data), np.asarray(house_numbers.labels), DIGIT_NAMES)


def spoken_digits(wanted: Wanted) -> Arrays:
    """Read the recordings from ``fsdd_wav.zip``, ``fsdd_wav/``, a clone of their repository, or ``recordings/``."""
    places = ("fsdd_wav.zip", "fsdd_wav", "free-spoken-digit-dataset", "recordings")
    for place in places:
        if (wanted.root / place).exists():
            return load_spoken_digits(wanted.root / place, wanted.split, limit_per_class=wanted.limit_per_class)
    raise NmfdiagError(
        f"The spoken digits were not found: there is no {' or '.join(places)} in {wanted.root}. Clone "
        f"https://github.com/Jakobovski/free-spoken-digit-dataset into it, or set NMFDIAG_DATA or root to their folder."
    )


def _idx(wanted: Wanted, class_name: str, class_names: tuple[str, ...]) -> Arrays:
    raw, stem = wanted.root / class_name / "raw", "train" if wanted.split == "train" else "t10k"
    found = read_labelled_images(raw, stem)
    if found is None:
        _torchvision(wanted, class_name, looked_for=(f"{class_name}/raw/{stem}-images-idx3-ubyte[.gz]",))
        found = read_labelled_images(raw, stem)
    if found is None:
        raise NmfdiagError(f"torchvision left no {class_name} files in {raw}.")
    return Arrays(found[0][:, None], found[1], class_names)


def _torchvision(wanted: Wanted, class_name: str, looked_for: tuple[str, ...]) -> Any:
    """Open one split with torchvision's reader of that name, downloading it only if that was asked for."""
    from torchvision import datasets

    which: dict[str, Any] = {"split": wanted.split} if class_name == "SVHN" else {"train": wanted.split == "train"}
    try:
        return getattr(datasets, class_name)(wanted.root, download=wanted.download, **which)
    except (RuntimeError, OSError, EOFError) as error:
        if wanted.download:
            raise NmfdiagError(f"{class_name} could not be downloaded into {wanted.root}: {error}") from None
        raise NmfdiagError(
            f"{class_name} was not found or is damaged: looked for {' or '.join(looked_for)} in {wanted.root}. Set "
            f"NMFDIAG_DATA or root to its folder, or download it with download=True (--download on the command line)."
        ) from None
