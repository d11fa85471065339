"""Placing a value: intervals against a computation by hand and a simulation, counts, ties, families and seeds."""

import numpy as np
import pytest
from scipy.stats import t

from nmfdiag.diagnosis.place import KnownValue, place_value


def families(level: float, *values: float) -> list[KnownValue]:
    return [KnownValue(value, level, name) for name, value in zip("abcdefgh", values, strict=False)]


CLEAN, NOISY = families(0, 0.95, 0.93, 0.94), families(1, 0.80, 0.83, 0.81)


def test_the_interval_is_that_of_a_new_family() -> None:
    roots = [np.sqrt(1 - np.array([k.value for k in level])) for level in (CLEAN, NOISY)]
    s = np.sqrt(np.mean([r.var(ddof=1) for r in roots]))
    half = t.ppf(0.975, 4) * s * np.sqrt(1 + 1 / 3)
    edge = 1 - (roots[1].mean() - half) ** 2  # the highest value that goes with level 1
    assert place_value(edge - 1e-6, [*CLEAN, *NOISY]).compatible == (1,)
    assert place_value(edge + 1e-6, [*CLEAN, *NOISY]).compatible == ()
    between = np.mean([np.var([k.value for k in level], ddof=1) for level in (CLEAN, NOISY)]) ** 0.5
    assert place_value(0.9, [*CLEAN, *NOISY]).between_families == pytest.approx(between)


def test_a_new_family_of_a_level_is_mostly_compatible_with_it() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        g = {level: mean + 0.03 * rng.normal(size=5) for level, mean in ((0, 0.2), (0.5, 0.35), (1, 0.45))}
        known_values = [
            KnownValue(1 - value**2, level, str(i)) for level, roots in g.items() for i, value in enumerate(roots[1:])
        ]
        hits += 0.5 in place_value(1 - g[0.5][0] ** 2, known_values).compatible
    assert 0.92 <= hits / 400 <= 0.98


def test_more_seeds_of_a_family_are_no_more_evidence() -> None:
    seeds = [KnownValue(k.value + shift, k.level, k.family) for k in [*CLEAN, *NOISY] for shift in (-1e-5, 1e-5)]
    once, often = place_value(0.86, [*CLEAN, *NOISY]), place_value(0.86, seeds)
    assert often.compatible == once.compatible and often.levels[0].families == 3 and often.levels[0].n == 6
    assert often.within_family == pytest.approx(2**0.5 * 1e-5, rel=1e-2) and once.within_family is None


def test_one_family_counts_but_gives_no_range() -> None:
    place = place_value(0.9, [*CLEAN[:1], *NOISY[:1]])
    assert not place.ranged and place.compatible == () and place.between_families is None
    assert [(level.below, level.above) for level in place.levels] == [(0, 1), (1, 0)]
    assert place.nearer_end == 0 and place_value(0.82, [*CLEAN[:1], *NOISY[:1]]).nearer_end == 1


def test_what_is_alike_is_neither_below_nor_above() -> None:
    [level] = place_value(1.0, families(0, 1.0, 0.9998, 0.99)).levels
    assert (level.below, level.above, level.low, level.high) == (1, 0, 0.99, 1.0)


def test_only_an_error_beyond_the_known_ones_widens() -> None:
    known_values = [KnownValue(k.value, k.level, k.family, 0.01) for k in [*CLEAN, *NOISY]]
    sharp, alike, vague = (place_value(0.875, known_values, error=error).compatible for error in (0.0, 0.008, 0.1))
    assert sharp == alike == () and vague == (0, 1)
