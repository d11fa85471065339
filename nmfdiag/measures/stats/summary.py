"""Summaries over curves: mean and standard error over classes, and what separates levels of label noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nmfdiag.measures.curve import CompressionCurve

VALUES = ("accuracy", "relative_error", "absolute_error")


@dataclass(frozen=True)
class Spread:
    """Mean, standard deviation and standard error of ``n`` values."""

    mean: float
    sd: float
    sem: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the 95 % interval of the mean, by Student's t; NaN of a single value."""
        if self.n < 2:
            return float("nan")
        from scipy.stats import t

        return float(t.ppf(0.975, self.n - 1)) * self.sem

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.sem:.2f}" if self.n > 1 else f"{self.mean:.2f}"


def spread(values: Sequence[float]) -> Spread:
    """Mean and spread of at least one value; the spread of a single one is 0."""
    x = np.asarray(values, float)
    sd = float(x.std(ddof=1)) if len(x) > 1 else 0.0
    return Spread(float(x.mean()), sd, sd / len(x) ** 0.5, len(x))


def mean_curve(curves: Sequence[CompressionCurve], value: str = "accuracy") -> dict[int, Spread]:
    """Mean and spread over curves of one of :data:`VALUES` by rank, at the ranks where every curve's is known.

    Classes with few samples have a smaller full rank; from there on their approximation is exact: accuracy is the
    baseline's, or that of zeros where the directions were removed, and the error 0.
    """
    ranks = sorted({k for curve in curves for k in curve.ranks})
    known = [dict(zip(curve.ranks, getattr(curve, value), strict=True)) for curve in curves]
    exact = [curve.accuracy_beyond if value == "accuracy" else 0.0 for curve in curves]
    full = [curve.full_rank for curve in curves]
    return {
        k: spread([at.get(k, e) for at, e in zip(known, exact, strict=True)])
        for k in ranks
        if all(k in at or k >= f for at, f in zip(known, full, strict=True))
    }


def rank_needed(curves: Sequence[CompressionCurve], share: float = 0.9) -> int | None:
    """The smallest computed rank at which the mean accuracy reaches this share of the mean baseline; None if none does."""
    baseline = spread([curve.baseline_accuracy for curve in curves]).mean
    return next((k for k, at in mean_curve(curves).items() if at.mean >= share * baseline), None)


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's correlation; NaN where one side is constant or fewer than three pairs are given."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)


def separating_layers(auc_by_noise: Mapping[float, Mapping[str, Spread]]) -> list[str]:
    """Layers at which the least and the most noisy network differ by over two standard errors, noisier below.

    Args:
        auc_by_noise: For each p, the spread over classes of each layer's AuC.
    """
    if len(auc_by_noise) < 2:
        return []
    clean, noisy = auc_by_noise[min(auc_by_noise)], auc_by_noise[max(auc_by_noise)]
    return [
        layer
        for layer, a in clean.items()
        if layer in noisy and a.mean - noisy[layer].mean > max(2 * (a.sem**2 + noisy[layer].sem ** 2) ** 0.5, 0.02)
    ]
