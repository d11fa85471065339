"""The area under a k-vs-accuracy curve (AuC), and the other definitions that findings compare."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from nmfdiag.errors import NmfdiagError

AXES = ("linear", "log")
SATURATED = 0.995
"""AuC from which a layer counts as saturated: full accuracy at rank 1, up to rounding, so classes and levels look alike."""


def auc(
    ranks: Sequence[int],
    accuracy: Sequence[float],
    *,
    axis: str = "linear",
    baseline: float | None = None,
    clip: bool = False,
) -> float:
    """Return the mean height of the accuracy over the rank axis, by trapezoids from the first rank to the last.

    ``AuC = integral of accuracy(x) dx / (x_last - x_first)`` with x = k or x = log k. Rank and accuracy are thereby
    normalised: full accuracy at every rank gives 1. A curve that rises above its baseline is not clipped by default.

    Args:
        ranks: Ascending ranks, (m,); from 1 to the full rank on the default grid.
        accuracy: Accuracy on the given labels at each rank, (m,), in [0, 1].
        axis: ``"linear"`` (the default) or ``"log"``, which gives small ranks more weight and separates saturated curves.
        baseline: Uncompressed accuracy to divide by (relative AuC); default none.
        clip: Whether accuracy above the baseline counts as the baseline.

    Raises:
        NmfdiagError: If the lengths differ, ranks don't ascend from 1, an accuracy is not finite, or the axis is unknown.

    References:
        Collins et al. 2018, section 4 and figure 2c.

    >>> auc([1, 2, 4], [0.0, 1.0, 1.0])
    0.8333333333333334
    """
    if axis not in AXES:
        raise NmfdiagError(f"Unknown AuC axis {axis!r}: accepted are {', '.join(AXES)}.")
    if len(ranks) != len(accuracy) or not len(ranks):
        raise NmfdiagError(
            f"An AuC needs one accuracy per rank, got {len(ranks)} ranks and {len(accuracy)} accuracies."
        )
    if ranks[0] < 1 or any(later <= earlier for earlier, later in pairwise(ranks)):
        raise NmfdiagError(f"An AuC needs ranks that ascend from 1, got {list(ranks)}.")
    x = np.log(ranks) if axis == "log" else np.asarray(ranks, float)
    y = np.asarray(accuracy, float)
    if not np.isfinite(y).all():
        raise NmfdiagError(f"An AuC needs finite accuracies, got {list(accuracy)}.")
    if clip and baseline is not None:
        y = np.minimum(y, baseline)
    if baseline is not None:
        if baseline == 0:
            return float("nan")
        y = y / baseline
    return float(np.trapezoid(y, x) / (x[-1] - x[0])) if len(x) > 1 else float(y[0])
