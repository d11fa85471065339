"""Summaries over curves: mean and standard error over classes, the rule for a clear difference, layers that separate levels of noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nmfdiag.measures.curve import CompressionCurve

VALUES = ("accuracy", "relative_error", "absolute_error")
CLEAR_ERRORS = 2.0
"""Standard errors that a clear difference exceeds: about a 95 % interval over ten classes."""
SMALLEST_DIFFERENCE = 0.02
"""AuC or accuracy that a clear difference exceeds, however small its error: one sample of a batch of 50."""


@dataclass(frozen=True)
class Spread:
    """Mean, standard deviation and standard error of ``n`` values."""

    mean: float
    sd: float
    sem: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the 95 % interval of the mean, by Student's t; NaN for a single value."""
        if self.n < 2:
            return float("nan")
        from scipy.stats import t

        return float(t.ppf(0.975, self.n - 1)) * self.sem

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.sem:.2f}" if self.n > 1 else f"{self.mean:.2f}"


def spread(values: Sequence[float]) -> Spread:
    """Return mean and spread of at least one value; the spread of a single one is 0."""
    x = np.asarray(values, float)
    sd = float(x.std(ddof=1)) if len(x) > 1 else 0.0
    return Spread(float(x.mean()), sd, sd / len(x) ** 0.5, len(x))


def clearly_positive(difference: Spread) -> bool:
    """Return whether a mean difference exceeds :data:`CLEAR_ERRORS` standard errors and :data:`SMALLEST_DIFFERENCE`."""
    return difference.mean > max(CLEAR_ERRORS * difference.sem, SMALLEST_DIFFERENCE)


def clearly_above(a: Spread, b: Spread) -> bool:
    """Return whether the mean of a clearly exceeds that of b, measured independently."""
    return clearly_positive(Spread(a.mean - b.mean, 0.0, (a.sem**2 + b.sem**2) ** 0.5, min(a.n, b.n)))


def mean_curve(curves: Sequence[CompressionCurve], value: str = "accuracy") -> dict[int, Spread]:
    """Return mean and spread over curves of one of :data:`VALUES` by rank, at the ranks at which every curve has a value.

    Classes with few samples have a smaller full rank; beyond it their approximation is exact: accuracy is the baseline's,
    or that of zeros where the directions were removed, and the error 0.
    """
    ranks = sorted({k for curve in curves for k in curve.ranks})
    by_rank = [dict(zip(curve.ranks, getattr(curve, value), strict=True)) for curve in curves]
    exact = [curve.accuracy_beyond if value == "accuracy" else 0.0 for curve in curves]
    full = [curve.full_rank for curve in curves]
    return {
        k: spread([values.get(k, e) for values, e in zip(by_rank, exact, strict=True)])
        for k in ranks
        if all(k in values or k >= f for values, f in zip(by_rank, full, strict=True))
    }


def rank_needed(curves: Sequence[CompressionCurve], share: float = 0.9) -> int | None:
    """Return the smallest computed rank at which the mean accuracy reaches this share of the mean baseline; None if none does."""
    baseline = spread([curve.baseline_accuracy for curve in curves]).mean
    return next((k for k, accuracy in mean_curve(curves).items() if accuracy.mean >= share * baseline), None)


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Return Spearman's correlation; NaN if one side is constant or there are fewer than three pairs."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)


def separating_layers(auc_by_noise: Mapping[float, Mapping[str, Spread]]) -> list[str]:
    """Return the layers at which AuC is clearly higher for the least noisy network than for the most noisy one.

    Args:
        auc_by_noise: For each p, the spread over classes of each layer's AuC.
    """
    if len(auc_by_noise) < 2:
        return []
    clean, noisy = auc_by_noise[min(auc_by_noise)], auc_by_noise[max(auc_by_noise)]
    return [layer for layer, auc in clean.items() if layer in noisy and clearly_above(auc, noisy[layer])]
