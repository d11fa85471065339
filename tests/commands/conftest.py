"""Shared by the tests of commands."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from foreign_network import Stranger, make_stranger


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Return a small network in each form that commands accept."""
    return make_stranger(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def own_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an empty user zoo."""
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path / "zoo"))
    return tmp_path / "zoo"


@pytest.fixture
def in_folder(stranger: Stranger) -> Iterator[None]:
    """Work in the stranger's folder, like a user with own code."""
    before = Path.cwd()
    os.chdir(stranger.folder)
    yield
    os.chdir(before)
