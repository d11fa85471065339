"""A comparison as text: place, compatible p, layers and certainty agree with the numbers."""

from dataclasses import replace
from pathlib import Path

import pytest
from planted_references import curve, profile, write_records

from nmfdiag.diagnosis.class_text import class_text, classes_text
from nmfdiag.diagnosis.comparison import Comparison, compare_network
from nmfdiag.diagnosis.comparison_text import (
    agreement_text,
    certainty_sentences,
    check_summary,
    check_text,
    layers_text,
    place_text,
    range_text,
)
from nmfdiag.diagnosis.diagnose import diagnosis_from_profile
from nmfdiag.diagnosis.place import KnownValue, place_value
from nmfdiag.diagnosis.reference_checks import check


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("records"))


def test_where_it_lies(records: Path) -> None:
    low, high = (place_text(compare_network(profile(level), folder=records)) for level in (0.7, 0.95))
    assert "below all 6 references with clean labels (0.940 to 0.964)" in low
    assert "below all 6 with random ones (0.790 to 0.814)" in low and low.startswith("mean AuC 0.700 ± 0.00")
    assert "among the 6 references with clean labels" in high and "above all 6 with random ones" in high


def test_which_p(records: Path) -> None:
    def text_for(*levels: float) -> str:
        known_values = [
            KnownValue(0.9 if level in levels else 0.5, level, f) for level in (0.0, 0.2, 0.4, 1.0) for f in "ab"
        ]
        return range_text(
            place_value(0.9, [*known_values, KnownValue(0.91, levels[0], "c") if levels else KnownValue(0.51, 0, "c")])
        )

    assert text_for(0.2) == "Matches only networks trained on 20 % random labels."
    assert text_for(0.0, 0.2, 0.4) == "Matches networks with 0 to 40 % random labels."
    assert text_for(0.0, 0.2, 1.0) == "Matches networks with 0, 20 and 100 % random labels."
    assert text_for(0.0, 1.0) == "Matches networks with 0 and 100 % random labels."
    assert "Matches none of" in text_for() and "can't say" in range_text(place_value(0.9, [KnownValue(0.9, 0, "a")]))


def test_which_layers(records: Path) -> None:
    assert "4 of 4 layers fall below" in layers_text(compare_network(profile(0.8), folder=records))
    assert "No layer falls below" in layers_text(compare_network(profile(0.95), folder=records))


def test_how_sure_it_is(records: Path) -> None:
    comparison = compare_network(profile(0.8), folder=records)
    text = " ".join(certainty_sentences(comparison))
    assert "differ between data sets by ± 0.010" in text and "between seeds by ± 0.003: that" in text
    assert "That agrees." in text and "12 of 12 at p = 0 or 1" in text
    assert check_summary(comparison).startswith("Tested on 12 networks") and "12 correct" in check_summary(comparison)
    assert certainty_sentences(Comparison("other", reason="x")) == []
    assert check_text(comparison.checks[0]).startswith("Of the references themselves, each compared with all others")


def test_axes_that_do_not_agree_are_said_in_the_verdict(tmp_path: Path) -> None:
    comparison = compare_network(profile(0.8), folder=write_records(tmp_path, level=lambda p: 0.95 - 0.15 * p))
    assert agreement_text(comparison) == ""
    early = compare_network(
        profile(0.8, accuracy=[1.0, 1.0, 0.9, 0.7, 0.75]), folder=tmp_path
    )  # 0.79 over k, 0.87 over log k
    assert (
        agreement_text(early)
        == "A second measure, AuC over log k, disagrees: it looks like memorising some of its labels."
    )


def test_no_sign_of_memorising_names_no_phase_of_it() -> None:
    dip = [0.9, 0.86, 0.99, 1.0]
    clean = profile(0.95)
    curves = tuple(replace(m, curve=curve(dip[m.depth], m.curve.layer)) for m in clean.measured)
    diagnosis = diagnosis_from_profile(replace(clean, measured=curves), {})
    assert diagnosis.phases.memorisation == ("conv2",) and diagnosis.verdict.startswith("No sign of memorising")
    assert "emorisation shows" not in diagnosis.verdict and "conv2 is the least linear layer" in diagnosis.verdict


@pytest.mark.parametrize("kind", ["convolutional", "residual", "fully-connected"])
def test_the_accuracy_of_comparisons_is_computed(kind: str) -> None:
    texts = [check_text(check(kind, axis=axis)) for axis in ("linear", "log")]
    assert all("Rank correlation of AuC and p: −0." in text for text in texts) and "over log k" in texts[1]


def test_classes_by_name_and_how_sure() -> None:
    readings = diagnosis_from_profile(profile(0.8, n_draws=2), {}).classes
    assert classes_text(readings) == "No class lies more than 0.02 below the classes' mean."
    assert classes_text(()) == ""
    sentence = class_text(readings[0], [f"name {i}" for i in range(10)])
    assert sentence.startswith(f"Class {readings[0].class_idx} (name {readings[0].class_idx}): AuC 0.7")
    assert "Not clearly lower" in sentence
