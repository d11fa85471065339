"""Shared by the tests of security: helper modules of this folder, a good network, and a place for a hostile file."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from foreign_network import Stranger, make_stranger
from pickle_reader import read_in_process

NO_BOUNDS = importlib.util.find_spec("resource") is None
"""Windows can't bound a process's memory so."""
collect_ignore = ["test_corpus.py", "test_fuzz.py", "test_zoo_add.py"] if NO_BOUNDS else []


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """A small network with its samples."""
    return make_stranger(tmp_path_factory.mktemp("stranger"), exported=False)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the seconds that a child process takes to start."""
    read_in_process(monkeypatch)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the file is written; beside it lies what nobody may touch, and what the process works in."""
    for name in ("hostile", "work", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path / "work" / "zoo"))
    yield tmp_path
    subprocess.run(["rm", "-rf", str(tmp_path / "hostile")], check=True)  # Python's own gives up on the deepest one
