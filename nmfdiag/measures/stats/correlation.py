"""Correlation of two measured quantities with an interval; within groups where groups would otherwise drive it.

Notation: pairs ``x_i, y_i`` (n,), each in one group; ``w_i`` how often a pair was drawn (1 each, but in a bootstrap). Within
groups, every group's own mean is taken off x and y first, so that only what varies inside the groups counts:

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

METHODS = ("pearson", "spearman")
INTERVALS = ("fisher", "bootstrap")
CONSTANT = 1e-9
"""Values that differ by less than this share of the largest are one value: a saturated AuC is 1 up to rounding."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """A correlation and its interval; None where it is undefined, and ``reason`` says why.

    Attributes:
        r: The coefficient, in [-1, 1].
        low: Lower end of the interval.
        high: Upper end.
        n: Pairs that it rests on; groups in which x or y is constant are left out.
        method: One of :data:`METHODS`.
        interval: One of :data:`INTERVALS`.
        level: Coverage that the interval aims at.
        n_groups: Groups that it rests on; 1 where none were given.
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
        """Whether there is an interval, and it leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Difference:
    """How much two correlations with the same y differ; None where that is undefined, and ``reason`` says why.

    Attributes:
        value: The first coefficient minus the second, in [-2, 2].
        low: Lower end of its interval.
        high: Upper end.
        n: Pairs that it rests on.
        method: One of :data:`METHODS`.
        level: Coverage that the interval aims at.
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
        """Whether there is an interval, and it leaves 0 out."""
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
        method: One of :data:`METHODS`.
        groups: The group of each pair, (n,): differences between groups then don't count. Groups in which x or y is constant
            can't say how they vary together and are left out.
        interval: ``"fisher"`` takes the pairs for independent draws from a normal distribution (Spearman: Bonett and Wright's
            error); a group costs a degree of freedom. ``"bootstrap"`` draws pairs anew, takes percentiles, and is too narrow
            for few of them.
        clusters: For the bootstrap, what is drawn together, (n,): pairs of one cluster are not independent.
        level: Coverage, in (0, 1).
        draws: Bootstrap samples.
        seed: Of the bootstrap.

    Raises:
        NmfdiagError: If lengths disagree, a value is not finite, or an option is unknown.

    References:
        Collins et al. 2018, figures 5 and 8. R. A. Fisher, 1921. D. G. Bonett and T. A. Wright, Sample size requirements for
        estimating Pearson, Kendall and Spearman correlations, 2000.

    >>> correlation([1, 2, 3, 4], [2, 4, 6, 9]).r
    0.9943767126843689
    >>> correlation([1, 1, 1], [2, 4, 6]).reason
    'x is constant'
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    named = {"y": b, "groups": groups, "clusters": clusters}
    _check(a, {name: len(at) for name, at in named.items() if at is not None})
    _check_options(method, interval, clusters, level)
    if not np.isfinite(np.concatenate([a, b])).all():
        raise NmfdiagError("A correlation needs finite values, got NaN or infinity.")
    group = _numbered(groups, len(a))
    use = np.array([bool(_varies(a[group == g]) and _varies(b[group == g])) for g in group], bool)
    n, n_groups = int(use.sum()), len(set(group[use].tolist()))

    def answer(r: float | None, low: float | None = None, high: float | None = None, reason: str = "") -> Correlation:
        return Correlation(r, low, high, n, method, interval, level, n_groups, reason)

    if len(a) < 3:
        return answer(None, reason=f"it needs 3 pairs, there are {len(a)}")
    if not n:
        return answer(None, reason=_why_constant(a, b, group))
    if n < 3:
        return answer(None, reason=f"it needs 3 pairs in groups that vary, there are {n}")
    a, b, group = a[use], b[use], group[use]
    r = float(_coefficients(a, b, group, np.ones((1, n)), method)[0])
    if interval == "bootstrap":
        unit = _numbered(clusters, len(use), each=True)[use]
        weights = _drawn(unit, draws, seed)
        drawn = _coefficients(a, b, group, weights, method)
        drawn = drawn[np.isfinite(drawn)]
        if len(drawn) < draws / 2:
            return answer(r, reason="no interval: most bootstrap samples are constant")
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]).tolist()
        return answer(r, low, high)
    freedom = n - n_groups - 2
    if freedom < 1:
        return answer(r, reason=f"no interval: {n} pairs are too few")
    return answer(r, *fisher_interval(r, freedom, level=level, spearman=method == "spearman"))


