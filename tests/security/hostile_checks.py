"""Running a command on a hostile file, and checking that it had no effect but its message."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from bounds import limit_resources
from hostile import Hostile

from nmfdiag.cli import MISTAKE, OK, WRONG
from nmfdiag.errors import NO_TEXT


def write_case(place: Path, case: Hostile) -> Path:
    path = place / "hostile" / case.name
    case.write(path, place / "ran")
    return path


def list_paths(place: Path) -> set[str]:
    """Return all paths beside the hostile file."""
    paths = set()
    for folder, inner, files in os.walk(place):
        if folder == str(place):
            inner.remove("hostile")
        paths |= {os.path.join(folder, name) for name in (*inner, *files)}
    return paths


def run_checked(place: Path, run: Callable[[], str]) -> str:
    """Run something with the file, check that it had no other effect, and return its message."""
    before = list_paths(place)
    with limit_resources():
        message = run()
    zoo = os.path.join(place, "work", "zoo", "")
    new_paths = {path for path in list_paths(place) - before if not os.path.join(path, "").startswith(zoo)}
    assert not new_paths, new_paths
    assert not (place / "ran").exists()
    assert not NO_TEXT.search(message.replace("\n", ""))
    message.encode()
    return message


def command_message(code: int, captured: pytest.CaptureFixture[str]) -> str:
    """Return a command's output; of a caller's mistake the error, one line after the progress bar."""
    out, err = captured.readouterr()
    assert "Traceback" not in err
    if code == MISTAKE:
        last = err.rstrip("\n").split("\n")[-1]
        assert last.startswith("nmfdiag: ")
        return f"error: {last.removeprefix('nmfdiag: ')}"
    assert code in (OK, WRONG)
    return out


def check_message(pattern: str, message: str) -> None:
    """Check the message against the expected pattern; without a pattern any message passes."""
    if pattern == "lies":
        assert re.match(r"error: lies\.npz[: ].", message), message
    elif pattern:
        assert message.startswith("error: ") and re.search(pattern.removeprefix("^"), message), message
