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
SYSTEMATIC = 0.9
"""Factor of the interval's lower end: swapped labels are easier to tell than wrong ones, by how much is not known."""
OVERLAP = 0.15
"""By how much the lower end is lowered for each label that the layers contradict beyond the rate: where classes overlap, right labels look swapped, too.
With both, the
interval holds the truth in 62 of 62 zoo networks and 50 of 54 of the jury's development half without look-alike errors; in 57 and 50 without."""
FEW_WRONG = 0.25
"""Share of labels swapped at random that there may be at most where there is said to be no sign of wrong labels."""
CLEAR_RATE = 0.005
"""Lower end of the control's interval from which on labels are said to look wrong."""
MANY_WRONG = 0.5
"""Upper end from which on an interval that begins near zero tells nothing."""
NOISY = 0.1
"""Estimated share of wrong labels from which on labels count as wrong."""
LARGE_RATE = 0.15
"""Estimate from which on labels are said to look wrong even if that lower end is near zero."""
ONE_WAY, DIRECTED = 3.0, 1 / 3
"""Standard errors, and share of the confusions beyond chance, from which on errors count as having one direction. Of networks with right, uniformly wrong or
look-alike labels none has both (10,000 images of CIFAR-10 with right labels: 5.9 and .21), of 8 in which 20 % or more of a class were turned into another one
7 (zoo, suspects benchmark, jury's development half)."""
HALF_NORMAL_VARIANCE = 1 - 2 / np.pi
"""Variance of the difference of two counts, without its sign, for each of their samples."""
PRECISION_POINTS = 40
"""Numbers of most suspicious samples at which the precision is computed."""
FEWEST_RANKED = 20
"""Most suspicious samples below which the share of wrong ones is that of so many: fewer swapped labels tell nothing."""


@dataclass(frozen=True)
class NoiseRate:
    """The share of wrong labels.

    Attributes:
        estimate: In [0, 1]; too high where classes overlap, too low where errors look alike; 0 where there is no sign of wrong labels,
            or a ``reason``.
        low: Lower end of the 95 % interval (bootstrap over samples), lowered where classes overlap.
        high: Its upper end; it holds for errors between look-alike classes, too.
        n_samples: Samples that it was measured on.
        reason: Why the rate can't be told; then the interval is 0 to 1.
        contradicted: Share of the labels that the probe of all layers contradicts: errors between look-alike classes, which the control hardly sees,
            are among them, and right labels where classes overlap.
        swapped_high: Upper end for labels that were swapped at random alone.
    """

    estimate: float
    low: float
    high: float
    n_samples: int
    reason: str = ""
    contradicted: float = 1.0
    swapped_high: float = 1.0

    @property
    def statement(self) -> str:
        """The rate in a sentence."""
        if self.reason:
            return f"How many labels are wrong can't be told: {self.reason}."
        look_alike = (
            f", up to {percent(self.high)} where errors are between look-alike classes"
            if self.high > self.swapped_high
            else ""
        )
        if not self.is_known:
            return f"Whether labels are wrong can't be told from these samples: 0 to {percent(self.high)} may be."
        if not self.is_clear:
            return f"No sign of labels swapped at random: at most {percent(self.swapped_high)} are (95 %){look_alike}."
        return (
            f"About {percent(self.estimate)} of the labels look wrong (95 %: {percent(self.low)} to {percent(self.swapped_high)}): fewer where classes "
            f"overlap{look_alike}."
        )

    @property
    def is_known(self) -> bool:
        """Whether the interval tells many wrong labels from none."""
        is_wide = self.low <= CLEAR_RATE and self.swapped_high > MANY_WRONG
        return not self.reason and (self.is_clear or self.swapped_high <= FEW_WRONG) and not is_wide

    @property
    def is_clear(self) -> bool:
        """Whether labels look wrong."""
        return not self.reason and self.estimate > CLEAR_RATE


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
    classes, given_labels = _surest(log_probabilities, labels, share)
    return int((given_labels != classes).sum()), len(classes)


