"""Acting as a user who may not write, since root may write everywhere."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


def as_nobody(act: Callable[[], None]) -> None:
    """Call a function as a user without rights."""
    if os.geteuid() != 0:
        act()
        return
    os.seteuid(NOBODY)
    try:
        act()
    finally:
        os.seteuid(0)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that everybody can reach, as pytest's can't be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def close(folder: Path) -> None:
    """Let nobody write in a folder."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
