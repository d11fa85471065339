"""Fixtures that decide which process reads pickled weights."""

import pytest
from pickle_reader import read_in_child, read_in_process


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read pickles without a child process, which takes seconds to start, and without its memory limit."""
    read_in_process(monkeypatch)


@pytest.fixture
def in_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read pickles in a child process, as outside of tests."""
    read_in_child(monkeypatch)