def _surest(log_probabilities: np.ndarray, labels: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the class (s,) and the given label (s,) of the samples that a probe is most sure are of a class."""
    classes, rows = [], []
    for c, n_class in enumerate(np.bincount(labels, minlength=log_probabilities.shape[1])):
        if n_class:
            n_surest = max(1, round(share * n_class))
            surest = np.argpartition(log_probabilities[:, c], -n_surest)[-n_surest:]
            classes.append(np.full(len(surest), c))
            rows.append(surest)
    return np.concatenate(classes), labels[np.concatenate(rows)]


@dataclass(frozen=True)
class OneWayErrors:
    """Wrong labels that go from a class to another one and not back, as classes that overlap don't.

    Attributes:
        estimate: Share of wrong labels among the samples that a probe is most sure of.
        low: Lower end of its 95 % interval.
        standard_errors: By how many standard errors the confusions of these samples are less even than chance makes them.
        directed: Share of these confusions, beyond chance, that have a direction.
        overlap: Share of these samples that have another label, either way.
    """

    estimate: float
    low: float
    standard_errors: float
    directed: float
    overlap: float

    @property
    def is_clear(self) -> bool:
        """Whether these errors have one direction by more than chance, and by more than classes that overlap unevenly."""
        return self.standard_errors > ONE_WAY and self.directed > DIRECTED


def one_way_errors(log_probabilities: np.ndarray, labels: np.ndarray, share: float) -> OneWayErrors:
    """Return the wrong labels that have one direction between classes: the swap control takes them for a trait of the class.

    Args:
        log_probabilities: ``log P`` (m, K) of a probe that does not remember labels.
        labels: Given labels (m,).
        share: How many of the surest samples are taken of each class, in parts of its number.
    """
    classes, given_labels = _surest(log_probabilities, labels, share)
    n_sure, wrong_rows = len(classes), given_labels != classes
    classes, given_labels = classes[wrong_rows], given_labels[wrong_rows]
    pairs = np.stack([np.minimum(classes, given_labels), np.maximum(classes, given_labels)])
    _, pair = np.unique(pairs, axis=1, return_inverse=True)
    forward, backward = np.bincount(pair, classes < given_labels), np.bincount(pair, classes > given_labels)
    total = forward + backward
    differences = float(np.abs(forward - backward).sum())
    expected = sum(_mean_difference(int(n)) for n in total)
    spread = np.sqrt(max(1.0, HALF_NORMAL_VARIANCE * total.sum()))
    one_way, wrong = differences / n_sure, float(total.sum()) / n_sure
    low = one_way - 2 * np.sqrt(max(wrong, 1 / n_sure) / n_sure)
    return OneWayErrors(
        (one_way + wrong) / 2,
        max(0.0, float(low)),
        float((differences - expected) / spread),
        float((differences - expected) / max(1.0, total.sum() - expected)),
        wrong,
    )


def _mean_difference(n: int) -> float:
    """Return by how much two counts of n samples differ on average if a coin decides each."""
    from scipy.stats import binom

    counts = np.arange(n + 1)
    return float((np.abs(2 * counts - n) * binom.pmf(counts, n, 0.5)).sum())


def bounded_rate(
    rate: NoiseRate,
    labels: np.ndarray,
    *,
    first: np.ndarray,
    inputs: np.ndarray,
    probed: np.ndarray,
    contradicted: float,
    least: float = 0.0,
) -> NoiseRate:
    """Return the swap control's rate with an interval that holds for labels that were not swapped at random, too.

    Args:
        rate: The swap control's.
        labels: Given labels (m,).
        first: ``log P`` (m, K) of the control's probe, of layers that don't remember labels, or of the inputs.
        inputs: The same of a probe of the inputs, which can't remember labels: no more can be wrong than among the samples that it is most sure of.
        probed: The same of a probe of the layers that the score is read from.
        contradicted: Share of the labels that the layers contradict.
        least: Share of labels that are certainly wrong.
    """
    shares = np.bincount(labels) / len(labels)
    by_chance = 1 - float((shares**2).sum())  # of random labels some are right
    input_limit = min(_limits(*sure_and_wrong(inputs, labels, share))[1] for share in SURE_SHARES[1:])
    estimate, swapped_high = min(rate.estimate, by_chance, input_limit), rate.high
    sure_limits = [_limits(*sure_and_wrong(log_p, labels, SURE_SHARES[1]))[0] for log_p in (inputs, probed)]
    low = min(SYSTEMATIC * rate.low, estimate) - OVERLAP * max(0.0, contradicted - estimate)
    if low <= CLEAR_RATE and estimate < LARGE_RATE:
        estimate = 0.0
    low = max(0.0, min(low, *sure_limits))
    one_way = [
        errors
        for errors in (one_way_errors(log_p, labels, share) for log_p in (first, inputs) for share in SURE_SHARES[1:])
        if errors.is_clear
    ]
    if one_way:
        errors = min(one_way, key=lambda errors: errors.overlap)
        estimate, low = max(estimate, errors.estimate), max(low, errors.low)
    estimate, low = max(estimate, least), max(low, least)
    swapped_high = max(swapped_high, estimate)
    upper = min(_limits(*sure_and_wrong(first, labels, share))[1] for share in SURE_SHARES)
    n = len(labels)
    high = max(swapped_high, upper, _limits(round(contradicted * n), n)[1])
    return NoiseRate(estimate, min(low, estimate), high, rate.n_samples, "", contradicted, swapped_high)


def _limits(n: int, n_all: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, n, n_all - n + 1)) if n else 0.0
    return low, float(beta.ppf(0.975, n + 1, n_all - n)) if n < n_all else 1.0


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
