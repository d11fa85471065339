"""Every parser of ours on made-up input, always the same, by the targets of benchmarks/fuzz; and a fuzz that can find something."""

import sys
from pathlib import Path

import pytest
from bounds import bounded
from headless_pages import ROOT

sys.path.insert(0, str(ROOT / "benchmarks" / "fuzz"))

from fuzzing import fuzz
from hypothesis import strategies as st
from targets import TARGETS, Target


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
@pytest.mark.parametrize(
    ("first_seed", "slow", "quick"),
    [(0, 2, 15), pytest.param(1, 100, 800, marks=pytest.mark.soak)],
    ids=["few", "many"],
)
def test_a_parser_answers_or_says_what_is_wrong(target: Target, first_seed: int, slow: int, quick: int) -> None:
    with bounded(seconds=60 if quick < 100 else 1200):
        found = fuzz(target, examples=slow if target.slow else quick, first_seed=first_seed)
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
    found = fuzz(Target("planted", st.integers(), run), examples=20)  # type: ignore[arg-type]
    assert found.examples == 20 and found.findings and all(what.startswith(words) for what in found.findings)
