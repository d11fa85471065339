"""A training's history joins the suspects: by number, only where the labels are the same, and whatever it holds is checked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import nmfdiag
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.suspects.history import TrainingHistory, history_ranks
from nmfdiag.zoo.registry import ProbePool, lookup

NOISY = "digits-mlp-p0.2-s0"
MARGIN = np.array([3.0, -1.0, 2.0, 0.5])
LABELS = np.array([0, 1, 0, 1])


@pytest.fixture(scope="module")
def pool() -> ProbePool:
    return lookup(NOISY).load_pool()


def test_a_history_joins_the_score_by_the_samples_numbers(pool: ProbePool, tmp_path: Path) -> None:
    model, given_labels = lookup(NOISY).load_model(), pool.given_labels.numpy()
    wrong = given_labels != pool.true_labels.numpy()
    margin = np.random.default_rng(0).random(len(wrong)) - 0.8 * wrong
    alone = nmfdiag.suspects(model, pool.inputs, pool.given_labels)
    joined = nmfdiag.suspects(model, pool.inputs, pool.given_labels, history={"margin": margin})
    assert list(joined.components)[:3] == ["probe", "shift", "history"]
    assert joined.components["history"].argmax() == margin.argmin() and joined.components["history"].max() == 1
    assert roc_auc_score(wrong, joined.score) > roc_auc_score(wrong, alone.score)
    assert roc_auc_score(wrong, joined.components["history"]) == pytest.approx(roc_auc_score(wrong, -margin))

    seen_epochs = np.ones(len(wrong) - 50, int)  # the last 50 samples were never seen, and three were not either
    seen_epochs[:3] = 0
    record = TrainingHistory.from_arrays({"margin": margin[:-50], "epochs": seen_epochs, "given": given_labels[:-50]})
    record.save(tmp_path / "history.npz")
    part = nmfdiag.suspects(model, pool.inputs, pool.given_labels, per_class=40, history=tmp_path)
    without = nmfdiag.suspects(model, pool.inputs, pool.given_labels, per_class=40)
    missing = (part.indices < 3) | (part.indices >= len(wrong) - 50)
    assert 0 < missing.sum() < 60 and np.array_equal(np.isnan(part.components["history"]), missing)
    assert np.allclose(part.score[missing], without.score[missing])
    assert not np.allclose(part.score[~missing], without.score[~missing])
    assert any(f"Without history: {missing.sum()} samples" in remark for remark in part.remarks)
    assert part.to_dict()["suspects"] and len(part.to_frame()) == len(part.given)
    with pytest.raises(NmfdiagError, match="order of their numbers"):
        nmfdiag.suspects(model, pool.inputs.flip(0), pool.given_labels.flip(0), history=record)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = TrainingHistory.from_arrays({"margin": MARGIN, "epochs": [4, 4, 3, 4], "n_epochs": 4, "n_skipped": 17})
    record.save(tmp_path / "history-1.npz")
    again = TrainingHistory.load(str(tmp_path))
    for name in ("margin", "epochs", "confidence", "forgotten", "given"):
        assert np.array_equal(getattr(again, name), getattr(record, name), equal_nan=name == "confidence")
    assert "4 samples over 4 recorded epochs; 17 skipped batches" in again.statement
    record.save(tmp_path / "history-2.npz")
    with pytest.raises(NmfdiagError, match=r"history-1\.npz, history-2\.npz: name the file"):
        TrainingHistory.load(tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["history-1.npz", "history-2.npz"]


def test_samples_that_were_trained_with_another_label_have_no_history() -> None:
    labels = np.arange(40) % 4
    trained_labels = labels.copy()
    trained_labels[7] = 0
    record = TrainingHistory.from_arrays({"margin": np.linspace(1, 2, 40), "given": trained_labels})
    ranks, remarks = history_ranks(record, labels, np.arange(40), 40)
    assert np.isnan(ranks[7]) and np.nanmax(ranks) == ranks[0] == 1 and "history of 1 sample is not used" in remarks[0]


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({"margin": [1.0, np.nan, 2, 3]}, "NaN or infinite for 1 sample with"),
        ({"margin": MARGIN, "epochs": [1, 2, 3]}, r"epochs has the shape \(3,\)"),
        ({"margin": MARGIN, "epochs": [1, 2, -3, 1]}, "count from 0"),
        ({"margin": MARGIN, "given": [0.5, 1, 0, 1]}, "given must be whole numbers"),
        ({"margin": ["a", "b", "c", "d"]}, "margin must be numbers"),
        ({"margin": [[1.0, 2], [3, 4]]}, "one number per sample"),
        ({"margin": [[1.0, 2], [3]]}, "must be an array"),
        ({"aum": MARGIN}, "A history has no aum"),
        ({"epochs": [1, 1, 1, 1]}, "needs margin"),
        ({"margin": MARGIN, "n_epochs": -1}, "whole number from 0"),
        ({"margin": np.ones(5)}, "goes up to sample 4, and there are 4"),
        ({"margin": np.ones(3)}, "3 rows and no labels, and there are 4"),
        ({"margin": MARGIN, "epochs": [0, 0, 0, 0]}, "holds none of these samples"),
        ({"margin": MARGIN, "given": [1, 0, 1, 0]}, "another label for 4 of 4 samples"),
        ("no-such-file.npz", "There is no history"),
        (3, "history is of type int"),
    ],
)
def test_what_is_wrong_is_one_sentence(history: Any, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        history_ranks(history, LABELS, np.arange(4), 4)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "history.npz").write_bytes(b"no archive")
    with pytest.raises(NmfdiagError, match=r"not a readable \.npz"):
        TrainingHistory.load(tmp_path)
    with pytest.raises(NmfdiagError, match=r"saved as \.npz"):
        TrainingHistory.from_arrays({"margin": MARGIN}).save(tmp_path / "history.json")
