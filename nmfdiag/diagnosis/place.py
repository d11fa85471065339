"""The place of a value in [0, 1] among values of known level, and the levels that it is compatible with.

Values are compared on the scale ``g = sqrt(1 - value)``: near 1, where a mean area under accuracy ends, the same difference
counts more. A *family* is what values share apart from the level, such as a data set and an architecture. Families are the
unit: seeds of one family are averaged, since many seeds are not evidence about a new family.

``s`` is the standard deviation of families within a level, pooled over the levels, with ``df`` degrees of freedom. A level of
``m`` families with mean ``g_level`` is compatible with a value where ``|g - g_level| <= t(df) sqrt(s^2 (1 + 1/m) + e^2)``: the
95 % prediction interval of a new family, widened by the amount by which the value's error ``e`` exceeds the known ones'.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
"""Coverage of the prediction interval: one in 20 new families of a level counts as incompatible with it."""
ALIKE = 5e-4
"""Largest difference of values that count as alike: they are reported with three decimal places."""


@dataclass(frozen=True)
class KnownValue:
    """A value of known level, and its standard error."""

    value: float
    level: float
    family: str
    error: float = 0.0


@dataclass(frozen=True)
class Level:
    """The known values of one level, relative to the placed value.

    Attributes:
        level: The level.
        n: Number of its values.
        families: Number of its families.
        low: The lowest value.
        high: The highest value.
        below: Number of values lower than the placed one.
        above: Number of higher values; the rest are alike.
        distance: Distance to the families' mean, on the scale of ``g``.
        compatible: Whether the placed value may be one of these; None if no level has two families.
    """

    level: float
    n: int
    families: int
    low: float
    high: float
    below: int
    above: int
    distance: float
    compatible: bool | None


@dataclass(frozen=True)
class Place:
    """A value among the known ones.

    Attributes:
        value: The placed value.
        error: Its standard error.
        levels: From the lowest to the highest.
        between_families: Standard deviation of families of one level, in units of the value; None if no level has two.
        within_family: The same of values of one family and level (seeds); None if no family has two.
    """

    value: float
    error: float
    levels: tuple[Level, ...]
    between_families: float | None
    within_family: float | None

    @property
    def ranged(self) -> bool:
        """Whether compatible levels could be computed."""
        return all(level.compatible is not None for level in self.levels)

    @property
    def compatible(self) -> tuple[float, ...]:
        """The compatible levels, ascending; none either if they couldn't be computed."""
        return tuple(level.level for level in self.levels if level.compatible)

    @property
    def nearer_end(self) -> float:
        """The nearer one of the lowest and the highest level."""
        return min((self.levels[0], self.levels[-1]), key=lambda level: level.distance).level


def place_value(value: float, known_values: Sequence[KnownValue], *, error: float = 0.0) -> Place:
    """Place a value among known ones.

    Args:
        value: Value in [0, 1].
        known_values: At least one.
        error: The value's standard error.

    >>> known = [KnownValue(v, p, f) for p, values in ((0, (0.95, 0.93)), (1, (0.8, 0.78))) for f, v in zip("ab", values)]
    >>> place_value(0.79, known).compatible
    (1,)
    """
    by_level: dict[float, dict[str, list[float]]] = {}
    for item in sorted(known_values, key=lambda k: k.level):
        by_level.setdefault(item.level, {}).setdefault(item.family, []).append(item.value)
    roots = {level: [_root(v).mean() for v in families.values()] for level, families in by_level.items()}
    s, df = _pooled(list(roots.values()))
    known_variance = float(np.mean([_root_error(k.value, k.error) ** 2 for k in known_values]))
    extra = max(0.0, _root_error(value, error) ** 2 - known_variance)
    g = float(_root([value])[0])
    levels = []
    for level, families in by_level.items():
        values = np.concatenate([np.asarray(v) for v in families.values()])
        distance = abs(g - float(np.mean(roots[level])))
        half = None if s is None else _t(df) * (s**2 * (1 + 1 / len(families)) + extra) ** 0.5
        levels.append(
            Level(
                level,
                len(values),
                len(families),
                float(values.min()),
                float(values.max()),
                int((values < value - ALIKE).sum()),
                int((values > value + ALIKE).sum()),
                distance,
                None if half is None else distance <= half + 1e-12,
            )
        )
    means = [[float(np.mean(v)) for v in families.values()] for families in by_level.values()]
    within = [v for families in by_level.values() for v in families.values()]
    return Place(value, error, tuple(levels), _pooled(means)[0], _pooled(within)[0])


def _root(values: Sequence[float]) -> np.ndarray:
    return np.sqrt(np.clip(1 - np.asarray(values, float), 0, 1))


def _root_error(value: float, error: float) -> float:
    """Return a standard error on the scale of g: half the width of the interval of one error there."""
    low, high = _root([min(1.0, value + error), max(0.0, value - error)])
    return float(high - low) / 2


def _pooled(groups: Sequence[Sequence[float]]) -> tuple[float | None, int]:
    """Return the standard deviation within groups and its degrees of freedom; None without any."""
    df = sum(len(group) - 1 for group in groups)
    if df < 1:
        return None, 0
    return (sum(float(np.var(group)) * len(group) for group in groups) / df) ** 0.5, df


def _t(df: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, df))
