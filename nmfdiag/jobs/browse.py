"""What a reader of the dashboard may choose to open: names listed inside configured folders, never typed, and uploads, which get a name
of ours. Without torch.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from nmfdiag.data.datasets import DATASETS
from nmfdiag.errors import NmfdiagError
from nmfdiag.zoo.recipes import RECIPES
from nmfdiag.zoo.registry import entries

WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
SAMPLES = (".npz", ".zip")
ACTIVATIONS = (".npz",)
IMAGES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip
"""As :data:`nmfdiag.data.files.IMAGE_SUFFIXES`, without waiting for torch."""
DEEPEST, MOST_SEEN, MOST_LISTED = 3, 20_000, 500
"""Folders below the configured one that are looked into, entries that are looked at, names that are listed."""
FIRST_FEW, LONGEST_NAME = 50, 60
"""Entries of a folder that tell whether it has one folder of images a class."""


def models_folder() -> Path:
    """``$NMFDIAG_MODELS``, else ``models/`` in the current directory."""
    return Path(os.environ.get("NMFDIAG_MODELS") or "models")


def data_folder() -> Path:
    """``$NMFDIAG_DATA``, else ``data/`` in the current directory."""
    return Path(os.environ.get("NMFDIAG_DATA") or "data")


def data_sets(folder: Path) -> list[str]:
    """The data sets known by name that are on this disk."""
    return [
        name
        for name, dataset in DATASETS.items()
        if not dataset.places or any((folder / place).exists() for place in dataset.places)
    ]


def files(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """Files of these kinds inside a folder, as paths from there, in order of their names.

    Hidden ones, links that lead out of the folder, and names that can't be printed are left out.
    """
    root = folder.resolve()
    found = [
        path.relative_to(root).as_posix()
        for path, is_folder in _inside(root)
        if not is_folder and path.suffix.lower() in suffixes and path.resolve().is_relative_to(root)
    ]
    return sorted(found, key=str.lower)[:MOST_LISTED]


def samples(folder: Path) -> list[str]:
    """What the data folder has beside data sets known by name: arrays, zips and folders of images, as paths from there."""
    known = {place.split("/")[0] for dataset in DATASETS.values() for place in dataset.places}
    found = [name for name in [*files(folder, SAMPLES), *image_folders(folder)] if name.split("/")[0] not in known]
    return sorted(found, key=str.lower)[:MOST_LISTED]


def image_folders(folder: Path) -> list[str]:
    """Folders of images as ``CLASS/IMAGE`` or ``train/CLASS/IMAGE`` inside a folder, as paths from there."""
    root = folder.resolve()
    found: list[str] = []
    for path, is_folder in _inside(root):
        name = path.relative_to(root).as_posix()
        within = any(name.startswith(f"{other}/") for other in found)
        if is_folder and not within and (_has_classes(path) or _has_classes(path / "train")):
            found.append(name)
    return sorted(found, key=str.lower)


def chosen(folder: Path, name: str) -> Path:
    """The path of a listed name.

    Args:
        folder: The folder that it was listed in.
        name: A path from there.

    Raises:
        NmfdiagError: If it leads out of the folder, by ``..`` or by a link, or there is nothing of that name.
    """
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        exists = path.exists()
    except (OSError, RuntimeError, ValueError):  # no file can have such a name, or it is a link to itself
        path, exists = root, False
    if not path.is_relative_to(root) or path == root:
        raise NmfdiagError(f"{name} is not inside {folder}: only what that folder holds can be opened here.")
    if not exists:
        raise NmfdiagError(f"{name} is no longer in {folder}.")
    return path


def received(folder: Path, role: str, filename: str, content: bytes | memoryview, accepted: Sequence[str]) -> Path:
    """Write an upload into a private folder, under a name of our own.

    Args:
        folder: The private folder.
        role: What it is, which becomes its name.
        filename: What its owner calls it: only whether it ends in one of the accepted ways is taken from it.
        content: Its bytes.
        accepted: Suffixes.

    Raises:
        NmfdiagError: If it is of another kind, or empty.
    """
    suffix = next((each for each in accepted if filename.lower().endswith(each)), None)
    if suffix is None:
        raise NmfdiagError(f"An upload of {role} must be one of {', '.join(accepted)}.")
    if not len(content):
        raise NmfdiagError(f"The upload of {role} is empty.")
    path = folder / f"{role}{suffix}"
    path.write_bytes(content)
    return path


def proposed_name(words: str) -> str:
    """A name that the zoo takes, after a file's or after what somebody typed; with a number where it is taken."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", words).strip("-._")[:LONGEST_NAME] or "network"
    taken, name, n = {*entries(), *RECIPES, *DATASETS}, stem, 1
    while name in taken:
        n += 1
        name = f"{stem}-{n}"
    return name


def _inside(folder: Path) -> Iterator[tuple[Path, bool]]:
    """What a folder holds, and whether each is a folder; links to folders are not followed, and there is an end to it."""
    seen = 0
    waiting = [(folder, 1)]
    while waiting and seen < MOST_SEEN:
        here, depth = waiting.pop(0)
        for entry in islice(_scan(here), MOST_SEEN - seen):
            seen += 1
            if entry.name.startswith(".") or not entry.name.isprintable():
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            with suppress(OSError):  # a link that leads to itself
                if is_folder or entry.is_file():
                    yield Path(entry.path), is_folder
            if is_folder and depth < DEEPEST:
                waiting.append((Path(entry.path), depth + 1))


def _scan(folder: Path) -> Iterator[os.DirEntry[str]]:
    """A folder's entries; none where it can't be read."""
    with suppress(OSError), os.scandir(folder) as entries:
        yield from entries


def _has_classes(folder: Path) -> bool:
    """Whether at least two of the first few sub-folders hold an image."""
    first = (entry for entry in islice(_scan(folder), FIRST_FEW) if entry.is_dir(follow_symlinks=False))
    full = (any(Path(e.name).suffix.lower() in IMAGES for e in islice(_scan(Path(c.path)), FIRST_FEW)) for c in first)
    return sum(islice((1 for each in full if each), 2)) == 2
