"""Suspects survive being stored, damage is noticed, and the quality of a ranking is what scikit-learn says."""

import json
from dataclasses import fields

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import nmfdiag
from nmfdiag.measures.suspects.ranking_quality import precision_recall, ranking_quality
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.measures.suspects.stored import from_payload, to_payload
from nmfdiag.zoo.registry import lookup


@pytest.fixture(scope="module")
def suspects() -> Suspects:
    entry = lookup("digits-mlp-p0.2-s0")
    pool = entry.load_pool()
    inputs, labels = pool.inputs[:300].clone(), pool.given_labels[:300].clone()
    inputs[7], labels[7] = inputs[3], (labels[3] + 1) % 10
    return nmfdiag.suspects(entry.load_model(), inputs, labels, class_names=entry.class_names)


def test_they_survive_json(suspects: Suspects) -> None:
    copy = from_payload(json.loads(json.dumps(to_payload(suspects), allow_nan=False)))
    for entry in fields(Suspects):
        value, copied_value = getattr(suspects, entry.name), getattr(copy, entry.name)
        if entry.name in ("_precision", "_sketch"):
            continue
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, copied_value) and value.dtype == copied_value.dtype, entry.name
        elif entry.name in ("components", "against_by_layer", "predicted"):
            assert list(value) == list(copied_value)
            assert all(np.array_equal(value[name], copied_value[name]) for name in value)
        else:
            assert value == copied_value, entry.name
    assert copy.to_frame().equals(suspects.to_frame()) and copy.to_dict() == suspects.to_dict()
    assert copy.reasons(3).contradicts == (7,) and copy.duplicates == ((3, 7),)
    neighbours = [suspects.reasons(i) == copy.reasons(i) for i in range(0, 300, 10)]
    assert np.mean(neighbours) > 0.9  # the sketch is in float16
    for n in (1, 10, 57, 150, 299, 300):
        assert copy.expected_precision(n) == pytest.approx(suspects.expected_precision(n), abs=0.02)
    again = from_payload(to_payload(copy))  # as from one cache to another
    assert again.expected_precision(57) == pytest.approx(copy.expected_precision(57))


@pytest.mark.parametrize(
    "damage",
    [
        {"type": "|O"},
        {"array": "AAAA"},
        {"array": "?"},
        {"shape": [299]},
    ],
)
def test_a_damaged_array_is_refused(suspects: Suspects, damage: dict[str, object]) -> None:
    payload = to_payload(suspects)
    payload["score"] |= damage
    with pytest.raises(ValueError):
        from_payload(payload)


def test_a_field_that_is_missing_or_unknown_is_refused(suspects: Suspects) -> None:
    payload = to_payload(suspects)
    with pytest.raises((KeyError, TypeError)):
        from_payload({name: value for name, value in payload.items() if name != "layers"})
    with pytest.raises(TypeError):
        from_payload(payload | {"surplus": 1})
    with pytest.raises(ValueError, match="differ in length"):
        from_payload(payload | {"given": payload["components"]["probe"] | {"shape": [150, 2]}})


def test_the_quality_of_a_ranking() -> None:
    generator = np.random.default_rng(0)
    wrong = generator.random(400) < 0.3
    score = (generator.random(400) + 0.5 * wrong).round(1)  # with ties
    quality = ranking_quality(score, wrong)
    assert quality and quality.auroc == pytest.approx(roc_auc_score(wrong, score))
    assert quality.average_precision == pytest.approx(average_precision_score(wrong, score))
    draws = []
    for _ in range(120):
        rows = generator.integers(0, 400, 400)
        draws.append(roc_auc_score(wrong[rows], score[rows]))
    low, high = np.quantile(draws, [0.025, 0.975])
    assert quality.low == pytest.approx(low, abs=0.02) and quality.high == pytest.approx(high, abs=0.02)
    precision, recall = precision_recall(score, wrong)
    for i, threshold in enumerate(sorted(set(score), reverse=True)):
        above = score >= threshold
        assert precision[i] == pytest.approx(wrong[above].mean())
        assert recall[i] == pytest.approx(wrong[above].sum() / wrong.sum())
    assert ranking_quality(score, np.zeros(400, bool)) is None and ranking_quality(score, np.ones(400, bool)) is None
