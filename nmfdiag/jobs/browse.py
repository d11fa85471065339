"""Files that the dashboard offers to open: names listed inside configured folders, never typed, and uploads under names that we choose.
Without torch.
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
"""Depth of folders that are searched, entries that are read, and names that are listed at most."""
FIRST_FEW, LONGEST_NAME = 50, 60
"""Entries of a folder that decide whether it has one folder of images per class; and characters of a proposed name."""


def models_folder() -> Path:
    """Return ``$NMFDIAG_MODELS``, else ``models/`` in the current directory."""
    return Path(os.environ.get("NMFDIAG_MODELS") or "models")


def data_folder() -> Path:
    """Return ``$NMFDIAG_DATA``, else ``data/`` in the current directory."""
    return Path(os.environ.get("NMFDIAG_DATA") or "data")


def data_sets(folder: Path) -> list[str]:
    """Return the named data sets that are on this disk."""
    return [
        name
        for name, dataset in DATASETS.items()
        if not dataset.places or any((folder / place).exists() for place in dataset.places)
    ]


def files(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """Return files of these kinds inside a folder, as paths relative to it, by name.

    Hidden ones, links that lead out of the folder, and names that can't be printed are left out.
    """
    root = folder.resolve()
    names = [
        path.relative_to(root).as_posix()
        for path, is_folder in _inside(root)
        if not is_folder and path.suffix.lower() in suffixes and path.resolve().is_relative_to(root)
    ]
    return sorted(names, key=str.lower)[:MOST_LISTED]


def samples(folder: Path) -> list[str]:
    """Return the arrays, zips and folders of images in the data folder, beside named data sets, as paths relative to it."""
    data_set_files = {place.split("/")[0] for dataset in DATASETS.values() for place in dataset.places}
    names = [
        name for name in [*files(folder, SAMPLES), *image_folders(folder)] if name.split("/")[0] not in data_set_files
    ]
    return sorted(names, key=str.lower)[:MOST_LISTED]


def image_folders(folder: Path) -> list[str]:
    """Return folders of images as ``CLASS/IMAGE`` or ``train/CLASS/IMAGE`` inside a folder, as paths relative to it."""
    root = folder.resolve()
    folders: list[str] = []
    for path, is_folder in _inside(root):
        name = path.relative_to(root).as_posix()
        is_nested = any(name.startswith(f"{parent}/") for parent in folders)
        if is_folder and not is_nested and (_has_classes(path) or _has_classes(path / "train")):
            folders.append(name)
    return sorted(folders, key=str.lower)


def path_inside(folder: Path, name: str) -> Path:
    """Return the path of a listed name.

    Args:
        folder: The folder that it was listed in.
        name: A path relative to it.

    Raises:
        NmfdiagError: If it leads out of the folder, by ``..`` or by a link, or no longer exists.
    """
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        exists = path.exists()
    except (OSError, RuntimeError, ValueError):  # an impossible name, or a link to itself
        path, exists = root, False
    if not path.is_relative_to(root) or path == root:
        raise NmfdiagError(f"{name} is not inside {folder}: only what that folder holds can be opened here.")
    if not exists:
        raise NmfdiagError(f"{name} is no longer in {folder}.")
    return path


def save_upload(folder: Path, role: str, filename: str, content: bytes | memoryview, accepted: Sequence[str]) -> Path:
    """Write an upload into a private folder; errors name it as its owner does, but for characters that a name of ours can't have.

    Args:
        folder: The private folder.
        role: Its role, which names the folder that it is written to.
        filename: The owner's name for it.
        content: Its bytes.
        accepted: Accepted suffixes.

    Raises:
        NmfdiagError: If it is of another kind, or empty.
    """
    suffix = next((suffix for suffix in accepted if filename.lower().endswith(suffix)), None)
    if suffix is None:
        raise NmfdiagError(f"An upload of {role} must be one of {', '.join(accepted)}.")
    if not len(content):
        raise NmfdiagError(f"The upload of {role} is empty.")
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", filename[: -len(suffix)]).strip("-._")[:LONGEST_NAME] or role
    path = folder / role / f"{stem}{suffix}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def proposed_name(text: str) -> str:
    """Return a name that the zoo accepts, made from any text; with a number where it is taken."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._")[:LONGEST_NAME] or "network"
    names, name, n = {*entries(), *RECIPES, *DATASETS}, stem, 1
    while name in names:
        n += 1
        name = f"{stem}-{n}"
    return name


def _inside(root: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the files and folders inside a folder, and whether each is a folder; links to folders are not followed, and the number is limited."""
    visited = 0
    pending = [(root, 1)]
    while pending and visited < MOST_SEEN:
        folder, depth = pending.pop(0)
        for entry in islice(_scan(folder), MOST_SEEN - visited):
            visited += 1
            if entry.name.startswith(".") or not entry.name.isprintable():
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            with suppress(OSError):  # a link to itself
                if is_folder or entry.is_file():
                    yield Path(entry.path), is_folder
            if is_folder and depth < DEEPEST:
                pending.append((Path(entry.path), depth + 1))


def _scan(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield a folder's entries; none where it can't be read."""
    with suppress(OSError), os.scandir(folder) as entries:
        yield from entries


def _has_classes(folder: Path) -> bool:
    """Return whether at least two of the first few sub-folders hold an image."""
    first = (entry for entry in islice(_scan(folder), FIRST_FEW) if entry.is_dir(follow_symlinks=False))
    has_image = (
        any(Path(e.name).suffix.lower() in IMAGES for e in islice(_scan(Path(c.path)), FIRST_FEW)) for c in first
    )
    return sum(islice((1 for is_full in has_image if is_full), 2)) == 2
