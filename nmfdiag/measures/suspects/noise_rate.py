"""How many labels are wrong: the samples with their labels swapped show what wrong labels look like.

For each sample ``i`` and class ``c``, ``s_ic = max_{d != c} log P_id - log P_ic`` says how much a probe speaks against ``c``. Given labels have the
scores ``G = {s_i,y_i}``, swapped ones ``F = {s_ic : c != y_i}``, weighted so that each sample counts once and classes by their size. Above any
threshold ``t`` at most ``p F(t)`` of the wrong labels can lie, hence ``p <= G(t) / F(t)``; the rate is the least of these over thresholds, each with
one standard error of ``G(t)`` added. Two things it can't know: where classes overlap, right labels look like swapped ones and the rate is too high; a
label that was swapped at random is easier to tell than a person's error, so that errors between look-alike classes count in part only.
"""

from dataclasses import dataclass

import numpy as np

from nmfdiag.text import percent

SHARES = tuple(np.arange(0.15, 1.001, 0.05))
"""Shares of the swapped labels above the thresholds."""
RESAMPLES = 200
SWAPS = 20
"""Most classes that each sample's label is swapped to; of more they are drawn by their size."""
MOST_SAMPLES = 10_000
"""Samples that the rate is measured on at most."""
SEED = 0
SURE_SHARES = (0.05, 0.1, 0.2, 0.3)
"""Shares of a class's number among which the samples count as those that a probe is most sure are of the class."""
FEW_WRONG = 0.25
"""Upper end of the interval up to which there is said to be no sign of wrong labels, if its lower end is near zero."""
CLEAR_RATE = 0.005
"""Lower end of the interval from which on labels are said to look wrong."""
PRECISION_POINTS = 40
"""Numbers of most suspicious samples at which the precision is computed."""
FEWEST_RANKED = 20
"""Most suspicious samples below which the share of wrong ones is that of so many: fewer swapped labels tell nothing."""


@dataclass(frozen=True)
class NoiseRate:
    """The share of wrong labels.

    Attributes:
        estimate: In [0, 1]; too high where classes overlap, too low where errors look alike; the lower end where that is no sign of wrong labels,
            0 where there is a ``reason``.
        low: Lower end of the 95 % interval (bootstrap over samples).
        high: Its upper end, at least the exact binomial limit.
        n_samples: Samples that it was measured on.
        reason: Why the rate can't be told; then the interval is 0 to 1.
        contradicted: Share of the labels that the probe of all layers contradicts: errors between look-alike classes, which the control hardly sees,
            are among them, and right labels where classes overlap.
    """

    estimate: float
    low: float
    high: float
    n_samples: int
    reason: str = ""
    contradicted: float = 1.0

    @property
    def statement(self) -> str:
        """The rate in a sentence."""
        if self.reason:
            return f"How many labels are wrong can't be told: {self.reason}."
        if not self.is_known:
            return f"Whether labels are wrong can't be told from these samples: 0 to {percent(self.high)} may be."
        if not self.is_clear:
            return (
                f"No sign of labels swapped at random (95 %: at most {percent(self.high)}). Errors between look-alike classes hardly show here: they are among "
                f"the {percent(self.contradicted)} of the labels that the layers contradict."
            )
        return (
            f"About {percent(self.estimate)} of the labels look wrong (95 %: {percent(self.low)} to {percent(self.high)}): fewer where "
            f"classes overlap{f', up to {percent(self.contradicted)} where errors are between look-alike classes' if self.contradicted > self.high else ''}."
        )

    @property
    def is_known(self) -> bool:
        """Whether the interval tells many wrong labels from none."""
        return not self.reason and (self.is_clear or self.high <= FEW_WRONG)

    @property
    def is_clear(self) -> bool:
        """Whether the interval is clearly above zero."""
        return not self.reason and self.low > CLEAR_RATE


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


def sure_and_wrong(log_probabilities: np.ndarray, labels: np.ndarray, share: float) -> tuple[int, int]:
    """Return of how many of the samples that a probe is most sure are of a class the given label is another one, and how many there are.

    Whatever turned the labels of a class into others, also into a certain other one: of samples that are surely of the class, the share of other labels is
    that of the wrong ones. A probe of layers that don't remember labels is less sure and says too many, one of layers that do says too few.

    Args:
        log_probabilities: The probe's ``log P`` (m, K).
        labels: Given labels (m,).
        share: How many are taken of each class, in parts of its number.
    """
    n_wrong = n_sure = 0
    for c, n_class in enumerate(np.bincount(labels, minlength=log_probabilities.shape[1])):
        if n_class:
            surest = np.argsort(-log_probabilities[:, c], kind="stable")[: max(1, round(share * n_class))]
            n_wrong += int((labels[surest] != c).sum())
            n_sure += len(surest)
    return n_wrong, n_sure


def bounded_rate(rate: NoiseRate, first: np.ndarray, joint: np.ndarray, labels: np.ndarray, least: float) -> NoiseRate:
    """Return the swap control's rate with an interval that holds for labels that were not swapped at random, too.

    Args:
        rate: The swap control's.
        first: ``log P`` (m, K) of a probe of layers that don't remember labels, or of the inputs: says too many.
        joint: ``log P`` (m, K) of a probe of all unseparated layers: says too few.
        labels: Given labels (m,).
        least: Share of labels that are certainly wrong.
    """
    from scipy.stats import beta

    sure_counts = [sure_and_wrong(first, labels, share) for share in SURE_SHARES]
    share = min(wrong / n for wrong, n in sure_counts)
    upper = min(float(beta.ppf(0.975, wrong + 1, n - wrong)) if wrong < n else 1.0 for wrong, n in sure_counts)
    n_wrong, n_sure = sure_and_wrong(joint, labels, SURE_SHARES[1])
    lower = float(beta.ppf(0.025, n_wrong, n_sure - n_wrong + 1)) if n_wrong else 0.0
    estimate, low = rate.estimate, rate.low
    if lower > estimate:  # errors that the probe takes for a trait of the class
        estimate, low = max(share, lower), lower
    estimate, low, high = max(estimate, least), max(low, least), max(rate.high, upper, estimate)
    return NoiseRate(estimate if low > CLEAR_RATE else low, low, high, rate.n_samples)


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
