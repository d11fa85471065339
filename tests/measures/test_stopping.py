"""Rules for stopping: planted series with known peaks, brute-force oracles, and the cost of a stop."""

import random

import numpy as np
import pytest

from nmfdiag.measures.stopping import (
    BASELINES,
    PRIMARY_RULES,
    RULES,
    Outcome,
    Series,
    Stop,
    first_peak,
    first_reaching,
    layer_mean,
    maximum,
    mean_series,
    minimum,
    outcome,
    over_seeds,
    plateau,
    smoothed,
    to_the_end,
)
from nmfdiag.zoo.experiments import EXPERIMENTS

LOSS = [2.0, 1.0, 0.5, 0.8, 1.5]
ACCURACY = [0.2, 0.5, 0.6, 0.7, 0.55]


def noisy(seed: int, n: int = 30) -> list[float | None]:
    draw = random.Random(seed)
    return [None if draw.random() < 0.1 else round(draw.random(), 1) for _ in range(n)]  # with ties and gaps


def test_the_mean_over_layers_needs_every_layer() -> None:
    assert layer_mean([[0.2, 0.4, None], [0.6, None, None]]) == [pytest.approx(0.4), None, None]
    assert layer_mean([[0.2, None]]) == [0.2, None]


@pytest.mark.parametrize("window", [1, 3, 5])
def test_smoothing_is_a_centred_mean_that_narrows_at_the_ends(window: int) -> None:
    x = np.random.default_rng(0).random(12)
    result = smoothed(list(x), window)
    half = window // 2
    for i in range(12):
        reach = min(half, i, 11 - i)
        assert result[i] == pytest.approx(x[i - reach : i + reach + 1].mean())
    assert (result == pytest.approx(list(x))) == (window == 1)


def test_smoothing_leaves_a_symmetric_peak_where_it_is_and_gaps_open() -> None:
    peaked: list[float | None] = [-abs(e - 4.0) for e in range(12)]
    assert maximum(smoothed(peaked, 5)) == maximum(peaked) == Stop(5, 12)
    assert smoothed([1.0, None, 3.0, 5.0], 3) == [1.0, None, 4.0, 5.0]


@pytest.mark.parametrize("seed", range(20))
def test_extrema_are_the_earliest_ones(seed: int) -> None:
    series = noisy(seed)
    present = [(value, -epoch) for epoch, value in enumerate(series, 1) if value is not None]
    assert maximum(series) == Stop(-max(present)[1], 30)
    assert minimum(series) == Stop(min((v, -e) for v, e in present)[1], 30)
    assert plateau(series) == sum(value == max(present)[0] for value in series)


def test_rounding_does_not_move_a_peak() -> None:
    ones: list[float | None] = [0.5, sum([0.1] * 10), 1.0, 1.0]  # the second is just below 1
    assert maximum(ones) == Stop(2, 4) and plateau(ones) == 3


@pytest.mark.parametrize("patience", [1, 2, 5])
@pytest.mark.parametrize("seed", range(20))
def test_the_first_peak_is_the_first_value_that_is_not_beaten_in_time(seed: int, patience: int) -> None:
    series = noisy(seed)

    def beaten(epoch: int) -> bool:
        value = series[epoch - 1]
        later = series[epoch : epoch + patience]
        return any(v is not None and value is not None and v > value for v in later)

    present = [e for e in range(1, 31) if series[e - 1] is not None]
    records = [e for e in present if all((series[k - 1] or 0) < (series[e - 1] or 0) for k in present if k < e)]
    best = next(e for e in records if not beaten(e))
    assert first_peak(series, patience) == Stop(best, min(best + patience, 30))


@pytest.mark.parametrize("seed", range(20))
def test_the_first_peak_looks_at_nothing_that_comes_later(seed: int) -> None:
    series = noisy(seed)
    stop = first_peak(series, 3)
    assert stop is not None and first_peak(series[: stop.decided], 3) == stop
    later: list[float | None] = [9.0] * 5
    if stop.decided - stop.kept == 3:
        assert first_peak([*series[: stop.decided], *later], 3) == stop
    before = first_peak(series[: stop.decided - 1], 3)
    assert before is None or before.decided == stop.decided - 1  # it had not stopped yet


