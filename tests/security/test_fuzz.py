"""Every parser of ours on made-up input for half a minute in all, by the targets of benchmarks/fuzz; and a fuzz that can find something."""

import resource
import sys
from pathlib import Path

import pytest
from screens import ROOT

sys.path.insert(0, str(ROOT / "benchmarks" / "fuzz"))

from fuzzing import fuzz
from hypothesis import strategies as st
from targets import TARGETS, Target

SECONDS, MEMORY = 30, 4 * 2**30


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_a_parser_answers_or_says_what_is_wrong(target: Target) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, before[1]))
    try:
        found = fuzz(target, SECONDS / len(TARGETS))
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    assert found.examples and not found.findings


def fails(drawn: int, folder: Path) -> None:
    if drawn % 2:
        raise KeyError(drawn)


def leaves_something(drawn: int, folder: Path) -> None:
    (folder.parent / "left").write_text("x")


@pytest.mark.parametrize(
    ("run", "words"), [(fails, "KeyError in test_fuzz.py, fails"), (leaves_something, "written outside")]
)
def test_the_fuzz_finds_what_is_there(run: object, words: str) -> None:
    found = fuzz(Target("planted", st.integers(), run), 0.3)  # type: ignore[arg-type]
    assert found.findings and all(what.startswith(words) for what in found.findings)
