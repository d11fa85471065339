"""A comparison in words: where, which p, which layers, and how sure, as the numbers have it."""

from dataclasses import replace
from pathlib import Path

import pytest
from planted_references import curve, profile, write_records

from nmfdiag.diagnosis.comparison import Comparison, compare
from nmfdiag.diagnosis.comparison_text import (
    agreement_words,
    check_words,
    layers_words,
    place_words,
    range_words,
    sure_words,
    told_words,
    worth,
)
from nmfdiag.diagnosis.diagnose import diagnosed
from nmfdiag.diagnosis.place import Known, placed
from nmfdiag.diagnosis.verdict import class_words, classes_words


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("records"))


def test_where_it_lies(records: Path) -> None:
    low, high = (place_words(compare(profile(level), folder=records)) for level in (0.7, 0.95))
    assert "below all 6 references with clean labels (0.940 to 0.964)" in low
    assert "below all 6 with random ones (0.790 to 0.814)" in low and low.startswith("mean AuC 0.700 ± 0.00")
    assert "among the 6 references with clean labels" in high and "above all 6 with random ones" in high


def test_which_p(records: Path) -> None:
    def words(*levels: float) -> str:
        known = [Known(0.9 if level in levels else 0.5, level, f) for level in (0.0, 0.2, 0.4, 1.0) for f in "ab"]
        return range_words(placed(0.9, [*known, Known(0.91, levels[0], "c") if levels else Known(0.51, 0, "c")]))

    assert "only 0.2 is" in words(0.2) and "p from 0 to 0.4 are" in words(0.0, 0.2, 0.4)
    assert "p = 0, 0.2 and 1 are" in words(0.0, 0.2, 1.0) and "p = 0 and 1 are" in words(0.0, 1.0)
    assert "No single p" in words() and "can't say" in range_words(placed(0.9, [Known(0.9, 0, "a")]))


def test_which_layers(records: Path) -> None:
    assert "At 4 of 4 layers" in layers_words(compare(profile(0.8), folder=records))
    assert "At no layer" in layers_words(compare(profile(0.95), folder=records))


def test_how_sure_it_is(records: Path) -> None:
    found = compare(profile(0.8), folder=records)
    words = " ".join(sure_words(found))
    assert "differ between data sets by ± 0.010" in words and "between seeds by ± 0.003: that" in words
    assert "That agrees." in words and "12 of 12 at p = 0 or 1" in words
    assert told_words(found).startswith("In this way 12 of 12") and sure_words(Comparison("other", reason="x")) == []
    assert check_words(found.checks[0]).startswith("Of the references themselves, each compared with all others")


def test_axes_that_do_not_agree_are_said_in_the_verdict(tmp_path: Path) -> None:
    found = compare(profile(0.8), folder=write_records(tmp_path, level=lambda p: 0.95 - 0.15 * p))
    assert agreement_words(found) == ""
    early = compare(profile(0.8, accuracy=[1.0, 1.0, 0.9, 0.7, 0.75]), folder=tmp_path)  # 0.79 over k, 0.87 over log k
    assert agreement_words(early) == "AuC over log k does not agree: it looks like memorising some of its labels."


def test_no_sign_of_memorising_names_no_phase_of_it() -> None:
    dip = [0.9, 0.86, 0.99, 1.0]
    some = profile(0.95)
    measured = tuple(replace(m, curve=curve(dip[m.depth], m.curve.layer)) for m in some.measured)
    found = diagnosed(replace(some, measured=measured), {})
    assert found.phases.memorisation == ("conv2",) and found.verdict.startswith("No sign of memorising")
    assert "emorisation shows" not in found.verdict and "conv2 is the least linear layer" in found.verdict


@pytest.mark.parametrize("kind", ["convolutional", "residual", "fully-connected"])
def test_what_it_is_worth_is_computed(kind: str) -> None:
    words = worth(kind)
    assert words.count("Rank correlation of AuC and p: −0.") == 2 and "over log k" in words


def test_classes_by_name_and_how_sure() -> None:
    drawn = diagnosed(profile(0.8, n_draws=2), {}).classes
    assert classes_words(drawn) == "No class lies more than 0.02 below the classes' mean."
    assert classes_words(()) == ""
    sentence = class_words(drawn[0], [f"name {i}" for i in range(10)])
    assert sentence.startswith(f"Class {drawn[0].class_idx} (name {drawn[0].class_idx}): AuC 0.7")
    assert "Not clearly lower" in sentence