def correlation_difference(
    x: Sequence[float],
    other: Sequence[float],
    y: Sequence[float],
    *,
    method: str = "pearson",
    groups: Sequence[Hashable] | None = None,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Difference:
    """Tell whether x or another quantity goes with y more closely: ``r(x, y) - r(other, y)`` by a paired bootstrap.

    Every draw takes the same pairs for both coefficients: two that rise and fall together differ clearly even where their own
    intervals overlap. Groups in which x, the other or y is constant are left out of both.

    Args:
        x: Finite values, (n,).
        other: Finite values, (n,).
        y: Finite values, (n,).
        method: One of :data:`METHODS`.
        groups: The group of each pair, (n,), as for :func:`correlation`.
        clusters: What is drawn together, (n,).
        level: Coverage, in (0, 1).
        draws: Bootstrap samples.
        seed: Of the bootstrap; the draws are those of :func:`correlation`.

    Raises:
        NmfdiagError: If lengths disagree, a value is not finite, or an option is unknown.

    >>> found = correlation_difference([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5], [1, 2, 3, 4, 5, 6])
    >>> round(found.value, 3), found.n
    (0.171, 6)
    """
    a, b, c = (np.asarray(v, np.float64) for v in (x, other, y))
    named = {"other": b, "y": c, "groups": groups, "clusters": clusters}
    _check(a, {name: len(at) for name, at in named.items() if at is not None})
    _check_options(method, "bootstrap", clusters, level)
    if not np.isfinite(np.concatenate([a, b, c])).all():
        raise NmfdiagError("A correlation needs finite values, got NaN or infinity.")
    group = _numbered(groups, len(a))
    use = np.array([all(_varies(v[group == g]) for v in (a, b, c)) for g in group], bool)
    n = int(use.sum())
    if n < 3:
        where = " in groups that vary" if len(a) >= 3 else ""
        return Difference(None, None, None, n, method, level, f"it needs 3 pairs{where}, there are {n}")
    a, b, c, group = a[use], b[use], c[use], group[use]
    weights = np.vstack([np.ones((1, n)), _drawn(_numbered(clusters, len(use), each=True)[use], draws, seed)])
    first, second = (_coefficients(v, c, group, weights, method) for v in (a, b))
    value, drawn = float(first[0] - second[0]), (first - second)[1:]
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < draws / 2:
        return Difference(value, None, None, n, method, level, "no interval: most bootstrap samples are constant")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Difference(value, low, high, n, method, level)


def fisher_interval(r: float, freedom: int, *, level: float = 0.95, spearman: bool = False) -> tuple[float, float]:
    """Interval of a coefficient: ``tanh(atanh r -/+ z / sqrt(freedom))``, with ``freedom`` = pairs - groups - 2.

    >>> [round(end, 3) for end in fisher_interval(0.7, 7)]
    [0.126, 0.923]
    """
    if abs(r) >= 1:
        return r, r
    error = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt((1 + r * r / 2 if spearman else 1) / freedom)
    return math.tanh(math.atanh(r) - error), math.tanh(math.atanh(r) + error)


def _coefficients(x: Floats, y: Floats, group: NDArray[np.int64], weights: Floats, method: str) -> Floats:
    """One coefficient a row of ``weights`` (draws, n); NaN where a draw is constant."""
    member = (group[:, None] == np.unique(group)).astype(np.float64)  # (n, groups)
    if method == "spearman":
        x, y = (np.round(v / (CONSTANT * np.abs(v).max())) for v in (x, y))  # equal up to rounding is a tie
        together = member @ member.T
        a, b = (weights @ _below(v, together) for v in (x, y))  # (draws, n): each draw has ranks of its own
    else:
        a, b = x[None], y[None]
    size = np.maximum(weights @ member, 1)
    a, b = (v - ((weights * v) @ member / size) @ member.T for v in (a, b))
    s_xy, s_xx, s_yy = ((weights * u * v).sum(1) for u, v in ((a, b), (a, a), (b, b)))
    defined = (s_xx > CONSTANT**2 * s_xx.max()) & (s_yy > CONSTANT**2 * s_yy.max())
    r = s_xy / np.sqrt(np.where(defined, s_xx * s_yy, np.nan))
    return np.clip(r, -1, 1)


def _below(v: Floats, together: Floats) -> Floats:
    """Entry (j, i): what a pair j adds to the rank of i, 1 below it and 1/2 beside it, inside its group."""
    return ((v[:, None] < v) + 0.5 * (v[:, None] == v)) * together


def _drawn(unit: NDArray[np.int64], draws: int, seed: int) -> Floats:
    """How often each pair is drawn, (draws, n): units are drawn with replacement, and bring all of their pairs."""
    names, of = np.unique(unit, return_inverse=True)
    rng = np.random.Generator(np.random.PCG64(seed))
    return rng.multinomial(len(names), np.full(len(names), 1 / len(names)), draws)[:, of].astype(np.float64)


def _numbered(names: Sequence[Hashable] | None, n: int, *, each: bool = False) -> NDArray[np.int64]:
    """Names as numbers; without any all pairs are one, or ``each`` one of its own."""
    if names is None:
        return np.arange(n) if each else np.zeros(n, np.int64)
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], np.int64)


def _varies(v: Floats) -> bool:
    return len(v) > 1 and bool(np.ptp(v) > CONSTANT * np.abs(v).max())


def _why_constant(x: Floats, y: Floats, group: NDArray[np.int64]) -> str:
    where = " in every group" if len(np.unique(group)) > 1 else ""
    flat = [name for name, v in (("x", x), ("y", y)) if not any(_varies(v[group == g]) for g in np.unique(group))]
    return f"{' and '.join(flat) or 'x or y'} {'are' if len(flat) > 1 else 'is'} constant{where}"


def _check(x: Floats, lengths: dict[str, int]) -> None:
    if x.ndim != 1 or any(length != len(x) for length in lengths.values()):
        got = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise NmfdiagError(f"A correlation needs one of each a pair, got x of shape {x.shape} and {got}.")


def _check_options(method: str, interval: str, clusters: Sequence[Hashable] | None, level: float) -> None:
    if method not in METHODS:
        raise NmfdiagError(f"Unknown correlation {method!r}: accepted are {', '.join(METHODS)}.")
    if interval not in INTERVALS:
        raise NmfdiagError(f"Unknown interval {interval!r}: accepted are {', '.join(INTERVALS)}.")
    if clusters is not None and interval != "bootstrap":
        raise NmfdiagError("Clusters are what the bootstrap draws: they need interval='bootstrap'.")
    if not 0 < level < 1:
        raise NmfdiagError(f"An interval's level must lie in (0, 1), got {level}.")
