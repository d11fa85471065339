"""The error that a network is expected to make on new samples, from controls on its training samples alone."""

from dataclasses import dataclass

import numpy as np

from nmfdiag.measures.suspects.result import Suspects

SMALLEST, LARGEST = 0.005, 0.995
"""Accuracies are kept between these before their log odds are taken."""


@dataclass(frozen=True)
class ExpectedError:
    """The share of new samples, with right labels, that the network is expected to get wrong.

    Attributes:
        estimate: In [0, 1].
        low: Lower end of the interval.
        high: Its upper end.
    """

    estimate: float
    low: float
    high: float


def expected_error(suspects: Suspects) -> ExpectedError | None:
    """Return the expected error; None where the noise rate can't be told.

    Args:
        suspects: What the network says about the labels of its training samples.
    """
    rate = suspects.noise_rate
    if rate.reason:
        return None
    probe = suspects.accuracies["probe of all layers"] / max(1 - rate.estimate, 0.1)
    estimate = float(np.clip(1 - probe, 0, 1))
    return ExpectedError(estimate, max(0.0, estimate - 0.15), min(1.0, estimate + 0.15))
