"""The error that a network is expected to make on new samples, from controls on its training samples alone.

Two controls carry (``benchmarks/jury``): how often the network and a leave-one-out probe of its layers predict the same label, or how often a probe of the inputs
predicts the given one, whichever is more, but no more than the second; and how many of the labels that this probe confirms the network predicts. A network that has memorised its
labels agrees with the probe on those alone that follow from the inputs; a network that has not fitted its labels misses some that the probe
confirms. The log odds of the accuracy are a line in those of both, fitted on networks whose test accuracy is known.
"""

from dataclasses import dataclass

import numpy as np

from nmfdiag.measures.suspects.controls import INPUTS, Controls

INTERCEPT, OF_AGREEMENT, OF_CONFIRMED = -1.7, 0.96, 0.41
"""Weights of the line, fitted on 62 networks of the zoo (at half weight) and 65 of the jury's development half."""
HALF_WIDTH, HALF_WIDTH_PER_LOG_ODDS = 0.75, 0.2
"""Half of the interval, in log odds, up to an accuracy of one half, and how much wider it is for each unit beyond: it holds the error of 90 % of these networks,
each predicted from those of other data sets (mean absolute error .057)."""
SMALLEST, LARGEST = 0.01, 0.99
"""Shares are kept between these before their log odds are taken."""


@dataclass(frozen=True)
class ExpectedError:
    """The share of new samples, with right labels, that the network is expected to get wrong.

    Attributes:
        estimate: In [0, 1].
        low: Lower end of its 90 % interval.
        high: Its upper end.
    """

    estimate: float
    low: float
    high: float


def expected_error(controls: Controls) -> ExpectedError | None:
    """Return the expected error; None where the noise rate can't be told, or the predictions were not kept.

    Args:
        controls: Those of the network.
    """
    if not controls.noise_rate.is_known or controls.agreement is None or controls.confirmed is None:
        return None
    explained = min(controls.confirmed, max(controls.agreement, controls.accuracies[INPUTS]))
    log_odds = INTERCEPT + OF_AGREEMENT * _log_odds(explained) + OF_CONFIRMED * _log_odds(controls.confirmed)
    half = HALF_WIDTH + HALF_WIDTH_PER_LOG_ODDS * max(0.0, log_odds)
    estimate, low, high = (float(1 / (1 + np.exp(log_odds + shift))) for shift in (0.0, half, -half))
    return ExpectedError(estimate, low, high)


def _log_odds(share: float) -> float:
    share = min(max(share, SMALLEST), LARGEST)
    return float(np.log(share / (1 - share)))
