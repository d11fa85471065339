"""The swap control: the samples with their labels swapped show what wrong labels look like.

For each sample ``i`` and class ``c``, ``s_ic = max_{d != c} log P_id - log P_ic`` says how much a probe speaks against ``c``. Given labels have the
scores ``G = {s_i,y_i}``, swapped ones ``F = {s_ic : c != y_i}``, weighted so that each sample counts once and classes by their size. Above any
threshold ``t`` at most ``p F(t)`` of the wrong labels can lie, hence ``p <= G(t) / F(t)``; the rate is the least of these over thresholds, each with
one standard error of ``G(t)`` added.
"""

from dataclasses import dataclass

import numpy as np

from nmfdiag.measures.suspects.noise_rate import NoiseRate

SHARES = tuple(np.arange(0.15, 1.001, 0.05))
"""Shares of the swapped labels above the thresholds."""
RESAMPLES = 200
SWAPS = 20
"""Most classes that each sample's label is swapped to; of more they are drawn by their size."""
SEED = 0
PRECISION_POINTS = 40
"""Numbers of most suspicious samples at which the precision is computed."""
FEWEST_RANKED = 20
"""Most suspicious samples below which the share of wrong ones is that of so many: fewer swapped labels tell nothing."""


@dataclass(frozen=True, eq=False)
class PrecisionTable:
    """The expected share of wrong labels among the most suspicious samples.

    Attributes:
        shares: Of the samples that count as most suspicious, ascending (t,).
        values: The expected precision of each (t,); between them it is interpolated.
    """

    shares: np.ndarray
    values: np.ndarray

    def precision(self, share: float) -> float:
        """Return the expected precision among a share of the samples."""
        return float(np.interp(share, self.shares, self.values))


@dataclass(frozen=True)
class SwapControl:
    """Scores of given and of swapped labels.

    Attributes:
        given_scores: Of each sample's given label (m,).
        swapped_scores: Of its label swapped to other classes (m, s).
        weights: Of the swaps (m, s); each row sums to 1.
    """

    given_scores: np.ndarray
    swapped_scores: np.ndarray
    weights: np.ndarray

    def rate(self) -> NoiseRate:
        """Return the share of wrong labels."""
        n = len(self.given_scores)
        thresholds = self._thresholds()
        above = self.given_scores[:, None] >= thresholds  # (m, thresholds)
        swapped_above = np.stack([(self.weights * (self.swapped_scores >= t)).sum(1) for t in thresholds], 1)
        generator = np.random.default_rng(SEED)
        draws = [np.arange(n), *(generator.integers(0, n, n) for _ in range(RESAMPLES))]
        estimates = [_least_ratio(above[rows].mean(0), swapped_above[rows].mean(0), n) for rows in draws]
        low, high = np.quantile(estimates[1:], [0.025, 0.975])
        high = max(high, self._upper_bound(above.sum(0), swapped_above.mean(0), n))
        return NoiseRate(estimates[0], float(min(low, estimates[0])), float(max(high, estimates[0])), n)

    @staticmethod
    def _upper_bound(n_above: np.ndarray, swapped_above: np.ndarray, n: int) -> float:
        """Return the least rate that exact binomial limits allow: a bootstrap of none above a threshold has none."""
        from scipy.stats import beta

        limits = beta.ppf(0.975, n_above + 1, np.maximum(n - n_above, 1e-9))
        return float(min(1.0, (limits / swapped_above).min()))

    def precision_table(self, rate: float) -> PrecisionTable:
        """Return the expected share of wrong labels among the most suspicious samples by this control's score; it never rises with their number.

        Args:
            rate: The share of wrong labels among all.
        """
        n = len(self.given_scores)
        counts = np.unique(np.geomspace(min(FEWEST_RANKED, n), n, PRECISION_POINTS).round().astype(int))
        thresholds = np.sort(self.given_scores)[n - counts]
        swapped = np.array([(self.weights * (self.swapped_scores >= t)).sum() / n for t in thresholds])
        return PrecisionTable(counts / n, np.minimum.accumulate(np.minimum(1.0, rate * swapped / (counts / n))))

    def _thresholds(self) -> np.ndarray:
        scores, weights = self.swapped_scores.ravel(), self.weights.ravel()
        order = np.argsort(-scores, kind="stable")
        cumulated = np.cumsum(weights[order]) / weights.sum()
        places = np.searchsorted(cumulated, [share for share in SHARES if share < 1 - 1e-9])
        return np.append(scores[order][np.minimum(places, len(order) - 1)], -np.inf)


def swap_control(log_probabilities: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> SwapControl:
    """Return the control's scores.

    Args:
        log_probabilities: A probe's ``log P`` (m, K).
        labels: Given labels (m,).
        counts: Samples of each class (K,).
    """
    m, n_classes = log_probabilities.shape
    rows = np.arange(m)
    best_two = np.sort(log_probabilities, 1)[:, -2:]
    best_other = np.where(log_probabilities == best_two[:, 1:], best_two[:, :1], best_two[:, 1:])
    scores = best_other - log_probabilities
    share = np.tile(counts / counts.sum(), (m, 1))
    share[rows, labels] = 0
    share /= np.maximum(share.sum(1, keepdims=True), 1e-300)
    if n_classes - 1 <= SWAPS:
        return SwapControl(scores[rows, labels], scores, share)
    points = np.random.default_rng(SEED).random((m, SWAPS))
    drawn_classes = (np.cumsum(share, 1)[:, None, :] < points[:, :, None]).sum(2).clip(max=n_classes - 1)
    weights = np.full((m, SWAPS), 1 / SWAPS)
    return SwapControl(scores[rows, labels], np.take_along_axis(scores, drawn_classes, 1), weights)


def _least_ratio(above: np.ndarray, swapped_above: np.ndarray, n: int) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        bounds = (above + np.sqrt(above * (1 - above) / n)) / swapped_above
    return float(min(1.0, np.nanmin(bounds)))
