"""What a hostile file is, and how one is written."""

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from file_bytes import zip_of

WEIGHTS, SAMPLES, ACTIVATIONS, EXPORTED, ROOT = "weights", "samples", "activations", "exported", "data root"
SCRIPT = "<img src=x onerror=alert(1)>"
NAMES = (SCRIPT, "${jndi:x} %s %n", "$(touch ran)", "a\x1b]0;title\x07b", "![a](https:b.example)", "\u202egnp.a", "-rf")
"""Names of classes and files that somebody may want a page, a terminal, a shell or a format string to read."""


@dataclass(frozen=True)
class Hostile:
    """One file, or folder.

    Attributes:
        name: What it is called, with its suffix.
        role: As what it is given: weights, samples, activations, exported program, or the folder of the data sets.
        write: Writes it to a path; gets a file too that is there afterwards if its code was run.
        words: What is said of it, as a regular expression; empty if it is harmless but for its names, and is read.
        data: For a folder of data sets, the one in it.
        only_path: Whether no browser can send it: a folder, a link, a device.
    """

    name: str
    role: str
    write: Callable[[Path, Path], None]
    words: str
    data: str = ""
    only_path: bool = False

    @property
    def id(self) -> str:
        return f"{self.role}: {self.write.__doc__ or self.name}".encode("ascii", "backslashreplace").decode()


class Runs:
    """Unpickles into what a function returns, and so calls it."""

    def __init__(self, function: Any, *arguments: Any):
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def touching(bait: Path) -> Runs:
    return Runs(os.system, f"touch '{bait}'")


def of(write: Callable[[Path, Path], object], about: str) -> Callable[[Path, Path], None]:
    """A writer with words about what it writes."""

    def named(path: Path, bait: Path) -> None:
        write(path, bait)

    named.__doc__ = about
    return named


def holding(content: bytes, about: str) -> Callable[[Path, Path], None]:
    return of(lambda path, bait: path.write_bytes(content), about)


def saving(value: Callable[[Path], Any], about: str, **options: Any) -> Callable[[Path, Path], None]:
    return of(lambda path, bait: torch.save(value(bait), path, **options), about)


def exported(path: Path, bait: Path) -> None:
    """A program of torch.export whose constants are a pickle that runs code."""
    trap = pickle.dumps(touching(bait), protocol=2)
    entries = {
        "x/archive_format": b"pt2",
        "x/models/model.json": b"{}",
        "x/data/constants/a.pt": trap,
        "x/byteorder": b"little",
    }
    zip_of(path, entries)


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def folder_of(path: Path, entries: dict[str, bytes]) -> Path:
    for name, content in entries.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path
