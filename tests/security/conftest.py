"""Helper modules of this folder, a good network, and a place for a hostile file."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from foreign_network import Stranger, make_stranger
from pickle_reader import read_in_process

NO_LIMITS = importlib.util.find_spec("resource") is None
"""Whether the system, as Windows, can't limit a process's memory this way."""
collect_ignore = ["test_corpus.py", "test_fuzz.py", "test_zoo_add.py"] if NO_LIMITS else []


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Return a small network with its samples."""
    return make_stranger(tmp_path_factory.mktemp("stranger"), exported=False)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read pickles in this process, since a child process takes seconds to start."""
    read_in_process(monkeypatch)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of the hostile file, the process's working folder, and files that must not change."""
    for name in ("hostile", "work", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path / "work" / "zoo"))
    yield tmp_path
    subprocess.run(["rm", "-rf", str(tmp_path / "hostile")], check=True)  # Python's own gives up on the deepest one
