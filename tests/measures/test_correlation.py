"""Correlations against scipy and numpy, and on planted data."""

import numpy as np
import pytest
from scipy import stats

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.stats.correlation import EQUAL_SHARE, correlation, correlation_difference


def sample(n: int, seed: int = 0, slope: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, slope * x + 0.5 * rng.normal(size=n)


@pytest.mark.parametrize("n", [4, 10, 96])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_pearson_and_its_interval_are_scipys(n: int, level: float) -> None:
    x, y = sample(n)
    result, oracle = correlation(x, y, level=level), stats.pearsonr(x, y)
    low, high = oracle.confidence_interval(level)
    assert (result.r, result.low, result.high) == pytest.approx((oracle.statistic, low, high))
    assert (result.n, result.method, result.reason) == (n, "pearson", "")


@pytest.mark.parametrize("n", [5, 40])
def test_spearman_is_scipys_with_ties_too(n: int) -> None:
    x, y = sample(n, 1)
    x = x.round(0)
    result = correlation(x, y, method="spearman")
    assert result.r == pytest.approx(stats.spearmanr(x, y).statistic)
    half = 1.959964 * ((1 + result.r**2 / 2) / (n - 3)) ** 0.5
    assert np.arctanh(result.high) - np.arctanh(result.r) == pytest.approx(half)


def test_values_that_are_equal_up_to_rounding_are_ties() -> None:
    x, y = [1.0, 1 - 1e-15, 1.0, 0.5, 0.7], [3.0, 2.0, 1.0, 0.1, 0.2]
    assert correlation(x, y, method="spearman").r == pytest.approx(stats.spearmanr(np.round(x, 9), y).statistic)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_the_bootstrap_agrees_with_scipys_and_is_seeded(method: str) -> None:
    x, y = sample(60, 2)
    result = correlation(x, y, method=method, interval="bootstrap", draws=4000)

    def statistic(a: np.ndarray, b: np.ndarray) -> float:
        return {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[method](a, b).statistic

    oracle = stats.bootstrap(
        (x, y), statistic, paired=True, vectorized=False, method="percentile", n_resamples=1500, random_state=1
    ).confidence_interval
    assert (result.low, result.high) == pytest.approx((oracle.low, oracle.high), abs=0.02)
    assert result == correlation(x, y, method=method, interval="bootstrap", draws=4000)
    assert result != correlation(x, y, method=method, interval="bootstrap", draws=4000, seed=1)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_differences_between_groups_do_not_count(method: str) -> None:
    """Plant groups in which y falls with x, with means that rise together."""
    rng = np.random.default_rng(3)
    groups = np.repeat([0, 1, 2], 30)
    inside = rng.normal(size=90)
    x, y = 10 * groups + inside, 10 * groups - inside + 0.3 * rng.normal(size=90)
    assert correlation(x, y, method=method).r > 0.7
    result = correlation(x, y, method=method, groups=groups.tolist())
    assert result.r < -0.9 and result.high < 0 and (result.n, result.n_groups) == (90, 3)


def test_pooled_pearson_is_the_partial_correlation_given_the_group() -> None:
    x, y = sample(30, 4)
    groups = np.arange(30) % 3
    design = (groups[:, None] == np.arange(3)).astype(float)
    residuals = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (x, y)]
    result = correlation(x, y, groups=groups.tolist())
    assert result.r == pytest.approx(np.corrcoef(*residuals)[0, 1])
    half = 1.959964 / (30 - 2 - 3) ** 0.5  # two variables are held: three groups
    assert np.arctanh(result.high) - np.arctanh(result.r) == pytest.approx(half)


def test_a_saturated_group_is_left_out() -> None:
    x, y = sample(10, 5)
    pooled = correlation([*x, *[1.0] * 10], [*y, *y], groups=[0] * 10 + [1] * 10)
    alone = correlation(x, y)
    assert pooled.r == pytest.approx(alone.r) and (pooled.n, pooled.n_groups) == (10, 1)


def test_clusters_widen_the_interval_of_repeated_pairs() -> None:
    """Copy each pair ten times: drawn as clusters, the interval stays that of the pairs."""
    x, y = sample(20, 6)
    options = {"interval": "bootstrap", "draws": 4000}
    alone = correlation(x, y, **options)  # type: ignore[arg-type]
    repeated, unit = (np.tile(x, 10), np.tile(y, 10)), np.tile(np.arange(20), 10).tolist()
    clustered = correlation(*repeated, clusters=unit, **options)  # type: ignore[arg-type]
    naive = correlation(*repeated, **options)  # type: ignore[arg-type]
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high))
    assert naive.high - naive.low < 0.5 * (clustered.high - clustered.low)


