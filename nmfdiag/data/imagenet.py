"""Folders laid out as ImageNet's, one a class, and which output of a network each of them is."""

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
NAMED = 10  # how many names an error lists


@dataclass(frozen=True)
class ClassList:
    """What a network's outputs mean.

    Attributes:
        names: One an output, all different.
        places: The output by what it may be called, in lower case: its name, WordNet id or number.
    """

    names: tuple[str, ...]
    places: dict[str, int]

    @classmethod
    def of(cls, names: Sequence[str], ids: Sequence[str] = ()) -> "ClassList":
        """Make the list from names, of which two may be alike (ImageNet has two cranes), and WordNet ids."""
        own, given = Counter(map(_plain, names)), names
        names = [harmless(name) for name in given]
        count = Counter(map(_plain, names))
        unique = tuple(f"{name} ({i})" if count[_plain(name)] > 1 else name for i, name in enumerate(names))
        places = {str(i): i for i in range(len(names))}
        places |= {_plain(name): i for i, name in enumerate(given) if own[_plain(name)] == 1}
        places |= {_plain(name): i for i, name in enumerate(unique)}
        return cls(unique, places | {_plain(name): i for i, name in enumerate(ids)})

    def place(self, word: str) -> int | None:
        """The output that goes by a word, None if there is none."""
        plain = _plain(word)
        return self.places.get(plain, self.places.get(plain.lstrip("0") or "0") if plain.isdecimal() else None)


def _plain(word: str) -> str:
    return " ".join(word.replace("_", " ").lower().split())


def read_class_index(path: Path) -> ClassList:
    """Read the well-known JSON ``{"0": ["n01440764", "tench"], ...}``.

    Raises:
        NmfdiagError: If it can't be read, or is no such list.
    """
    try:
        if not path.is_file():  # a pipe would be waited for
            raise NmfdiagError(f"The class index {path.name} can't be read: there is no such file.")
        if path.stat().st_size > MAX_INDEX_BYTES:
            raise NmfdiagError(f"The class index {path.name} has more than {MAX_INDEX_BYTES >> 20} MiB.")
        found = json.loads(path.read_text(encoding="utf-8"))
        pairs = [found[str(i)] for i in range(len(found))]
    except NmfdiagError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise NmfdiagError(
            f'The class index {path.name} can\'t be read, expected {{"0": ["n01440764", "tench"], ...}}: {error}'
        ) from None
    for i, pair in enumerate(pairs):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(word, str) and word for word in pair)):
            raise NmfdiagError(f"The class index {path.name} must give a WordNet id and a name for {i}, got {pair!r}.")
    return ClassList.of([name.replace("_", " ") for _, name in pairs], [wordnet for wordnet, _ in pairs])


def class_folders(folder: Path, classes: ClassList) -> dict[int, Path]:
    """Find the sub-folder of each class: by name, WordNet id or number, or all of them in sorted order.

    Returns:
        Folders by output, in the order of the outputs; not every output need have one.

    Raises:
        NmfdiagError: If there is none, one is not understood, or two are of one class; names it.
    """
    paths = subfolders(folder)
    places = {path: classes.place(path.name) for path in paths}
    if None in places.values() and len(paths) == len(classes.names):
        return dict(enumerate(paths))
    found: dict[int, Path] = {}
    for path, place in places.items():
        if place is None:
            raise NmfdiagError(
                f"The class folder {path.name!r} in {folder} was not understood: accepted are class names such as "
                f"{classes.names[0]!r}, numbers of 0 .. {len(classes.names) - 1}, WordNet ids where a class index is given "
                f"(--class-index), or folders of all {len(classes.names)} classes in sorted order."
            )
        if place in found:
            raise NmfdiagError(
                f"The folders {found[place].name!r} and {path.name!r} in {folder} are both of class {place} "
                f"({classes.names[place]})."
            )
        found[place] = path
    return dict(sorted(found.items()))


def chosen_folders(folder: Path, classes: ClassList, words: Sequence[str]) -> dict[int, Path]:
    """The folders of the classes asked for by folder, name, WordNet id or number; of all where none is.

    Raises:
        NmfdiagError: As :func:`class_folders`, and if a class asked for has no folder.
    """
    found = class_folders(folder, classes)
    by_folder = {path.name: place for place, path in found.items()}
    chosen = {}
    for word in words:
        place = by_folder.get(word, classes.place(word))
        if place not in found:
            some = ", ".join(path.name for path in list(found.values())[:NAMED])
            more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
            raise NmfdiagError(f"Class {word!r} has no folder in {folder}: there are {some}{more}.")
        chosen[place] = found[place]
    return dict(sorted(chosen.items())) or found


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name; hidden ones are left out.

    Raises:
        NmfdiagError: If it is no folder, there are none in it, or there is too much in it.
    """
    if not os.path.isdir(folder):  # Path's own raises for names that are too long
        raise NmfdiagError(f"Wanted is a folder CLASS/IMAGE; this is no folder: {folder}.")
    seen = (entry for entry in walk(folder, 1, folders=True) if not entry.name.startswith("."))
    found = sorted(folder / entry.name for entry in seen if os.path.isdir(entry))
    if not found:
        raise NmfdiagError(f"{folder} has no folder for any class: expected CLASS/IMAGE in it.")
    return found


def image_files(folder: Path, limit: int | None = None) -> list[Path]:
    """The images of one class, the first so many by name; links that lead out of all classes' folder are left out.

    Raises:
        NmfdiagError: If one is too large a file, or there are too many.
    """
    inside = folder.parent.resolve()
    if not folder.resolve().is_relative_to(inside):
        return []
    names = (entry.name for entry in walk(folder, 1) if _is_image(entry, inside))
    found = [folder / name for name in (sorted(names) if limit is None else heapq.nsmallest(limit, names))]
    for path in found:
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise NmfdiagError(f"{folder.name}/{path.name} has more than {MAX_IMAGE_BYTES >> 20} MiB.")
    return found


def _is_image(entry: "os.DirEntry[str]", inside: Path) -> bool:
    if entry.name.startswith(".") or os.path.splitext(entry.name)[1].lower() not in IMAGE_SUFFIXES:
        return False
    try:
        return entry.is_file() and (not entry.is_symlink() or Path(entry.path).resolve().is_relative_to(inside))
    except OSError:  # a link that leads to itself
        return False
