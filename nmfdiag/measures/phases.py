"""Phases of a network, read from its single-class AuC by layer: feature extraction, memorisation, clustering.

The rule, from the input on:

- **clustering** is the longest run of last layers whose AuC is at least :data:`CLUSTERED`: one class needs hardly any rank;
- **memorisation** begins at the lowest AuC before that and ends where clustering begins;
- **feature extraction** is all that comes before.

There are *no clear phases* if fewer than three layers were measured, if the lowest AuC lies less than :data:`CLEAR_ERRORS`
standard errors, or less than :data:`SMALLEST_DIP`, below the highest one after it, or if no layer clusters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nmfdiag.measures.stats.summary import CLEAR_ERRORS

CLUSTERED = 0.95
"""Least AuC of a layer that clusters."""
SMALLEST_DIP = 0.05
"""Least dip of AuC that counts as memorisation, however small its error."""
FEWEST_LAYERS = 3
"""Measured layers that phases need, one for each."""


@dataclass(frozen=True)
class Phases:
    """Layers by phase, in order; without clear phases all are empty and ``reason`` says why."""

    feature_extraction: tuple[str, ...] = ()
    memorisation: tuple[str, ...] = ()
    clustering: tuple[str, ...] = ()
    reason: str = ""

    @property
    def clear(self) -> bool:
        return not self.reason


def phases(layers: Sequence[str], auc: Sequence[float], standard_error: Sequence[float]) -> Phases:
    """Find the phases of one network.

    Args:
        layers: Layer names from input to output, (m,).
        auc: Mean single-class AuC of each, (m,).
        standard_error: Its standard error over classes, (m,).

    References:
        Collins et al. 2018, figure 2c.

    >>> phases(["a", "b", "c", "d"], [0.9, 0.6, 0.8, 1.0], [0.01] * 4).memorisation
    ('b', 'c')
    """
    if len(layers) < FEWEST_LAYERS:
        return Phases(
            reason=f"phases need at least {FEWEST_LAYERS} layers, and {len(layers)} {'was' if len(layers) == 1 else 'were'} measured"
        )
    clustering = len(layers)
    while clustering and auc[clustering - 1] >= CLUSTERED:
        clustering -= 1
    if clustering == len(layers):
        return Phases(reason=f"the last layer's AuC is {auc[-1]:.2f}, below {CLUSTERED}: no layer clusters yet")
    if clustering == 0:
        return Phases(reason=f"every layer's AuC is at least {CLUSTERED}: nothing dips")
    lowest = min(range(clustering), key=auc.__getitem__)
    dip = max(auc[clustering:]) - auc[lowest]
    noise = CLEAR_ERRORS * (standard_error[lowest] ** 2 + standard_error[clustering] ** 2) ** 0.5
    if dip < max(noise, SMALLEST_DIP):
        return Phases(reason=f"AuC dips by only {dip:.2f} ({max(noise, SMALLEST_DIP):.2f} would be clear)")
    return Phases(tuple(layers[:lowest]), tuple(layers[lowest:clustering]), tuple(layers[clustering:]))
