"""Least-squares line with a band: the range of lines fitted to other samples of the same kind; and growth exponents."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmfdiag.errors import NmfdiagError


@dataclass(frozen=True)
class Line:
    """A fitted line ``y = intercept + slope x`` and a pointwise band at chosen x.

    Attributes:
        slope: In units of y per unit of x.
        intercept: The value at x = 0.
        at: Positions x of the band, (points,).
        low: The band's lower edge, (points,).
        high: Its upper edge, (points,).
    """

    slope: float
    intercept: float
    at: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """The line itself, (points,)."""
        return tuple(self.intercept + self.slope * x for x in self.at)


def fitted_line(
    x: Sequence[float],
    y: Sequence[float],
    *,
    points: int = 21,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Line | None:
    """Fit a line by least squares, with a band of lines fitted to resampled pairs (bootstrap percentiles).

    Args:
        x: Finite values, (n,).
        y: Finite values, (n,).
        points: Number of positions from the least to the largest x at which the band is computed.
        level: Coverage at each position, in (0, 1).
        draws: Bootstrap samples.
        seed: Seed of the bootstrap.

    Returns:
        The line, or None if there are fewer than 3 pairs or x is constant.

    Raises:
        NmfdiagError: If lengths differ or a value is not finite.

    >>> line = fitted_line([1, 2, 3, 4], [3, 5, 7, 9])
    >>> round(line.slope, 6), round(line.intercept, 6)
    (2.0, 1.0)
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise NmfdiagError(f"A line needs one y for each x, got x of shape {a.shape} and y of shape {b.shape}.")
    if not np.isfinite(np.concatenate([a, b])).all():
        raise NmfdiagError("A line needs finite values, got NaN or infinity.")
    if len(a) < 3 or np.ptp(a) <= 1e-9 * np.abs(a).max():
        return None
    n = len(a)
    counts = np.random.Generator(np.random.PCG64(seed)).multinomial(n, np.full(n, 1 / n), draws)
    weights = np.vstack([np.ones((1, n)), counts.astype(np.float64)])
    mean_x, mean_y = weights @ a / n, weights @ b / n
    s_xx = weights @ (a * a) / n - mean_x**2
    s_xy = weights @ (a * b) / n - mean_x * mean_y
    use = s_xx > 1e-12 * s_xx.max()  # a draw with a single x has no line
    slope = s_xy[use] / s_xx[use]
    intercept = mean_y[use] - slope * mean_x[use]
    positions = np.linspace(a.min(), a.max(), points)
    lines = intercept[1:, None] + slope[1:, None] * positions
    low, high = np.quantile(lines, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Line(float(slope[0]), float(intercept[0]), *(tuple(v.tolist()) for v in (positions, low, high)))


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Fit ``seconds = c * sizes ** exponent`` by least squares on the logarithms.

    Args:
        sizes: Positive sizes, (n,), at least two different ones.
        seconds: Positive times, (n,).

    Returns:
        The exponent and its standard error.

    Raises:
        NmfdiagError: If a line can't be fitted to them.

    >>> round(exponent([1, 2, 4, 8], [3, 6, 12, 24])[0], 3)
    1.0
    """
    if len(sizes) != len(seconds) or len(set(sizes)) < 2 or min(*sizes, *seconds) <= 0:
        raise NmfdiagError(f"An exponent needs at least two different positive sizes, got {list(sizes)}.")
    x, y = np.log(sizes), np.log(seconds)
    x, y = x - x.mean(), y - y.mean()
    slope = float((x * y).sum() / (x * x).sum())
    residuals = y - slope * x
    return slope, float(np.sqrt((residuals * residuals).sum() / max(len(x) - 2, 1) / (x * x).sum()))