def test_fisher_covers_what_was_planted() -> None:
    """Count 95 % intervals over normal pairs that hold the planted correlation."""
    rng = np.random.default_rng(7)
    pairs = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], (1000, 10))
    result = [correlation(p[:, 0], p[:, 1]) for p in pairs]
    assert 0.93 < np.mean([c.low < 0.6 < c.high for c in result]) < 0.97


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        ([1, 1, 1, 1], [1, 2, 3, 4], {}, "x is constant"),
        ([1, 2, 3, 4], [2, 2, 2, 2], {}, "y is constant"),
        ([1, 1, 1], [2, 2, 2], {}, "x and y are constant"),
        ([1, 1, 2, 2], [1, 2, 3, 4], {"groups": "aabb"}, "x is constant in every group"),
        ([1, 1, 1, 2], [1, 2, 3, 3], {"groups": "aabb"}, "x or y is constant in every group"),
        ([1, 2], [3, 4], {}, "needs 3 pairs"),
        ([], [], {}, "needs 3 pairs"),
        ([1, 2, 3, 3], [3, 4, 5, 5], {"groups": "aabb"}, "needs 3 pairs in groups that vary"),
        ([1, 1 + EQUAL_SHARE / 10, 1], [1, 2, 3], {}, "x is constant"),
    ],
)
@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_undefined_is_none_with_its_reason(x: list, y: list, options: dict, message: str, method: str) -> None:
    result = correlation(x, y, method=method, **options)
    assert (
        result.r is None
        and result.low is None
        and result.high is None
        and message in result.reason
        and not result.clear
    )


def test_too_few_pairs_have_no_interval_and_perfect_ones_have_no_width() -> None:
    pairs_of_three = correlation([1, 2, 4], [1, 3, 2])
    assert (
        pairs_of_three.r == pytest.approx(np.corrcoef([1, 2, 4], [1, 3, 2])[0, 1])
        and pairs_of_three.low is None
        and "too few" in pairs_of_three.reason
    )
    perfect = correlation(range(8), range(8), method="spearman")
    assert (perfect.r, perfect.low, perfect.high) == pytest.approx((1, 1, 1)) and perfect.clear


