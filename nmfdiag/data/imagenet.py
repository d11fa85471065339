"""Match class folders, laid out as ImageNet's, with a network's outputs."""

import heapq
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nmfdiag.data.files import IMAGE_SUFFIXES, MAX_IMAGE_BYTES, walk
from nmfdiag.errors import NmfdiagError, harmless

MAX_INDEX_BYTES = 2**22
MOST_NAMED = 10
"""Largest number of names in an error."""


@dataclass(frozen=True)
class ClassList:
    """The classes of a network's outputs.

    Attributes:
        names: Name of each output, all different.
        places: Output by name, WordNet id or number, in lower case.
    """

    names: tuple[str, ...]
    places: dict[str, int]

    @classmethod
    def from_names(cls, names: Sequence[str], ids: Sequence[str] = ()) -> "ClassList":
        """Return the list for names, which may repeat (ImageNet has two cranes), and WordNet ids."""
        counts, names_in = Counter(map(_normalised, names)), names
        names = [harmless(name) for name in names_in]
        count = Counter(map(_normalised, names))
        unique = tuple(f"{name} ({i})" if count[_normalised(name)] > 1 else name for i, name in enumerate(names))
        places = {str(i): i for i in range(len(names))}
        places |= {_normalised(name): i for i, name in enumerate(names_in) if counts[_normalised(name)] == 1}
        places |= {_normalised(name): i for i, name in enumerate(unique)}
        return cls(unique, places | {_normalised(name): i for i, name in enumerate(ids)})

    def place(self, word: str) -> int | None:
        """Return the output with a name, WordNet id or number; None if there is none."""
        plain = _normalised(word)
        return self.places.get(plain, self.places.get(plain.lstrip("0") or "0") if plain.isdecimal() else None)


def _normalised(word: str) -> str:
    return " ".join(word.replace("_", " ").lower().split())


def read_class_index(path: Path) -> ClassList:
    """Read the well-known JSON ``{"0": ["n01440764", "tench"], ...}``.

    Raises:
        NmfdiagError: If it can't be read, or is not such a list.
    """
    try:
        if not path.is_file():  # reading a pipe would block
            raise NmfdiagError(f"The class index {path.name} can't be read: there is no such file.")
        if path.stat().st_size > MAX_INDEX_BYTES:
            raise NmfdiagError(f"The class index {path.name} has more than {MAX_INDEX_BYTES >> 20} MiB.")
        index = json.loads(path.read_text(encoding="utf-8"))
        pairs = [index[str(i)] for i in range(len(index))]
    except NmfdiagError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise NmfdiagError(
            f'The class index {path.name} can\'t be read, expected {{"0": ["n01440764", "tench"], ...}}: {error}'
        ) from None
    for i, pair in enumerate(pairs):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(word, str) and word for word in pair)):
            raise NmfdiagError(f"The class index {path.name} must give a WordNet id and a name for {i}, got {pair!r}.")
    return ClassList.from_names([name.replace("_", " ") for _, name in pairs], [wordnet for wordnet, _ in pairs])


def class_folders(folder: Path, classes: ClassList) -> dict[int, Path]:
    """Find the sub-folder of each class: by name, WordNet id or number, or all of them in sorted order.

    Returns:
        Folders by output, in the order of the outputs; outputs may lack one.

    Raises:
        NmfdiagError: If there are no folders, one is not recognised, or two are of the same class.
    """
    paths = subfolders(folder)
    places = {path: classes.place(path.name) for path in paths}
    if None in places.values() and len(paths) == len(classes.names):
        return dict(enumerate(paths))
    folders: dict[int, Path] = {}
    for path, place in places.items():
        if place is None:
            raise NmfdiagError(
                f"The class folder {path.name!r} in {folder} was not recognised: accepted are class names such as "
                f"{classes.names[0]!r}, numbers of 0 .. {len(classes.names) - 1}, WordNet ids where a class index is given "
                f"(--class-index), or folders of all {len(classes.names)} classes in sorted order."
            )
        if place in folders:
            raise NmfdiagError(
                f"The folders {folders[place].name!r} and {path.name!r} in {folder} are both of class {place} "
                f"({classes.names[place]})."
            )
        folders[place] = path
    return dict(sorted(folders.items()))


def folders_named(folder: Path, classes: ClassList, names: Sequence[str]) -> dict[int, Path]:
    """Return the folders of classes that are named by folder, name, WordNet id or number; of all classes if no name is given.

    Raises:
        NmfdiagError: As in :func:`class_folders`, and if a named class has no folder.
    """
    folders = class_folders(folder, classes)
    by_folder = {path.name: place for place, path in folders.items()}
    selection = {}
    for name in names:
        place = by_folder.get(name, classes.place(name))
        if place not in folders:
            listing = ", ".join(path.name for path in list(folders.values())[:MOST_NAMED])
            suffix = f" and {len(folders) - MOST_NAMED} more" if len(folders) > MOST_NAMED else ""
            raise NmfdiagError(f"Class {name!r} has no folder in {folder}; it has {listing}{suffix}.")
        selection[place] = folders[place]
    return dict(sorted(selection.items())) or folders


def subfolders(folder: Path) -> list[Path]:
    """Return the visible folders in a folder, sorted by name.

    Raises:
        NmfdiagError: If it is not a folder, has no folders, or has too many entries.
    """
    if not os.path.isdir(folder):  # Path.is_dir raises for names that are too long
        raise NmfdiagError(f"Expected a folder CLASS/IMAGE, got {folder}.")
    listed = (entry for entry in walk(folder, 1, folders=True) if not entry.name.startswith("."))
    paths = sorted(folder / entry.name for entry in listed if os.path.isdir(entry))
    if not paths:
        raise NmfdiagError(f"{folder} has no folder for any class: expected CLASS/IMAGE in it.")
    return paths


def image_files(folder: Path, limit: int | None = None) -> list[Path]:
    """Return the images of one class, or the first ``limit`` by name; links that lead out of the parent folder are skipped.

    Raises:
        NmfdiagError: If a file is too large, or there are too many.
    """
    inside = folder.parent.resolve()
    if not folder.resolve().is_relative_to(inside):
        return []
    names = (entry.name for entry in walk(folder, 1) if _is_image(entry, inside))
    paths = [folder / name for name in (sorted(names) if limit is None else heapq.nsmallest(limit, names))]
    for path in paths:
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise NmfdiagError(f"{folder.name}/{path.name} has more than {MAX_IMAGE_BYTES >> 20} MiB.")
    return paths


def _is_image(entry: "os.DirEntry[str]", inside: Path) -> bool:
    if entry.name.startswith(".") or os.path.splitext(entry.name)[1].lower() not in IMAGE_SUFFIXES:
        return False
    try:
        return entry.is_file() and (not entry.is_symlink() or Path(entry.path).resolve().is_relative_to(inside))
    except OSError:  # a link to itself
        return False
