"""Whether a run memorises, by what its monitor wrote: on planted runs, and on those whose truth is recorded."""

from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
from planted_run_files import HEAD

from nmfdiag.evidence.records import histories, network_records
from nmfdiag.measures.memorised import MEMORISED
from nmfdiag.monitor.run_reader import Run
from nmfdiag.monitor.run_state import (
    FITTED_SHARE,
    LOW_AUC,
    MEMORISING,
    NOT_YET,
    TOO_FEW,
    UNKNOWN,
    judged,
    memorised_shares,
    run_state,
)
from nmfdiag.views.epochs import ALL
from nmfdiag.views.training_runs import sentences
from nmfdiag.views.training_runs.tables import Reading


def run_of(
    values_at: dict[int, tuple[float, float]],
    n_epochs: int,
    *,
    layers: str = "abc",
    first: int = 1,
    **logs: list[float],
) -> Run:
    """Return a run with (accuracy on the probe, relative AuC) at some of its epochs."""
    probe: dict[str, Any] = HEAD["probe"] | {"classes": 10, "method": "nmf", "overhead": 0.05}  # type: ignore[operator]
    epochs: list[dict[str, Any]] = []
    for i in range(n_epochs):
        epoch, curves = first + i, {}
        if epoch in values_at:
            baseline, relative = values_at[epoch]
            values = {"baseline": baseline, "relative": relative, "auc": baseline * relative, "first": 0.5}
            curves = {"nmf": dict.fromkeys(layers, values)}
        epochs.append({"epoch": epoch, "curves": curves, **{name: values[i] for name, values in logs.items()}})
    return Run("mine", "monitor", None, probe, {}, tuple(epochs), {})


RANDOM = {1: (0.1, 1.0), 25: (0.95, 0.85), 60: (1.0, 0.89)}
CLEAN = {1: (0.65, 1.05), 25: (1.0, 0.993), 60: (1.0, 0.993)}


def test_fitted_labels_at_a_low_auc_are_memorised_since_they_are_fitted() -> None:
    state = run_state(run_of(RANDOM, 60))
    assert (state.code, state.since, state.n_measured) == (MEMORISING, 25, 3)
    assert run_state(run_of({1: (0.1, 1.0), 30: (FITTED_SHARE - 0.01, LOW_AUC - 0.2)}, 30)).code == UNKNOWN
    assert run_state(run_of({1: (0.1, 1.0), 30: (1.0, LOW_AUC + 0.01)}, 30)).code == UNKNOWN


def test_the_same_loop_on_clean_and_on_random_labels_has_other_first_lines() -> None:
    texts = [sentences.state_text(run_state(run_of(values, 60)), "finished") for values in (RANDOM, CLEAN)]
    assert texts == ["Finished: memorising since epoch 25 or earlier", "Finished: can't tell whether it memorises"]


def test_one_outlier_neither_raises_nor_ends_it() -> None:
    early = {1: (0.1, 1.0)}
    high = {5: (1.0, 0.95), 6: (1.0, 0.95), 7: (1.0, 0.85)}
    assert run_state(run_of(early | high, 7)).code == UNKNOWN
    low = {5: (1.0, 0.85), 6: (1.0, 0.85), 7: (1.0, 0.95)}
    assert run_state(run_of(early | low, 7)).since == 5


def test_not_yet_needs_few_right_labels_or_ones_that_were_right_at_once() -> None:
    assert run_state(run_of({1: (0.1, 1.0), 2: (0.2, 0.8)}, 2)).code == NOT_YET
    assert run_state(run_of({1: (0.6, 1.0), 2: (0.97, 1.0), 9: (1.0, 1.0)}, 9)).code == NOT_YET
    assert run_state(run_of({1: (0.6, 1.0), 9: (1.0, 1.0)}, 9)).code == UNKNOWN
    # Resumed: its first measurement says nothing about the first passes.
    assert run_state(run_of({31: (0.99, 1.0), 32: (1.0, 1.0)}, 2, first=31)).code == UNKNOWN


