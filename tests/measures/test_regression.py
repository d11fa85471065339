"""The line agrees with numpy, its band covers planted lines, and undefined lines are None."""

import numpy as np
import pytest

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.stats.regression import exponent, fitted_line


def sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.2, 1.0, n)
    return x, 0.7 - 0.5 * x + 0.1 * rng.normal(size=n)


def test_the_line_is_that_of_least_squares() -> None:
    x, y = sample(40, 0)
    line = fitted_line(x, y, points=5)
    assert line is not None and (line.slope, line.intercept) == pytest.approx(tuple(np.polyfit(x, y, 1)))
    assert line.at == pytest.approx(np.linspace(x.min(), x.max(), 5))
    assert line.values == pytest.approx(np.polyval(np.polyfit(x, y, 1), line.at))
    assert all(low < value < high for low, value, high in zip(line.low, line.values, line.high, strict=True))


def test_the_band_covers_the_planted_line() -> None:
    inside = []
    for seed in range(200):
        line = fitted_line(*sample(60, seed), points=3, draws=400)
        assert line is not None
        inside += [low < 0.7 - 0.5 * x < high for x, low, high in zip(line.at, line.low, line.high, strict=True)]
    assert 0.9 < np.mean(inside) < 0.98


def test_the_band_is_narrowest_in_the_middle_and_is_seeded() -> None:
    x, y = sample(60, 1)
    line = fitted_line(x, y)
    assert line is not None and line == fitted_line(x, y) and line != fitted_line(x, y, seed=1)
    width = np.subtract(line.high, line.low)
    assert width[len(width) // 2] < 0.8 * min(width[0], width[-1])


def test_points_on_a_line_have_no_band() -> None:
    line = fitted_line([0, 1, 2, 3, 4], [1, 3, 5, 7, 9])
    assert line is not None and line.low == pytest.approx(line.values) and line.high == pytest.approx(line.values)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1, 2], [1, 2]), ([0.5, 0.5, 0.5], [1, 2, 3])])
def test_without_a_line_there_is_none(x: list, y: list) -> None:
    assert fitted_line(x, y) is None


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [([1, 2, 3], [1, 2], r"\(3,\) and y of shape \(2,\)"), ([1, 2, 3], [1, 2, float("nan")], "NaN")],
)
def test_bad_input_is_explained(x: list, y: list, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        fitted_line(x, y)


def test_planted_exponents() -> None:
    sizes = [10, 20, 40, 80, 160]
    slope, error = exponent(sizes, [3 * n**0.7 for n in sizes])
    assert slope == pytest.approx(0.7) and error == pytest.approx(0, abs=1e-9)
    noisy = 2.0 * np.array(sizes) ** 0.5 * np.exp(np.random.default_rng(0).normal(0, 0.1, 5))
    slope, error = exponent(sizes, noisy)
    assert error > 0.01 and abs(slope - 0.5) < 4 * error
    with pytest.raises(NmfdiagError, match="two different"):
        exponent([5, 5], [1, 2])
