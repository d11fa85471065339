"""Where given labels become readable: planted accuracies, and networks of the zoo."""

from collections.abc import Sequence

import pytest

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import SuspectsRequest
from nmfdiag.jobs.score_labels import score
from nmfdiag.measures.suspects.probe_depth import SUDDEN, ProbeDepth, depth_of, probe_depth


def depth(accuracies: Sequence[float], chance: float = 0.1) -> ProbeDepth:
    return probe_depth(dict(zip("abcdefghijklm", accuracies, strict=False)), chance)


def test_memorised_labels_become_readable_at_once() -> None:
    result = depth([0.12, 0.1, 0.15, 0.75, 1.0])
    assert (result.jump, result.before, result.after) == ("d", 0.15, 0.75) and result.share == pytest.approx(2 / 3)
    assert result.clear and result.is_sudden
    assert result.text == "Given labels become readable at once at d: 15 % of them before, 75 % there."


def test_right_labels_become_readable_gradually() -> None:
    result = depth([0.38, 0.43, 0.49, 0.54, 0.7, 0.84, 0.93, 1.0])
    assert result.clear and not result.is_sudden and result.share == pytest.approx(0.16 / 0.9)
    assert result.text == "Given labels become readable gradually, most at e (54 % to 70 %)."


def test_a_fall_is_not_regained_as_a_rise() -> None:
    result = depth([0.3, 0.6, 0.2, 0.6, 0.85])  # from c to d nothing is new
    assert (result.jump, result.before) == ("b", 0.3) and result.share == pytest.approx(0.3 / 0.75)
    assert depth([0.3, 0.2, 0.1, 0.25, 0.5]).before == 0.3


def test_the_threshold_belongs_to_sudden() -> None:
    rise = 0.8 * SUDDEN
    step = (0.8 - rise) / 3
    first, second = 0.1 + step, 0.1 + 2 * step
    assert depth([first, second, second + rise + 1e-6, 0.9]).is_sudden
    assert not depth([first, second, second + rise - 0.01, 0.9]).is_sudden


@pytest.mark.parametrize(
    ("accuracies", "chance", "reason", "jump"),
    [
        ([0.98, 0.97, 1.0, 1.0], 0.1, "the first layer, a, already separates them (98 %)", "c"),
        ([0.96, 0.96, 0.96], 0.1, "the first layer, a, already separates them (96 %)", ""),
        ([0.72, 0.93, 0.99, 1.0], 0.1, "72 % of them are readable at the first layer, a, already", "b"),
        (
            [0.12, 0.11, 0.17, 0.1],
            0.1,
            "the best layer's probe names 17 % of them, and always naming the largest class 10 %",
            "",
        ),
        (
            [0.9, 0.9, 0.9],
            0.9,
            "the best layer's probe names 90 % of them, and always naming the largest class 90 %",
            "",
        ),
        (
            [0.05, 0.02, 0.04],
            0.1,
            "the best layer's probe names 5.0 % of them, and always naming the largest class 10 %",
            "",
        ),
        ([0.2, 0.9], 0.1, "only 2 layers could be probed, and it takes 3", "b"),
        ([0.8], 0.1, "only 1 layer could be probed, and it takes 3", ""),
    ],
)
def test_where_it_cannot_be_told_it_says_why(accuracies: list[float], chance: float, reason: str, jump: str) -> None:
    result = depth(accuracies, chance)
    assert not result.clear and not result.is_sudden and result.jump == jump
    assert result.text == f"Whether given labels become readable gradually or at once can't be told: {reason}."


@pytest.mark.parametrize(
    ("accuracies", "chance", "message"),
    [
        ([], 0.1, "at least one"),
        ([0.1, float("nan")], 0.1, "the accuracy of b is nan"),
        ([0.1, 1.2], 0.1, "the accuracy of b is 1.2"),
        ([0.1, 0.2], 10, "chance is 10"),
    ],
)
def test_wrong_input_is_a_sentence(accuracies: list[float], chance: float, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        depth(accuracies, chance)


@pytest.mark.parametrize(
    ("accuracies", "jump", "is_sudden"),
    [
        ([0.43, 0.48, 0.55, 0.59, 0.7, 0.84, 0.93, 1.0, 1.0, 1.0], "f", False),  # CIFAR-10 CNN, p = 0
        ([0.26, 0.26, 0.3, 0.34, 0.4, 0.52, 0.72, 0.96, 1.0, 1.0], "h", False),  # p = .4, hidden by the right labels
        ([0.11, 0.13, 0.14, 0.15, 0.14, 0.15, 0.27, 0.78, 1.0, 1.0], "h", True),  # p = .8
        ([0.37, 0.4, 0.42, 0.43, 0.45, 0.46, 0.53, 0.56, 0.61, 0.89, 0.97, 1.0, 1.0], "j", False),  # residual, p = 0
        ([0.1, 0.11, 0.1, 0.11, 0.12, 0.11, 0.11, 0.1, 0.12, 0.24, 0.75, 1.0, 1.0], "k", True),  # p = 1
        ([0.344, 0.461, 0.48, 0.629, 0.793, 0.957, 1.0, 1.0, 1.0], "e", False),  # spoken digits, p = 0
        ([0.11, 0.11, 0.1, 0.11, 0.16, 0.17, 0.43, 0.85, 1.0], "h", True),  # p = 1
    ],
)
def test_figures_that_were_measured_on_zoo_networks(accuracies: list[float], jump: str, is_sudden: bool) -> None:
    result = depth(accuracies)
    assert result.clear and (result.jump, result.is_sudden) == (jump, is_sudden)


def test_digits_with_right_and_with_random_labels() -> None:
    right, random = (depth_of(score(SuspectsRequest(f"digits-cnn-p{p}-s0"), device="cpu").controls) for p in (0, 1))
    assert right.reason.startswith("the first layer, conv1_1, already separates them")  # so easy are digits
    assert right.chance == pytest.approx(0.1) and random.chance == pytest.approx(0.12)
    assert random.is_sudden and random.jump == "conv2_2"