def test_too_few_measurements_are_counted_and_the_cure_is_named() -> None:
    run = run_of({1: (0.1, 1.0)}, 60)
    state = run_state(run)
    assert (state.code, sentences.state_text(state, "under way")) == (TOO_FEW, "Too few measurements: 1")
    reading = Reading(label="mine", epoch=60, state="finished", values={1: 1.0}, patience=5)
    cure = "A logged `test_accuracy=` would tell."
    assert cure in sentences.explanation(reading, run, "relative", ALL, [])
    assert cure not in sentences.explanation(reading, run_of(RANDOM, 60), "relative", ALL, [])
    assert sentences.measured_text(run, state) == "1 of 60 epochs measured; `overhead=` (now 0.05) raises it."
    assert sentences.measured_text(run_of(RANDOM, 1), run_state(run_of(RANDOM, 1))) == ""


@pytest.mark.parametrize("change", [{"layers": "ab"}, {"per_class": 5}])
def test_what_the_records_do_not_cover_is_not_judged_by_them(change: dict[str, Any]) -> None:
    run = run_of(RANDOM, 60, layers=change.get("layers", "abc"))
    run = replace(run, probe=run.probe | {"per_class": change.get("per_class", 10)})
    assert run_state(run).code == UNKNOWN


def test_a_logged_test_accuracy_decides() -> None:
    gap = {"val_acc": [0.5, 0.6, 0.6], "train_acc": [0.5, 0.7, 0.8]}
    state = run_state(run_of(CLEAN, 3, **gap))
    assert (state.code, state.since) == (MEMORISING, 3) and "20 points more" in state.reason
    assert run_state(run_of(CLEAN, 3, val_acc=[0.6, 0.6, 0.7], train_acc=[0.5, 0.7, 0.8])).code == NOT_YET
    # In per cent it is not a share, so it does not count; a name without a place to measure does not either.
    assert run_state(run_of(CLEAN, 3, val_acc=[50.0, 60.0, 60.0], train_acc=[50.0, 70.0, 80.0])).code == TOO_FEW
    # Without its training accuracy, that on the probe counts.
    assert run_state(run_of({1: (0.5, 1.0), 3: (0.9, 1.0)}, 3, test_accuracy=[0.5, 0.6, 0.6])).code == MEMORISING


def test_labels_of_the_training_that_are_noisier_than_those_of_the_test_are_taken_into_account() -> None:
    logs = {"test_accuracy": [0.8, 0.75, 0.9], "train_accuracy": [0.5, 0.8, 1.0]}
    without_p = run_of({1: (0.5, 1.0), 2: (0.8, 1.0), 3: (1.0, 1.0)}, 3, **logs)
    assert run_state(without_p).code == UNKNOWN and "labels of the training look wrong" in run_state(without_p).reason
    with_p = run_of({1: (0.5, 1.0), 2: (0.8, 1.0), 3: (1.0, 1.0)}, 3, p=[0.4] * 3, **logs)
    assert memorised_shares(with_p)[3] == pytest.approx(1 - (0.6 * 0.9 + 0.04))
    assert (run_state(with_p).code, run_state(with_p).since) == (MEMORISING, 2)
    assert sentences.state_text(run_state(with_p), "under way") == "Memorising since epoch 2"


def test_the_states_hold_in_the_recorded_experiment() -> None:
    counts = judged(histories("early-stopping").values())
    assert counts[MEMORISING] == (20, 20) and counts[NOT_YET] == (34, 35)
    assert counts[UNKNOWN][1] / sum(n for _, n in counts.values()) == pytest.approx(0.83, abs=0.01)
    assert "20 of 20 and *not yet* at 34 of 35" in sentences.how_to_read()


def test_every_recorded_network_with_so_low_an_auc_memorises() -> None:
    shares = []
    for experiment in ("generalization", "data-size"):
        for record in network_records(experiment=experiment).values():
            if fmean(record.auc["single"]["nmf"]["linear"]) <= LOW_AUC * record.baseline["single"]:
                p = record.recipe.label_noise
                shares.append(record.train_accuracy - ((1 - p) * record.test_accuracy + p / 10))
    assert len(shares) > 70 and min(shares) >= MEMORISED
