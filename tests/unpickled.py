"""Pickled weights read in this process, for tests that need no child: that spares the seconds which one takes to start."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from nmfdiag.networks import checkpoints, unpickling

CHILD = (unpickling.limit_memory, checkpoints._answer_of_child)


def read_in_child(patch: pytest.MonkeyPatch) -> None:
    """Let a child process answer, as in earnest."""
    patch.setattr(unpickling, "limit_memory", CHILD[0])
    patch.setattr(checkpoints, "_answer_of_child", CHILD[1])


def read_here(patch: pytest.MonkeyPatch) -> None:
    """Let the reader answer in this process, without its limit on memory."""

    def answer(path: Path, target: Path, *key: str) -> dict[str, Any]:
        said = io.StringIO()
        with redirect_stdout(said):
            unpickling.main(str(path), str(target), str(checkpoints.MAX_BYTES), str(checkpoints.MAX_TENSORS), *key)
        return dict(json.loads(said.getvalue()))

    patch.setattr(unpickling, "limit_memory", lambda n_bytes: None)
    patch.setattr(checkpoints, "_answer_of_child", answer)
