"""All our parsers on generated input, the same in each run, by the targets of benchmarks/fuzz; and a check of the fuzz itself."""

import sys
from pathlib import Path

import pytest
from bounds import limit_resources
from headless_pages import ROOT

sys.path.insert(0, str(ROOT / "benchmarks" / "fuzz"))

from example_search import fuzz
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
    with limit_resources(seconds=60 if quick < 100 else 1200):
        report = fuzz(target, examples=slow if target.slow else quick, first_seed=first_seed)
    assert report.examples and not report.findings


def fails(value: int, folder: Path) -> None:
    if value % 2:
        raise KeyError(value)


def leaves_something(value: int, folder: Path) -> None:
    (folder.parent / "left").write_text("x")


@pytest.mark.parametrize(
    ("run", "prefix"), [(fails, "KeyError in test_fuzz.py, fails"), (leaves_something, "written outside")]
)
def test_the_fuzz_finds_what_is_there(run: object, prefix: str) -> None:
    report = fuzz(Target("planted", st.integers(), run), examples=20)  # type: ignore[arg-type]
    assert report.examples == 20 and report.findings and all(finding.startswith(prefix) for finding in report.findings)