def test_a_bootstrap_of_mostly_constant_draws_has_no_interval() -> None:
    result = correlation([0, 1, 0, 1], [0, 1, 0, 2], interval="bootstrap", clusters=[0, 0, 0, 0])
    assert result.low is not None and result.low == pytest.approx(result.r)
    draw = correlation([0] * 30 + [1], [0] * 30 + [1], interval="bootstrap", draws=100)
    assert draw.r == pytest.approx(1) and (draw.low is None or np.isfinite(draw.low))


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        ([1, 2, 3], [1, 2], {}, "2 y"),
        ([1, 2, 3], [1, 2, 3], {"groups": "ab"}, "2 groups"),
        ([1, 2, float("nan")], [1, 2, 3], {}, "NaN"),
        ([1, 2, 3], [1, 2, 3], {"method": "kendall"}, "'kendall'"),
        ([1, 2, 3], [1, 2, 3], {"interval": "exact"}, "'exact'"),
        ([1, 2, 3], [1, 2, 3], {"clusters": "abc"}, "bootstrap"),
        ([1, 2, 3], [1, 2, 3], {"level": 95}, "95"),
    ],
)
def test_bad_input_is_explained(x: list, y: list, options: dict, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        correlation(x, y, **options)


def three(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a close copy of y, a rough copy of the close one, and y."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    close = y + 0.3 * rng.normal(size=n)
    return close, close + 0.6 * rng.normal(size=n), y


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_a_difference_and_its_paired_interval_are_scipys(method: str) -> None:
    x, rival, y = three(60)
    coefficient = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[method]

    def statistic(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
        return coefficient(a, c).statistic - coefficient(b, c).statistic

    result = correlation_difference(x, rival, y, method=method, draws=4000)
    oracle = stats.bootstrap(
        (x, rival, y), statistic, paired=True, vectorized=False, method="percentile", n_resamples=1500, random_state=1
    ).confidence_interval
    assert result.value == pytest.approx(statistic(x, rival, y)) and (result.n, result.method) == (60, method)
    assert (result.low, result.high) == pytest.approx((oracle.low, oracle.high), abs=0.03)
    assert result.clear and result == correlation_difference(x, rival, y, method=method, draws=4000)
    turned = correlation_difference(rival, x, y, method=method, draws=4000)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-result.value, -result.high, -result.low))


def test_a_pair_can_differ_clearly_where_their_own_intervals_overlap() -> None:
    rng = np.random.default_rng(8)
    y = rng.normal(size=100)
    x = y + 0.5 * rng.normal(size=100)
    rival = x + 0.5 * rng.normal(size=100)
    a, b = (correlation(v, y, interval="bootstrap") for v in (x, rival))
    assert a.low < b.high and b.low < a.high
    assert correlation_difference(x, rival, y).clear
    same = correlation_difference(x, 3 * x + 1, y)
    assert (same.value, same.low, same.high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_differences_between_groups_do_not_count_in_a_difference() -> None:
    """Plant a rival that depends on the group only, so that within groups it carries nothing."""
    rng = np.random.default_rng(3)
    groups = np.repeat([0, 1, 2], 30)
    y = 10 * groups + rng.normal(size=90)
    x, rival = y + 3 * rng.normal(size=90), groups + 0.01 * rng.normal(size=90)
    assert correlation_difference(x, rival, y).value < 0
    within = correlation_difference(x, rival, y, groups=groups.tolist())
    own = [correlation(v, y, groups=groups.tolist()).r for v in (x, rival)]
    assert within.value == pytest.approx(own[0] - own[1]) and within.value > 0.1


def test_a_difference_leaves_groups_out_that_are_constant_for_either() -> None:
    x, rival, y = three(20, 1)
    flat = np.concatenate([rival, np.ones(20)])
    result = correlation_difference(np.tile(x, 2), flat, np.tile(y, 2), groups=[0] * 20 + [1] * 20)
    assert result == correlation_difference(x, rival, y) and result.n == 20


def test_clusters_widen_the_interval_of_a_difference() -> None:
    x, rival, y = three(20, 2)
    repeated, unit = [np.tile(v, 5) for v in (x, rival, y)], np.tile(np.arange(20), 5).tolist()
    alone, clustered = correlation_difference(x, rival, y), correlation_difference(*repeated, clusters=unit)
    naive = correlation_difference(*repeated)
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high))
    assert naive.high - naive.low < 0.7 * (clustered.high - clustered.low)


@pytest.mark.parametrize(
    ("x", "rival", "options", "message"),
    [
        ([1, 2], [3, 4], {}, "needs 3 pairs, there are 2"),
        ([1, 1, 1], [1, 2, 3], {}, "needs 3 pairs in groups that vary, there are 0"),
        ([1, 2, 3], [2, 2, 2], {}, "there are 0"),
        ([1, 2, 3, 4], [1, 1, 3, 4], {"groups": "aabb"}, "there are 2"),
    ],
)
def test_an_undefined_difference_has_its_reason(x: list, rival: list, options: dict, message: str) -> None:
    result = correlation_difference(x, rival, range(len(x)), **options)
    assert result.value is None and result.low is None and message in result.reason and not result.clear


@pytest.mark.parametrize(
    ("rival", "y", "options", "message"),
    [
        ([1, 2], [1, 2, 3], {}, "2 rival"),
        ([1, 2, 3], [1, 2], {}, "2 y"),
        ([1, 2, float("inf")], [1, 2, 3], {}, "infinity"),
        ([1, 2, 3], [1, 2, 3], {"method": "kendall"}, "'kendall'"),
        ([1, 2, 3], [1, 2, 3], {"groups": "ab"}, "2 groups"),
        ([1, 2, 3], [1, 2, 3], {"level": 1}, "got 1"),
    ],
)
def test_bad_input_of_a_difference_is_explained(rival: list, y: list, options: dict, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        correlation_difference([1, 2, 3], rival, y, **options)
