"""Shared by the tests of security: helper modules of this folder, and a good network."""

import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from strangers import Stranger, make_stranger

from nmfdiag.networks import checkpoints, unpickling


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """A small network with its samples."""
    return make_stranger(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the seconds that a child process takes to start."""

    def answer(path: Path, target: Path) -> dict[str, Any]:
        said = io.StringIO()
        with redirect_stdout(said):
            unpickling.main(str(path), str(target), str(checkpoints.MAX_BYTES), str(checkpoints.MAX_TENSORS))
        return dict(json.loads(said.getvalue()))

    monkeypatch.setattr(unpickling, "limit_memory", lambda n_bytes: None)
    monkeypatch.setattr(checkpoints, "_answer_of_child", answer)
