"""The training set behind the samples: what answers are about, and where AuC can judge nothing."""

import numpy as np
import pytest
from torch import nn

import nmfdiag
from nmfdiag.diagnosis.answer_text import second_opinion_text
from nmfdiag.diagnosis.answers import INCONCLUSIVE, NOISY_LABELS
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.training_set import MOST_PARAMETERS, OUTSIDE, TrainingSet, check_train_size
from nmfdiag.zoo.registry import lookup


@pytest.mark.parametrize(
    ("training_set", "text"),
    [
        (TrainingSet(), ""),
        (TrainingSet(None, 50_000), ""),
        (TrainingSet(400), "Judged by 400 of its training samples; how many it was trained on was not given."),
        (TrainingSet(400, 400), "Judged by all of its 400 training samples."),
        (
            TrainingSet(400, 50_000),
            "Judged by 400 of its 50,000 training samples: shares of labels and their intervals are about all 50,000, if the 400 were drawn from "
            "them at random.",
        ),
        (
            TrainingSet(60, 400, selected_classes=("1", "2", "3")),
            "Judged by 60 of its training samples, from classes 1, 2 and 3 alone: the answers are about these classes.",
        ),
        (
            TrainingSet(60, None, selected_classes=("cat",)),
            "Judged by 60 of its training samples, from class cat alone: the answers are about this class.",
        ),
        (
            TrainingSet(60, 60, selected_classes=tuple("abcdefghijk")),
            "Judged by 60 of its training samples, from 11 of its classes alone: the answers are about these classes.",
        ),
    ],
)
def test_what_answers_are_about(training_set: TrainingSet, text: str) -> None:
    assert training_set.extent == text


def test_too_many_parameters_for_so_few_samples() -> None:
    limit = MOST_PARAMETERS * 400
    assert TrainingSet(400, 400, limit).objection == "" == TrainingSet(400, None, 10 * limit).objection
    assert TrainingSet(400, 400, 0).objection == TrainingSet(400, 400, None).objection == ""
    objection = TrainingSet(200, 400, 11_181_642).objection
    assert objection.startswith(f"{OUTSIDE}: the network has 27,954 parameters for each of its 400 training samples.")
    assert TrainingSet(200, 400, limit + 1).objection


@pytest.mark.parametrize("size", [0, 399, -1, 1e6, True, "400"])
def test_what_is_no_size(size: object) -> None:
    with pytest.raises(NmfdiagError, match=rf"train_size is {size!r}; expected a whole number of at least 400"):
        check_train_size(size, 400)  # type: ignore[arg-type]


def test_what_is_a_size() -> None:
    assert check_train_size(400, 400) == 400 and check_train_size(None, 400) is None
    for size in (np.int64(500), np.uint16(500)):
        assert type(check_train_size(size, 400)) is int and check_train_size(size, 400) == 500  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def samples() -> tuple[nn.Module, object, object]:
    entry = lookup("digits-mlp-p0-s0")
    pool = entry.load_pool()
    return entry.load_model(), pool.inputs[:250], pool.given_labels[:250]


def test_a_diagnosis_says_what_it_is_about(samples: tuple[nn.Module, object, object]) -> None:
    model, inputs, labels = samples
    diagnosis = nmfdiag.diagnose(model, inputs, labels, per_class=6, layers=["fc1"])  # type: ignore[arg-type]
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    unknown = diagnosis.to_dict()
    assert unknown["training_set"] == {"samples": 250, "size": None, "parameters": n_parameters}
    assert "how many it was trained on was not given" in " ".join(unknown["remarks"])
    with pytest.raises(NmfdiagError, match="train_size is 249; expected a whole number of at least 250"):
        nmfdiag.diagnose(model, inputs, labels, per_class=6, layers=["fc1"], train_size=249)  # type: ignore[arg-type]


def test_the_second_opinion_outside_of_what_auc_can_judge(
    samples: tuple[nn.Module, object, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs, labels = samples
    options = {"per_class": 12, "train_size": 1200}
    inside = nmfdiag.diagnose(model, inputs, labels, **options)  # type: ignore[arg-type]
    monkeypatch.setattr("nmfdiag.measures.training_set.MOST_PARAMETERS", 1)
    outside = nmfdiag.diagnose(model, inputs, labels, **options)  # type: ignore[arg-type]
    assert inside.comparison is not None and inside.comparison.place is not None
    assert outside.comparison is not None and outside.comparison.place is None and outside.comparison.is_outside
    assert outside.answers == inside.answers and outside.code == inside.code  # they rest on its own samples
    for code in (INCONCLUSIVE, NOISY_LABELS):
        assert second_opinion_text(code, outside.comparison) == outside.comparison.reason
    assert outside.second_opinion == outside.comparison.reason and outside.second_opinion.startswith(OUTSIDE)
    record = outside.to_dict()
    assert record["comparison"]["reason"].startswith(OUTSIDE) and record["second_opinion"] == outside.second_opinion
    assert outside.comparison.reason in outside.html()


def test_suspects_say_what_their_share_is_about(samples: tuple[nn.Module, object, object]) -> None:
    model, inputs, labels = samples
    suspects = nmfdiag.suspects(model, inputs, labels, train_size=1200)  # type: ignore[arg-type]
    assert suspects.to_dict()["train_size"] == 1200 and suspects.extent == TrainingSet(250, 1200).extent
