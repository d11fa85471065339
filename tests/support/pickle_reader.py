"""Reading pickled weights in this process, for tests that need no child process, which takes seconds to start."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from nmfdiag.networks.checkpoints import read, read_pickle_child

CHILD_FUNCTIONS = (read_pickle_child.limit_memory, read._answer_of_child)


def read_in_child(patch: pytest.MonkeyPatch) -> None:
    """Read in a child process, as outside of tests."""
    patch.setattr(read_pickle_child, "limit_memory", CHILD_FUNCTIONS[0])
    patch.setattr(read, "_answer_of_child", CHILD_FUNCTIONS[1])


def read_in_process(patch: pytest.MonkeyPatch) -> None:
    """Read in this process, without the limit on memory."""

    def answer(path: Path, target: Path, *key: str) -> dict[str, Any]:
        output = io.StringIO()
        with redirect_stdout(output):
            read_pickle_child.main(str(path), str(target), str(read.MAX_WEIGHT_BYTES), str(read.MAX_TENSORS), *key)
        return dict(json.loads(output.getvalue()))

    patch.setattr(read_pickle_child, "limit_memory", lambda n_bytes: None)
    patch.setattr(read, "_answer_of_child", answer)
