"""Find the class of each image in a folder or zip, and report skipped files, so that no label changes silently."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from nmfdiag.errors import NmfdiagError, printable

SPLITS = ("train", "test")
OTHER_SPLITS = ("val", "valid", "validation", "dev", "training", "testing")
NOT_DATA = ("__MACOSX", "Thumbs.db", "desktop.ini", "Desktop.ini")
"""Files that operating systems add."""
MOST_NAMED = 3
"""Largest number of names in a sentence."""


@dataclass(frozen=True)
class Listing:
    """The content of a folder or zip, as relative paths: readable images, other files, and folders."""

    images: Collection[PurePosixPath]
    others: Collection[PurePosixPath]
    folders: Collection[PurePosixPath]


def is_data(path: PurePosixPath) -> bool:
    """Return whether a path is neither hidden nor added by an operating system."""
    return not any(part.startswith(".") or part in NOT_DATA for part in path.parts)


def images_by_class(listing: Listing, split: str, title: str) -> tuple[dict[str, list[PurePosixPath]], list[str]]:
    """Sort images into their classes.

    Args:
        listing: The content of a folder or zip.
        split: Folder of the images, if there is one of that name.
        title: The folder's or zip's name in errors.

    Returns:
        The images of each class, both in the order of their names, with empty classes, because labels are the numbers of the class
        folders; and sentences on what is skipped.

    Raises:
        NmfdiagError: If there are no images as ``CLASS/IMAGE`` or ``SPLIT/CLASS/IMAGE``; the sentence says where they are instead.
    """
    has_split = any(len(path.parts) == 3 and path.parts[0] == split for path in listing.images)
    tops = {*SPLITS, split}
    below = [  # paths relative to the class folders' parent, and whether they are in the split that is read
        (PurePosixPath(*path.parts[has_split:]), not has_split or path.parts[0] == split)
        for path in listing.images
        if not has_split or (len(path.parts) > 1 and path.parts[0] in tops)
    ]
    images = sorted(path for path, is_read in below if is_read and len(path.parts) == 2)
    deeper = sorted(path for path, is_read in below if is_read and len(path.parts) > 2)
    names = {path.parts[0] for path, _ in below if len(path.parts) > 1}
    for paths, shortest in ((listing.others, 2), (listing.folders, 1)):
        relative = [path.parts[has_split:] for path in paths if not has_split or path.parts[0] in tops]
        names |= {parts[0] for parts in relative if len(parts) >= shortest}
    by_class: dict[str, list[PurePosixPath]] = {name: [] for name in sorted(names)}
    for path in images:
        by_class[path.parts[0]].append(path)
    filled = [name for name, paths in by_class.items() if paths]
    if not filled or (len(filled) == 1 and len(deeper) > len(images)):
        raise NmfdiagError(f"No images as CLASS/IMAGE or {split}/CLASS/IMAGE in {title}{_hint(listing)}.")
    unread = sorted(
        PurePosixPath(*path.parts[has_split:])
        for path in listing.others
        if len(path.parts) > 1 + has_split and (not has_split or path.parts[0] == split)
    )
    return by_class, _notes(by_class, deeper, unread)


def _notes(
    by_class: dict[str, list[PurePosixPath]], deeper: list[PurePosixPath], unread: list[PurePosixPath]
) -> list[str]:
    read = Counter(path.suffix.lower() for paths in by_class.values() for path in paths)
    notes = [f"images are {_counts(read)}"] if len(read) > 1 else []
    if unread:
        kinds = Counter(path.suffix.lower() or "without an ending" for path in unread)
        notes.append(
            f"left out: {len(unread):,} files that are not read ({_counts(kinds)}), such as {printable(str(unread[0]))}"
        )
    if deeper:
        notes.append(
            f"left out: {len(deeper):,} images in folders inside class folders, such as {printable(str(deeper[0]))}"
        )
    empty = [f"{printable(name)} (class {c})" for c, (name, paths) in enumerate(by_class.items()) if not paths]
    if empty:
        suffix = f" and {len(empty) - MOST_NAMED} more" if len(empty) > MOST_NAMED else ""
        notes.append(f"no image was read in {', '.join(empty[:MOST_NAMED])}{suffix}")
    return notes


def _hint(listing: Listing) -> str:
    """Return where misplaced images are, or what else the folder holds."""
    tops = {path.parts[0] for path in listing.images if len(path.parts) > 2}
    if len(tops) == 1 and not tops & {*SPLITS, *OTHER_SPLITS}:
        return f": they lie below the folder {printable(tops.pop())!r}, whose content is wanted"
    if tops:
        return f": they lie below the folders {', '.join(repr(printable(top)) for top in sorted(tops)[:MOST_NAMED])}"
    if listing.images:
        return f": {len(listing.images):,} images lie in no class folder"
    kinds = Counter(path.suffix.lower() or "without an ending" for path in listing.others)
    return f": it holds other files ({_counts(kinds)})" if kinds else ""


def _counts(kinds: Counter[str]) -> str:
    entries = [f"{n:,} {printable(kind)}" for kind, n in kinds.most_common(MOST_NAMED)]
    return ", ".join(entries) + (", ..." if len(kinds) > MOST_NAMED else "")
