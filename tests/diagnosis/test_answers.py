"""The three answers: on zoo networks, whose labels and test accuracy are known, and each way that the words can go."""

from dataclasses import replace

import numpy as np
import pytest

import nmfdiag
from nmfdiag.diagnosis import answers as a
from nmfdiag.diagnosis.expected_error import ExpectedError, expected_error
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.suspects.controls import NETWORK, PROBE
from nmfdiag.measures.suspects.noise_rate import NoiseRate
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.zoo.registry import lookup

NO_PHASES = Phases(reason="nothing dips")


def scored(name: str) -> tuple[Suspects, float, float]:
    """Return what a zoo network says about its labels, the share of wrong ones and its test error."""
    entry = lookup(name)
    pool = entry.load_pool()
    assert entry.test_accuracy is not None
    wrong = float((pool.given_labels != pool.true_labels).float().mean())
    return nmfdiag.suspects(entry.load_model(), pool.inputs, pool.given_labels), wrong, 1 - entry.test_accuracy


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("digits-mlp-p0-s0", a.GENERALISES),
        ("digits-mlp-p0.2-s1", a.NOISY_LABELS),
        ("digits-mlp-p0.6-s0", a.NOISY_LABELS),
        ("digits-cnn-p1-s0", a.NOISY_LABELS),
    ],
)
def test_zoo_networks_are_told_right(name: str, code: str) -> None:
    suspects, wrong, test_error = scored(name)
    error = expected_error(suspects.controls)
    assert error is not None
    by_name = a.answers(suspects.controls, error, NO_PHASES)
    labels, memorising = by_name[a.LABELS], by_name[a.MEMORISING]
    assert a.code_of(by_name) == code
    assert labels.low is not None and labels.high is not None and labels.low <= wrong <= labels.high
    assert error.low <= test_error <= error.high and abs(error.estimate - test_error) < 0.12
    memorised = 1 - (1 - wrong) * (1 - test_error)  # all labels are fitted
    assert memorising.low is not None and memorising.high is not None and memorising.estimate is not None
    assert memorising.low <= memorising.estimate <= memorising.high and abs(memorising.estimate - memorised) < 0.15
    assert memorising.code == (a.GENERALISES if code == a.GENERALISES else a.MEMORISES)
    assert all(answer.text.endswith(".") and answer.limits for answer in by_name.values())


def planted(predicted: list[int], probe: list[int], rate: NoiseRate) -> Suspects:
    """Return suspects of ten samples with the labels 0, 1, 0, 1 ... and planted predictions."""
    labels, n = np.arange(10) % 2, 10
    network, probed = np.array(predicted), np.array(probe)
    return Suspects(
        labels, np.zeros(n), 1 - labels, np.ones(n), np.zeros(n, int), {}, rate, ("a",), np.arange(n),
        against_by_layer={name: np.where(np.arange(n) < share, -1.0, 1.0) for name, share in (("a", 6), ("b", 8), ("c", 10))},
        accuracies={NETWORK: float((network == labels).mean()), PROBE: float((probed == labels).mean()), "probe of the inputs": 0.5},
        predicted={NETWORK: network, PROBE: probed},
    )  # fmt: skip


def test_the_controls_of_the_error() -> None:
    right = [0, 1] * 5
    suspects = planted(right, [0, 1] * 4 + [1, 0], NoiseRate(0.0, 0.0, 0.1, 10, swapped_high=0.05))
    assert suspects.controls.agreement == 0.8 and suspects.controls.confirmed == 1
    unfitted = planted([0, 0] * 5, right, suspects.noise_rate)
    assert unfitted.controls.agreement == 0.5 == unfitted.controls.confirmed
    worse, better = expected_error(unfitted.controls), expected_error(suspects.controls)
    assert worse is not None and better is not None and worse.estimate > better.estimate
    assert 0 <= better.low < better.estimate < better.high <= 1
    assert expected_error(replace(suspects, predicted={}).controls) is None


