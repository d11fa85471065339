"""Hostile files and functions that write them."""

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
"""Names of classes and files aimed at a page, a terminal, a shell or a format string."""


@dataclass(frozen=True)
class Hostile:
    """A hostile file or folder.

    Attributes:
        name: File name, with its suffix.
        role: What it is passed as: weights, samples, activations, exported program, or the folder of the data sets.
        write: Writes it to a path; the second argument is a file that exists afterwards if its code was run.
        message: The expected message, as a regular expression; empty if it is read, since only its names are hostile.
        data: The data set in a folder of data sets.
        only_path: Whether a browser can't send it: a folder, a link, a device.
    """

    name: str
    role: str
    write: Callable[[Path, Path], None]
    message: str
    data: str = ""
    only_path: bool = False

    @property
    def id(self) -> str:
        return f"{self.role}: {self.write.__doc__ or self.name}".encode("ascii", "backslashreplace").decode()


class Call:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Any, *arguments: Any):
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def touch_command(bait: Path) -> Call:
    return Call(os.system, f"touch '{bait}'")


def describe(write: Callable[[Path, Path], object], description: str) -> Callable[[Path, Path], None]:
    """Return a writer with a description as its docstring."""

    def writer(path: Path, bait: Path) -> None:
        write(path, bait)

    writer.__doc__ = description
    return writer


def content_writer(content: bytes, description: str) -> Callable[[Path, Path], None]:
    return describe(lambda path, bait: path.write_bytes(content), description)


def torch_writer(value: Callable[[Path], Any], description: str, **options: Any) -> Callable[[Path, Path], None]:
    return describe(lambda path, bait: torch.save(value(bait), path, **options), description)


def write_exported(path: Path, bait: Path) -> None:
    """Write a program of torch.export whose constants are a pickle that runs code."""
    trap = pickle.dumps(touch_command(bait), protocol=2)
    entries = {
        "x/archive_format": b"pt2",
        "x/models/model.json": b"{}",
        "x/data/constants/a.pt": trap,
        "x/byteorder": b"little",
    }
    zip_of(path, entries)


def write_sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def write_folder(path: Path, entries: dict[str, bytes]) -> Path:
    for name, content in entries.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path
