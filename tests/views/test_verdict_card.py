"""A network's answers as far as they are known, its figures beside the truth, and what reference networks add."""

from dataclasses import replace
from pathlib import Path

import pytest
from planted_references import profile, write_records

from nmfdiag.diagnosis.answer_text import NOT_KNOWN, dip_name, second_opinion_text
from nmfdiag.diagnosis.answers import GENERALISES, INCONCLUSIVE, LABELS, MEMORISES, MEMORISING, NOISY_LABELS, WHERE
from nmfdiag.diagnosis.comparison import Comparison, compare_network
from nmfdiag.diagnosis.diagnose import diagnosis_from_profile
from nmfdiag.jobs.requests import SuspectsRequest
from nmfdiag.jobs.score_labels import score
from nmfdiag.measures.suspects.noise_rate import NoiseRate
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.views.answers import ICONS, OPINION_LATER, WAITING_ICON, answers_so_far
from nmfdiag.views.verdict_card import UNTESTED, figures, truth_of, truth_text
from nmfdiag.zoo.registry import lookup

CLEAN, RANDOM = "digits-mlp-p0-s0", "digits-mlp-p1-s0"


@pytest.fixture(scope="module")
def scored() -> dict[str, Suspects]:
    return {name: score(SuspectsRequest(name), device="cpu") for name in (CLEAN, RANDOM)}


@pytest.fixture(scope="module")
def comparisons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Comparison]:
    """Return the comparison of a network with low and of one with high AuC."""
    records: Path = write_records(tmp_path_factory.mktemp("records"))
    return {name: compare_network(profile(level), folder=records) for name, level in (("low", 0.8), ("high", 0.95))}


def test_answers_come_before_the_curves(scored: dict[str, Suspects]) -> None:
    clean, random = (answers_so_far(scored[name].controls, None) for name in (CLEAN, RANDOM))
    assert (clean.icon, random.icon) == (ICONS[GENERALISES], ICONS[NOISY_LABELS])
    assert "generalises" in clean.sentence and "of the labels look wrong" in random.sentence
    assert WHERE not in clean.answers and "at once at fc" in random.answers[WHERE].text
    assert clean.opinion == random.opinion == OPINION_LATER and random.error is not None


def test_figures_stand_beside_the_truth(scored: dict[str, Suspects]) -> None:
    entry, suspects = lookup(RANDOM), scored[RANDOM]
    truth = truth_of(entry, suspects.controls)
    pool = entry.load_pool()
    wrong = float((pool.given_labels != pool.true_labels).float().mean())
    assert truth is not None and truth.wrong == pytest.approx(wrong) and truth.error == 1 - entry.test_accuracy  # type: ignore[operator]
    assert truth.memorised == pytest.approx(1 - (1 - wrong) * entry.test_accuracy, abs=1e-6)  # type: ignore[operator]
    labels, memorised, _ = figures(answers_so_far(suspects.controls, None), truth)
    assert labels.is_right and memorised.is_right and labels.truth == f"{100 * wrong:.0f} %"
    fooled = replace(suspects, noise_rate=NoiseRate(0.0, 0.0, 0.02, 1000, swapped_high=0.02))
    state = answers_so_far(fooled.controls, None)
    assert figures(state, truth)[0].is_right is False and figures(state, truth)[0].text == "at most 2.0 %"
    assert all(f.is_right is None and not f.truth for f in figures(state, None))
    assert truth_of(replace(entry, called="mine"), suspects.controls) is None


def test_what_cannot_be_told_is_neither_right_nor_wrong(scored: dict[str, Suspects]) -> None:
    unknown = replace(scored[RANDOM], noise_rate=NoiseRate(0.0, 0.0, 1.0, 1000, "too few samples"))
    state, truth = answers_so_far(unknown.controls, None), truth_of(lookup(RANDOM), unknown.controls)
    assert state.icon == ICONS[INCONCLUSIVE] and state.sentence.startswith("Can't tell") and WHERE not in state.answers
    assert [(f.text, f.is_right) for f in figures(state, truth)] == [(NOT_KNOWN, None)] * 3


def test_before_the_labels_are_scored_nothing_is_said() -> None:
    state = answers_so_far(None, None)
    assert (
        state.icon == WAITING_ICON and not state.answers and [f.text for f in figures(state, None)] == [NOT_KNOWN] * 3
    )
    failed = answers_so_far(None, None, "The file is damaged.")
    assert failed.icon == ICONS[INCONCLUSIVE] and failed.sentence.endswith("The file is damaged.")


def test_no_sentence_of_a_network_that_generalises_says_that_it_memorises(scored: dict[str, Suspects]) -> None:
    auc = (0.9, 0.5, 0.6, 0.99)  # a clear dip, which any network may have
    curves = profile(0.8)
    dipping = replace(
        curves,
        measured=tuple(replace(m, curve=replace(m.curve, accuracy=[auc[m.depth]] * 5)) for m in curves.measured),
    )
    diagnoses = {name: diagnosis_from_profile(dipping, {}, suspects=scored[name]) for name in (CLEAN, RANDOM)}
    assert all(d.phases.memorisation == ("conv2", "conv3") for d in diagnoses.values())
    clean, random = (answers_so_far(scored[name].controls, d) for name, d in diagnoses.items())
    assert WHERE not in clean.answers and "conv2" in random.answers[WHERE].evidence[0]
    assert dip_name(clean.answers) == "dip" and dip_name(random.answers) == "memorisation"
    assert "emoris" not in " ".join([clean.sentence, clean.answers[LABELS].text])
    assert clean.answers[MEMORISING].code == GENERALISES


def test_the_second_opinion_agrees_or_says_that_it_does_not(comparisons: dict[str, Comparison]) -> None:
    low, high = comparisons["low"], comparisons["high"]
    for code, comparison in ((GENERALISES, high), (NOISY_LABELS, low), (MEMORISES, low)):
        assert second_opinion_text(code, comparison).startswith("Agrees. Matches only networks trained on ")
    for code, comparison in ((GENERALISES, low), (NOISY_LABELS, high), (MEMORISES, high)):
        assert second_opinion_text(code, comparison).startswith("Disagrees. ")
    assert second_opinion_text(INCONCLUSIVE, low).startswith("Matches only networks trained on random labels.")
    assert second_opinion_text(GENERALISES, Comparison("other", reason="No reference is like it.")) == (
        "None. No reference is like it."
    )
    assert second_opinion_text(GENERALISES, None).startswith("None: ")


def test_the_truth_in_words() -> None:
    network = lookup("digits-mlp-p0.4-s0")
    assert truth_text(network) == "True: 40 % random labels, test accuracy 0.70."
    assert truth_text(lookup(CLEAN)).startswith("True: clean labels")
    assert truth_text(replace(network, test_accuracy=None)) == truth_text(replace(network, called="mine")) == UNTESTED
