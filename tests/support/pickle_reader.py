"""Pickled weights read in this process, for tests that need no child: that spares the seconds which one takes to start."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from nmfdiag.networks.checkpoints import read, read_pickle_child

CHILD = (read_pickle_child.limit_memory, read._answer_of_child)


def read_in_child(patch: pytest.MonkeyPatch) -> None:
    """Let a child process answer, as in earnest."""
    patch.setattr(read_pickle_child, "limit_memory", CHILD[0])
    patch.setattr(read, "_answer_of_child", CHILD[1])


def read_here(patch: pytest.MonkeyPatch) -> None:
    """Let the reader answer in this process, without its limit on memory."""

    def answer(path: Path, target: Path, *key: str) -> dict[str, Any]:
        said = io.StringIO()
        with redirect_stdout(said):
            read_pickle_child.main(str(path), str(target), str(read.MAX_BYTES), str(read.MAX_TENSORS), *key)
        return dict(json.loads(said.getvalue()))

    patch.setattr(read_pickle_child, "limit_memory", lambda n_bytes: None)
    patch.setattr(read, "_answer_of_child", answer)
