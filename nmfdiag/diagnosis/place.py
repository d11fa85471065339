"""Where a value in [0, 1] lies among values whose level is known, and which levels it goes with.

Values are compared on the scale ``g = sqrt(1 - value)``: near 1, where a mean area under accuracy ends, the same difference
says more. A *family* is what its values have in common beside the level, such as a data set and an architecture. Families
are the unit: seeds of one family are averaged, so that many of them don't pass for evidence about a new family.

``s`` is the standard deviation of families within a level, pooled over the levels, with ``df`` degrees of freedom. A level of
``m`` families with mean ``g_level`` is compatible with a value where ``|g - g_level| <= t(df) sqrt(s^2 (1 + 1/m) + e^2)``: the
95 % prediction interval of a new family, widened by what the value's own error ``e`` exceeds the known ones'.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
ALIKE = 5e-4
"""Values that differ by no more are alike."""


@dataclass(frozen=True)
class Known:
    """A value whose level is known, and its standard error."""

    value: float
    level: float
    family: str
    error: float = 0.0


@dataclass(frozen=True)
class Level:
    """The known values of one level, seen from the value that is placed.

    Attributes:
        level: The level.
        n: Its values.
        families: Its families.
        low: The lowest value.
        high: The highest value.
        below: How many are lower than the placed value.
        above: How many are higher; the rest are alike.
        distance: To the families' mean, on the scale of ``g``.
        compatible: Whether the placed value may be one of these; None where families can't be told from levels.
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
        between_families: Standard deviation of families of one level, in units of the value; None where no level has two.
        within_family: The same of values of one family and level (seeds); None where no family has two.
    """

    value: float
    error: float
    levels: tuple[Level, ...]
    between_families: float | None
    within_family: float | None

    @property
    def ranged(self) -> bool:
        """Whether it can be said which levels are compatible."""
        return all(level.compatible is not None for level in self.levels)

    @property
    def compatible(self) -> tuple[float, ...]:
        """The compatible levels, ascending; none where that can't be said, too."""
        return tuple(level.level for level in self.levels if level.compatible)

    @property
    def nearer_end(self) -> float:
        """The lowest or the highest level, whichever is nearer."""
        return min((self.levels[0], self.levels[-1]), key=lambda level: level.distance).level


def placed(value: float, known: Sequence[Known], *, error: float = 0.0) -> Place:
    """Place a value among known ones.

    Args:
        value: In [0, 1].
        known: At least one.
        error: The value's standard error.

    >>> known = [Known(v, p, f) for p, values in ((0, (0.95, 0.93)), (1, (0.8, 0.78))) for f, v in zip("ab", values)]
    >>> placed(0.79, known).compatible
    (1,)
    """
    by_level: dict[float, dict[str, list[float]]] = {}
    for one in sorted(known, key=lambda k: k.level):
        by_level.setdefault(one.level, {}).setdefault(one.family, []).append(one.value)
    roots = {level: [_root(v).mean() for v in families.values()] for level, families in by_level.items()}
    s, df = _pooled(list(roots.values()))
    extra = max(
        0.0, _root_error(value, error) ** 2 - float(np.mean([_root_error(k.value, k.error) ** 2 for k in known]))
    )
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
    """A standard error on the scale of g: half the width that the interval of one error has there."""
    low, high = _root([min(1.0, value + error), max(0.0, value - error)])
    return float(high - low) / 2


def _pooled(groups: Sequence[Sequence[float]]) -> tuple[float | None, int]:
    """Standard deviation within groups and its degrees of freedom; None without any."""
    df = sum(len(group) - 1 for group in groups)
    if df < 1:
        return None, 0
    return (sum(float(np.var(group)) * len(group) for group in groups) / df) ** 0.5, df


def _t(df: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, df))
