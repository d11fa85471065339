"""Try a hostile file, and see that nothing came of it but what is said."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from bounds import bounded
from hostile import Hostile

from nmfdiag.cli import MISTAKE, OK, WRONG
from nmfdiag.errors import NO_TEXT


def written(place: Path, each: Hostile) -> Path:
    path = place / "hostile" / each.name
    each.write(path, place / "ran")
    return path


def everything(place: Path) -> set[str]:
    """All that lies beside the hostile file."""
    found = set()
    for folder, inner, files in os.walk(place):
        if folder == str(place):
            inner.remove("hostile")
        found |= {os.path.join(folder, name) for name in (*inner, *files)}
    return found


def checked(place: Path, act: Callable[[], str]) -> str:
    """Do something with the file, and see that nothing else came of it than what it says."""
    before = everything(place)
    with bounded():
        said = act()
    zoo = os.path.join(place, "work", "zoo", "")
    left = {path for path in everything(place) - before if not os.path.join(path, "").startswith(zoo)}
    assert not left, left
    assert not (place / "ran").exists()
    assert not NO_TEXT.search(said.replace("\n", ""))
    said.encode()
    return said


def told(code: int, captured: pytest.CaptureFixture[str]) -> str:
    """What a command has said of the caller's mistake: one line, after its progress bar."""
    out, err = captured.readouterr()
    assert "Traceback" not in err
    if code == MISTAKE:
        last = err.rstrip("\n").split("\n")[-1]
        assert last.startswith("nmfdiag: ")
        return f"error: {last.removeprefix('nmfdiag: ')}"
    assert code in (OK, WRONG)
    return out


def as_expected(words: str, said: str) -> None:
    """See that these words are said of it; where there are none it is read, and whether it fits is another matter."""
    if words == "lies":
        assert re.match(r"error: lies\.npz[: ].", said), said
    elif words:
        assert said.startswith("error: ") and re.search(words.removeprefix("^"), said), said
