"""Phases of planted AuC curves."""

import pytest

from nmfdiag.measures.auc_sentences import comparison
from nmfdiag.measures.phases import phases
from nmfdiag.measures.stats.summary import rank_correlation, spread

LAYERS = ["a", "b", "c", "d", "e"]


def test_three_phases() -> None:
    result = phases(LAYERS, [0.9, 0.8, 0.6, 0.8, 0.99], [0.01] * 5)
    assert (result.feature_extraction, result.memorisation, result.clustering) == (("a", "b"), ("c", "d"), ("e",))


@pytest.mark.parametrize(
    ("auc", "error", "reason"),
    [
        ([1.0] * 5, 0.0, "nothing dips"),
        ([0.9, 0.8, 0.7, 0.6, 0.5], 0.01, "no layer clusters"),
        ([0.9, 0.6, 0.7, 0.9, 1.0], 0.3, "dips by only"),
    ],
)
def test_no_clear_phases(auc: list[float], error: float, reason: str) -> None:
    result = phases(LAYERS, auc, [error] * 5)
    assert not result.clear and reason in result.reason and not result.memorisation


def test_comparison_names_the_layers_that_differ() -> None:
    clean = {"a": spread([0.9, 0.91]), "b": spread([0.9, 0.92]), "c": spread([1.0, 1.0])}
    noisy = {"a": spread([0.9, 0.92]), "b": spread([0.4, 0.42]), "c": spread([1.0, 1.0])}
    assert comparison({0.0: clean, 1.0: noisy}).startswith("b tells clean labels (p = 0) from random labels (p = 1)")
    assert "No layer" in comparison({0.0: clean, 1.0: clean})


def test_rank_correlation() -> None:
    assert rank_correlation([0, 1, 2], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([0, 1, 2], [1, 1, 1]) != rank_correlation([0, 1, 2], [1, 1, 1])
