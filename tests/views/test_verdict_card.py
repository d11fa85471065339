"""The answer on a network's card: finding, layers, doubts and test accuracy."""

from dataclasses import replace
from pathlib import Path

import pytest
from planted_references import profile, write_records

from nmfdiag.diagnosis.comparison import Comparison, compare_network
from nmfdiag.diagnosis.diagnose import Diagnosis
from nmfdiag.measures.phases import Phases
from nmfdiag.views.verdict_card import unseen_text, verdict
from nmfdiag.zoo.registry import lookup


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("records"))


def diagnosis(records: Path, level: float) -> Diagnosis:
    curves = profile(level)
    return Diagnosis(curves, Phases((), (), (), "planted"), "", comparison=compare_network(curves, folder=records))


def test_low_and_high_auc_get_different_verdicts(records: Path) -> None:
    low, high = verdict(diagnosis(records, 0.8)), verdict(diagnosis(records, 0.95))
    assert low.answer == "It looks like memorising" and "conv1 to conv4; least linear at" in low.where
    assert high.answer == "No sign of memorising" and high.where.startswith("At no layer")
    assert low.icon != high.icon and "only 1 is compatible" in low.sure and "only 0 is compatible" in high.sure


def test_a_network_without_comparison_has_a_reason(records: Path) -> None:
    alone = replace(diagnosis(records, 0.8), comparison=Comparison("other", reason="No reference is like it."))
    card = verdict(alone)
    assert (card.answer, card.sure) == ("Not compared", "No reference is like it.")
    assert card.where.startswith("Least linear at conv") and "AuC 0.79" in card.where
    assert verdict(replace(alone, comparison=None)).sure


def test_test_samples_are_named_apart() -> None:
    network = lookup("digits-mlp-p1-s0")
    assert unseen_text(network).startswith("Test accuracy 0.1") and "below training" in unseen_text(network)
    assert "not known" in unseen_text(replace(network, test_accuracy=None))
