"""The area under a k-vs-accuracy curve (AuC), and the other definitions that findings compare."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from nmfdiag.errors import NmfdiagError

AXES = ("linear", "log")


def auc(
    ranks: Sequence[int],
    accuracy: Sequence[float],
    *,
    axis: str = "linear",
    baseline: float | None = None,
    clip: bool = False,
) -> float:
    """Mean height of the accuracy over the rank axis, by trapezoids from the first rank to the last.

    ``AuC = integral of accuracy(x) dx / (x_last - x_first)`` with x = k or x = log k. Both the rank and the accuracy are
    thereby normalised: a network that is right at every rank has 1. A curve that rises above its baseline counts as it is.

    Args:
        ranks: Ascending ranks, (m,); from 1 to the full rank on the default grid.
        accuracy: Accuracy on the given labels at each, (m,), in [0, 1].
        axis: ``"linear"`` (the default) or ``"log"``, which weighs small ranks more and tells apart saturated curves.
        baseline: Uncompressed accuracy by which to divide (relative AuC); default none.
        clip: Whether accuracy above the baseline counts as the baseline.

    Raises:
        NmfdiagError: If the lengths disagree, ranks don't ascend from 1 on, an accuracy is no number, or the axis is unknown.

    References:
        Collins et al. 2018, section 4 and figure 2c.

    >>> auc([1, 2, 4], [0.0, 1.0, 1.0])
    0.8333333333333334
    """
    if axis not in AXES:
        raise NmfdiagError(f"Unknown AuC axis {axis!r}: accepted are {', '.join(AXES)}.")
    if len(ranks) != len(accuracy) or not len(ranks):
        raise NmfdiagError(f"An AuC needs one accuracy a rank, got {len(ranks)} ranks and {len(accuracy)} accuracies.")
    if ranks[0] < 1 or any(later <= earlier for earlier, later in pairwise(ranks)):
        raise NmfdiagError(f"An AuC needs ranks that ascend from 1 on, got {list(ranks)}.")
    x = np.log(ranks) if axis == "log" else np.asarray(ranks, float)
    y = np.asarray(accuracy, float)
    if not np.isfinite(y).all():
        raise NmfdiagError(f"An AuC needs accuracies that are numbers, got {list(accuracy)}.")
    if clip and baseline is not None:
        y = np.minimum(y, baseline)
    if baseline is not None:
        if baseline == 0:
            return float("nan")
        y = y / baseline
    return float(np.trapezoid(y, x) / (x[-1] - x[0])) if len(x) > 1 else float(y[0])
