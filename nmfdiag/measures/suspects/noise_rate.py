"""How many labels are wrong: the swap control's rate, bounded by what it can't see.

Two things that control (:mod:`nmfdiag.measures.suspects.swap_control`) can't know: where classes overlap, right labels look like swapped ones and the rate is too
high; a label that was swapped at random is easier to tell than a person's error, so that errors between look-alike classes count in part only.
"""

from dataclasses import dataclass

import numpy as np

from nmfdiag.measures.suspects.sure_samples import one_way_errors, sure_and_wrong
from nmfdiag.text import percent

MOST_SAMPLES = 10_000
"""Samples that the rate is measured on at most."""
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


@dataclass(frozen=True)
class NoiseRate:
    """The share of wrong labels.

    Attributes:
        estimate: In [0, 1]; too high where classes overlap, too low where errors look alike; 0 where there is no sign of wrong labels,
            or a ``reason``.
        low: Lower end of the 95 % interval (bootstrap over samples), lowered where classes overlap.
        high: Its upper end, which allows for errors between look-alike classes, but not always enough: claim S7 and the page *How far can you trust
            this?* count how often it holds the truth.
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
            f", up to about {percent(self.high)} where errors are between look-alike classes, sometimes more"
            if self.high > self.swapped_high
            else ""
        )
        if not self.is_known:
            return (
                f"Whether labels are wrong can't be told from these samples: up to about {percent(self.high)} may be."
            )
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
    """Return the swap control's rate with an interval that allows for labels that were not swapped at random, too.

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