def test_a_series_that_rises_to_its_end_is_trained_to_its_end() -> None:
    rising: list[float | None] = [0.1 * e for e in range(8)]
    assert first_peak(rising) == maximum(rising) == to_the_end(rising) == Stop(8, 8)


@pytest.mark.parametrize("rule", [maximum, minimum, first_peak])
def test_a_series_without_values_stops_nowhere(rule: type) -> None:
    assert rule([None, None]) is None and rule([]) is None


def test_a_level_that_is_not_reached_stops_nowhere() -> None:
    assert first_reaching([0.5, None, 0.98, 1.0]) == Stop(3, 3)
    assert first_reaching([0.5, 0.97]) is None


def test_what_a_stop_costs() -> None:
    result = outcome(Stop(2, 5), LOSS, ACCURACY)
    assert (result.kept, result.decided, result.from_minimum) == (2, 5, -1)
    assert result.regret == pytest.approx(0.2) and result.gain == pytest.approx(-0.05)
    assert result.loss_regret == pytest.approx(0.5) and result.loss_gain == pytest.approx(0.5)
    assert (result.test_accuracy, result.test_loss, result.accuracy_when_decided) == (0.5, 1.0, 0.55)


@pytest.mark.parametrize("epoch", range(1, 6))
def test_no_stop_beats_the_best_epoch_and_the_end_gains_nothing(epoch: int) -> None:
    result = outcome(Stop(epoch, epoch), LOSS, ACCURACY)
    assert result.regret >= 0 and result.loss_regret >= 0
    assert (result.regret == 0) == (epoch == 4) and (result.loss_regret == 0) == (epoch == 3)
    if epoch == 5:
        assert result.gain == result.loss_gain == 0


def test_the_spread_over_seeds_is_that_of_differences_within_runs() -> None:
    """Spread over very different runs whose stops gain the same: the gain has none, the accuracies have."""
    runs = [outcome(Stop(2, 2), LOSS, [a, a + 0.1, a]) for a in (0.1, 0.4, 0.8)]
    spreads = over_seeds(runs)
    assert (
        spreads["gain"].mean == pytest.approx(0.1)
        and spreads["gain"].sem == pytest.approx(0, abs=1e-12)
        and spreads["gain"].n == 3
    )
    accuracies = [0.2, 0.5, 0.9]
    assert spreads["test_accuracy"].sem == pytest.approx(np.std(accuracies, ddof=1) / 3**0.5)
    assert set(spreads) == set(Outcome.__dataclass_fields__)


def test_a_mean_over_runs_goes_as_far_as_the_shortest() -> None:
    means = mean_series([[1.0, 2.0, 3.0], [3.0, None]])
    assert means[0] is not None and means[0].mean == 2.0 and means[0].n == 2 and means[1:] == [None]


@pytest.mark.parametrize("name", RULES)
def test_every_rule_runs_and_an_online_one_ends_when_it_has_decided(name: str) -> None:
    rule = RULES[name]
    series: Series = [0.1, 0.99, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.9, 0.99, 0.2]
    stop = rule.stop(series)
    assert stop is not None and 1 <= stop.kept <= stop.decided <= len(series)
    assert rule.online or stop.decided == len(series)
    assert rule.measure in ("", "nmf", "random", "nmf on fitted") and (rule.sees == "test") == (name == "oracle")


def test_the_declared_rules() -> None:
    auc, k1 = RULES[PRIMARY_RULES["early-stopping"]], RULES[PRIMARY_RULES["few-shot"]]
    assert (auc.measure, auc.value, auc.stop) == ("nmf", "auc", maximum)
    assert (k1.measure, k1.value) == ("nmf", "first") and k1.stop([0.5, 0.9, *[0.8] * 5, 1.0]) == Stop(2, 7)
    assert (
        set(PRIMARY_RULES) < set(EXPERIMENTS)
        and set(BASELINES) < set(RULES)
        and not set(BASELINES) & {*PRIMARY_RULES.values()}
    )