def test_each_strength_of_evidence_has_its_words() -> None:
    right = [0, 1] * 5
    small, large = ExpectedError(0.02, 0.01, 0.05), ExpectedError(0.4, 0.3, 0.5)
    clean = NoiseRate(0.0, 0.0, 0.1, 10, swapped_high=0.03)
    rates = {
        "clean": clean,
        "few": NoiseRate(0.05, 0.02, 0.2, 10, swapped_high=0.08),
        "many": NoiseRate(0.4, 0.27, 0.5, 10, swapped_high=0.5),
        "unclear": NoiseRate(0.2, 0.0, 0.4, 10, swapped_high=0.4),
        "unknown": NoiseRate(0.0, 0.0, 0.5, 10, swapped_high=0.4),
        "not told": NoiseRate(0.0, 0.0, 1.0, 10, "most classes have fewer than 5 samples"),
    }

    def code_and_sentence(rate: str, error: ExpectedError | None, predicted: list[int] = right) -> tuple[str, str]:
        by_name = a.answers(planted(predicted, right, rates[rate]).controls, error, NO_PHASES)
        return a.code_of(by_name), a.headline(by_name, error)

    assert code_and_sentence("clean", small) == (
        a.GENERALISES,
        "No sign of wrong labels (at most 10 %); it generalises: expected error 0.01 to 0.05.",
    )
    code, sentence = code_and_sentence("clean", large)
    assert (
        code == a.MEMORISES
        and "generalises less than its training accuracy says: expected error 0.30 to 0.50" in sentence
    )
    assert code_and_sentence("few", small)[1].startswith("Few labels look wrong (about 5.0 %); it generalises")
    code, sentence = code_and_sentence("many", large)
    assert code == a.NOISY_LABELS and sentence.startswith(
        "At least 27 % of the labels look wrong, and the network memorises"
    )
    assert "has not memorised them" in code_and_sentence("many", small, [0, 1] * 3 + [1, 0] * 2)[1]
    assert code_and_sentence("unclear", large)[1].startswith("About 20 % of the labels look wrong")
    for rate in ("unknown", "not told"):
        code, sentence = code_and_sentence(rate, small)
        assert code == a.INCONCLUSIVE and sentence.startswith("Can't tell.")
    assert code_and_sentence("clean", None)[0] == a.INCONCLUSIVE
    assert a.code_of(a.answers(None, None, NO_PHASES)) == a.INCONCLUSIVE


def test_where_has_the_layer_and_what_auc_says() -> None:
    suspects = planted([0, 1] * 5, [0, 1] * 5, NoiseRate(0.0, 0.0, 0.1, 10, swapped_high=0.03))
    answer = a.where_answer(suspects.controls, Phases(("a",), ("b",), ("c",)))
    assert (answer.code, answer.estimate) == (a.AT_A_LAYER, pytest.approx(1 / 3)) and "at b" in answer.text
    assert answer.evidence == ("AuC dips at b.",)
    gradual = replace(
        suspects,
        against_by_layer={
            name: np.where(np.arange(10) < n, -1.0, 1.0) for name, n in zip("abcdef", (5, 6, 7, 8, 9, 10), strict=True)
        },
    )
    assert a.where_answer(gradual.controls, NO_PHASES).code in (a.GRADUALLY, a.UNKNOWN)


def test_a_network_that_predicts_little_is_not_said_to_generalise() -> None:
    clean = NoiseRate(0.0, 0.0, 0.1, 10, swapped_high=0.03)
    suspects = planted([1, 0] * 4 + [0, 0], [0, 1] * 5, clean)
    error = expected_error(suspects.controls)
    assert error is not None and error.estimate > 0.5
    assert a.memorising_answer(suspects, error).code == a.UNKNOWN
    assert a.code_of(a.answers(suspects.controls, error, NO_PHASES)) == a.INCONCLUSIVE
    wide = replace(suspects, noise_rate=NoiseRate(0.3, 0.0, 1.0, 10, swapped_high=0.9))
    assert expected_error(wide.controls) is None and a.labels_answer(wide.controls).code == a.UNKNOWN
