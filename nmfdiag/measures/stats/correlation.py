"""Correlation of two measured quantities with an interval, within groups if groups would drive it otherwise.

Notation: pairs ``x_i, y_i`` (n,), each in one group; ``w_i`` its weight, the number of times it was drawn (1 outside of a
bootstrap). Within groups, each group's mean is subtracted from x and y first, so that only variation inside groups counts:

``r = S_xy / sqrt(S_xx S_yy)``, ``S_xy = sum_g sum_(i in g) w_i (x_i - mean_g x) (y_i - mean_g y)``.

Spearman's is the same of ranks, which are taken inside each group.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from nmfdiag.errors import NmfdiagError

COEFFICIENTS = ("pearson", "spearman")
INTERVALS = ("fisher", "bootstrap")
EQUAL_SHARE = 1e-9
"""Differences below this share of the largest value count as none: a saturated AuC is 1 up to rounding."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """A correlation and its interval; None if undefined, and ``reason`` says why.

    Attributes:
        r: The coefficient, in [-1, 1].
        low: Lower end of the interval.
        high: Upper end.
        n: Number of pairs used; groups in which x or y is constant are left out.
        method: One of :data:`COEFFICIENTS`.
        interval: One of :data:`INTERVALS`.
        level: Nominal coverage of the interval.
        n_groups: Number of groups used; 1 without groups.
        reason: Why ``r`` or its interval is undefined; else empty.
    """

    r: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    interval: str = "fisher"
    level: float = 0.95
    n_groups: int = 1
    reason: str = ""

    @property
    def clear(self) -> bool:
        """Whether there is an interval that excludes 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Difference:
    """The difference of two correlations with the same y; None if undefined, and ``reason`` says why.

    Attributes:
        value: The first coefficient minus the second, in [-2, 2].
        low: Lower end of its interval.
        high: Upper end.
        n: Number of pairs used.
        method: One of :data:`COEFFICIENTS`.
        level: Nominal coverage of the interval.
        reason: Why there is no value or interval; else empty.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    level: float = 0.95
    reason: str = ""

    @property
    def clear(self) -> bool:
        """Whether there is an interval that excludes 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def correlation(
    x: Sequence[float],
    y: Sequence[float],
    *,
    method: str = "pearson",
    groups: Sequence[Hashable] | None = None,
    interval: str = "fisher",
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Correlation:
    """Correlate x and y, over all pairs or pooled within groups.

    Args:
        x: Finite values, (n,).
        y: Finite values, (n,).
        method: One of :data:`COEFFICIENTS`.
        groups: The group of each pair, (n,): differences between groups then don't count. Groups in which x or y is constant
            are left out.
        interval: ``"fisher"`` treats the pairs as independent draws from a normal distribution (Spearman: Bonett and Wright's
            error); a group costs a degree of freedom. ``"bootstrap"`` resamples pairs, uses percentiles, and is too narrow for
            few pairs.
        clusters: Cluster of each pair, (n,), drawn together by the bootstrap: pairs of one cluster are not independent.
        level: Coverage, in (0, 1).
        draws: Bootstrap samples.
        seed: Seed of the bootstrap.

    Raises:
        NmfdiagError: If lengths differ, a value is not finite, or an option is unknown.

    References:
        Collins et al. 2018, figures 5 and 8. R. A. Fisher, 1921. D. G. Bonett and T. A. Wright, Sample size requirements for
        estimating Pearson, Kendall and Spearman correlations, 2000.

    >>> correlation([1, 2, 3, 4], [2, 4, 6, 9]).r
    0.9943767126843689
    >>> correlation([1, 1, 1], [2, 4, 6]).reason
    'x is constant'
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    columns = {"y": b, "groups": groups, "clusters": clusters}
    _check(a, {name: len(column) for name, column in columns.items() if column is not None})
    _check_options(method, interval, clusters, level)
    if not np.isfinite(np.concatenate([a, b])).all():
        raise NmfdiagError("A correlation needs finite values, got NaN or infinity.")
    group = _as_numbers(groups, len(a))
    varying = np.array([bool(_varies(a[group == g]) and _varies(b[group == g])) for g in group], bool)
    n, n_groups = int(varying.sum()), len(set(group[varying].tolist()))

    def answer(r: float | None, low: float | None = None, high: float | None = None, reason: str = "") -> Correlation:
        return Correlation(r, low, high, n, method, interval, level, n_groups, reason)

    if len(a) < 3:
        return answer(None, reason=f"it needs 3 pairs, there are {len(a)}")
    if not n:
        return answer(None, reason=_constant_reason(a, b, group))
    if n < 3:
        return answer(None, reason=f"it needs 3 pairs in groups that vary, there are {n}")
    a, b, group = a[varying], b[varying], group[varying]
    r = float(_coefficients(a, b, group, np.ones((1, n)), method)[0])
    if interval == "bootstrap":
        unit = _as_numbers(clusters, len(varying), distinct=True)[varying]
        weights = _bootstrap_weights(unit, draws, seed)
        coefficients = _coefficients(a, b, group, weights, method)
        coefficients = coefficients[np.isfinite(coefficients)]
        if len(coefficients) < draws / 2:
            return answer(r, reason="no interval: most bootstrap samples are constant")
        low, high = np.quantile(coefficients, [(1 - level) / 2, (1 + level) / 2]).tolist()
        return answer(r, low, high)
    freedom = n - n_groups - 2
    if freedom < 1:
        return answer(r, reason=f"no interval: {n} pairs are too few")
    return answer(r, *fisher_interval(r, freedom, level=level, spearman=method == "spearman"))


def correlation_difference(
    x: Sequence[float],
    rival: Sequence[float],
    y: Sequence[float],
    *,
    method: str = "pearson",
    groups: Sequence[Hashable] | None = None,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Difference:
    """Compare the correlations of x and of a rival with y: ``r(x, y) - r(rival, y)`` by a paired bootstrap.

    Every draw takes the same pairs for both coefficients: two that rise and fall together differ clearly even if their
    intervals overlap. Groups in which x, the rival or y is constant are left out of both.

    Args:
        x: Finite values, (n,).
        rival: Finite values, (n,).
        y: Finite values, (n,).
        method: One of :data:`COEFFICIENTS`.
        groups: The group of each pair, (n,), as for :func:`correlation`.
        clusters: Cluster of each pair, (n,), drawn together.
        level: Coverage, in (0, 1).
        draws: Bootstrap samples.
        seed: Seed of the bootstrap; the draws are those of :func:`correlation`.

    Raises:
        NmfdiagError: If lengths differ, a value is not finite, or an option is unknown.

    >>> found = correlation_difference([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5], [1, 2, 3, 4, 5, 6])
    >>> round(found.value, 3), found.n
    (0.171, 6)
    """
    a, b, c = (np.asarray(v, np.float64) for v in (x, rival, y))
    columns = {"rival": b, "y": c, "groups": groups, "clusters": clusters}
    _check(a, {name: len(column) for name, column in columns.items() if column is not None})
    _check_options(method, "bootstrap", clusters, level)
    if not np.isfinite(np.concatenate([a, b, c])).all():
        raise NmfdiagError("A correlation needs finite values, got NaN or infinity.")
    group = _as_numbers(groups, len(a))
    varying = np.array([all(_varies(v[group == g]) for v in (a, b, c)) for g in group], bool)
    n = int(varying.sum())
    if n < 3:
        condition = " in groups that vary" if len(a) >= 3 else ""
        return Difference(None, None, None, n, method, level, f"it needs 3 pairs{condition}, there are {n}")
    a, b, c, group = a[varying], b[varying], c[varying], group[varying]
    weights = np.vstack(
        [np.ones((1, n)), _bootstrap_weights(_as_numbers(clusters, len(varying), distinct=True)[varying], draws, seed)]
    )
    first, second = (_coefficients(v, c, group, weights, method) for v in (a, b))
    value, differences = float(first[0] - second[0]), (first - second)[1:]
    differences = differences[np.isfinite(differences)]
    if len(differences) < draws / 2:
        return Difference(value, None, None, n, method, level, "no interval: most bootstrap samples are constant")
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Difference(value, low, high, n, method, level)


def fisher_interval(r: float, freedom: int, *, level: float = 0.95, spearman: bool = False) -> tuple[float, float]:
    """Return the interval of a coefficient: ``tanh(atanh r -/+ z / sqrt(freedom))``, with ``freedom`` = pairs - groups - 2.

    >>> [round(end, 3) for end in fisher_interval(0.7, 7)]
    [0.126, 0.923]
    """
    if abs(r) >= 1:
        return r, r
    error = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt((1 + r * r / 2 if spearman else 1) / freedom)
    return math.tanh(math.atanh(r) - error), math.tanh(math.atanh(r) + error)


def _coefficients(x: Floats, y: Floats, group: NDArray[np.int64], weights: Floats, method: str) -> Floats:
    """Return one coefficient per row of ``weights`` (draws, n); NaN if a draw is constant."""
    member = (group[:, None] == np.unique(group)).astype(np.float64)  # (n, groups)
    if method == "spearman":
        x, y = (np.round(v / (EQUAL_SHARE * np.abs(v).max())) for v in (x, y))  # equal up to rounding is a tie
        same_group = member @ member.T
        a, b = (weights @ _rank_contributions(v, same_group) for v in (x, y))  # (draws, n): each draw has its own ranks
    else:
        a, b = x[None], y[None]
    size = np.maximum(weights @ member, 1)
    a, b = (v - ((weights * v) @ member / size) @ member.T for v in (a, b))
    s_xy, s_xx, s_yy = ((weights * u * v).sum(1) for u, v in ((a, b), (a, a), (b, b)))
    defined = (s_xx > EQUAL_SHARE**2 * s_xx.max()) & (s_yy > EQUAL_SHARE**2 * s_yy.max())
    r = s_xy / np.sqrt(np.where(defined, s_xx * s_yy, np.nan))
    return np.clip(r, -1, 1)


def _rank_contributions(v: Floats, same_group: Floats) -> Floats:
    """Return what pair j adds to the rank of pair i inside its group, as entry (j, i): 1 below it, 1/2 for a tie."""
    return ((v[:, None] < v) + 0.5 * (v[:, None] == v)) * same_group


def _bootstrap_weights(unit: NDArray[np.int64], draws: int, seed: int) -> Floats:
    """Return the number of times that each pair is drawn, (draws, n): units are drawn with replacement, with all their pairs."""
    names, unit_of_pair = np.unique(unit, return_inverse=True)
    rng = np.random.Generator(np.random.PCG64(seed))
    return rng.multinomial(len(names), np.full(len(names), 1 / len(names)), draws)[:, unit_of_pair].astype(np.float64)


def _as_numbers(names: Sequence[Hashable] | None, n: int, *, distinct: bool = False) -> NDArray[np.int64]:
    """Return names as numbers; without names all pairs get one number, or ``distinct`` ones."""
    if names is None:
        return np.arange(n) if distinct else np.zeros(n, np.int64)
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], np.int64)


def _varies(v: Floats) -> bool:
    return len(v) > 1 and bool(np.ptp(v) > EQUAL_SHARE * np.abs(v).max())


def _constant_reason(x: Floats, y: Floats, group: NDArray[np.int64]) -> str:
    condition = " in every group" if len(np.unique(group)) > 1 else ""
    flat = [name for name, v in (("x", x), ("y", y)) if not any(_varies(v[group == g]) for g in np.unique(group))]
    return f"{' and '.join(flat) or 'x or y'} {'are' if len(flat) > 1 else 'is'} constant{condition}"


def _check(x: Floats, lengths: dict[str, int]) -> None:
    if x.ndim != 1 or any(length != len(x) for length in lengths.values()):
        lengths_text = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise NmfdiagError(
            f"A correlation needs one value of each per pair, got x of shape {x.shape} and {lengths_text}."
        )


def _check_options(method: str, interval: str, clusters: Sequence[Hashable] | None, level: float) -> None:
    if method not in COEFFICIENTS:
        raise NmfdiagError(f"Unknown correlation {method!r}: accepted are {', '.join(COEFFICIENTS)}.")
    if interval not in INTERVALS:
        raise NmfdiagError(f"Unknown interval {interval!r}: accepted are {', '.join(INTERVALS)}.")
    if clusters is not None and interval != "bootstrap":
        raise NmfdiagError("Clusters need interval='bootstrap', which draws them, got another interval.")
    if not 0 < level < 1:
        raise NmfdiagError(f"An interval's level must lie in (0, 1), got {level}.")
