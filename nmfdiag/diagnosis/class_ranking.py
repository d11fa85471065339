"""Which classes a network memorises most: the AuC of each class beside the others', over the layers that tell anything."""

from dataclasses import dataclass

import numpy as np

from nmfdiag.measures.auc import SATURATED
from nmfdiag.measures.layer_profile import LayerProfile
from nmfdiag.measures.stats.summary import SMALLEST_DIFFERENCE, Spread, spread


@dataclass(frozen=True)
class ClassReading:
    """One class beside the others.

    Attributes:
        class_idx: The class.
        auc: Its mean AuC over the unsaturated layers, with its spread over draws (``n`` is their number).
        gap: That minus the mean of all classes, with its spread over draws.
        layers: How many layers it was measured at.
        below: At how many of these it lies below the mean of the classes.
        lowest: The layer at which its AuC is lowest, and that.
        n_samples: Samples in a batch.
    """

    class_idx: int
    auc: Spread
    gap: Spread
    layers: int
    below: int
    lowest: tuple[str, float]
    n_samples: int

    @property
    def clear(self) -> bool | None:
        """Whether its 95 % interval over draws lies below the classes' mean, and the gap is 0.02 or more; None of one draw."""
        if self.gap.n < 2:
            return None
        return self.gap.mean < -max(self.gap.half_width, SMALLEST_DIFFERENCE)


def unsaturated(profile: LayerProfile, method: str = "nmf") -> list[str]:
    """Layers whose mean AuC is below :data:`SATURATED`."""
    return [layer for layer, at in profile.auc_by_layer(method).items() if at.mean < SATURATED]


def class_readings(profile: LayerProfile, method: str = "nmf") -> tuple[ClassReading, ...]:
    """Every class, the lowest mean AuC first; none where a single class, a mixture or only saturated layers were measured.

    At each layer and draw a class's gap is its AuC minus the mean over the classes there, so that a class that some layer is
    missing for is compared like with like.
    """
    layers = unsaturated(profile, method)
    some = [
        m for m in profile.measured if m.curve.method == method and m.curve.layer in layers and m.class_idx is not None
    ]
    classes, draws = sorted({m.class_idx for m in some if m.class_idx is not None}), sorted({m.draw for m in some})
    if len(classes) < 2:
        return ()
    auc = np.full((len(draws), len(layers), len(classes)), np.nan)
    samples = dict.fromkeys(classes, 0)
    for m in some:
        if m.class_idx is not None:
            auc[draws.index(m.draw), layers.index(m.curve.layer), classes.index(m.class_idx)] = m.curve.auc
            samples[m.class_idx] = max(samples[m.class_idx], m.curve.n_samples)
    there = ~np.isnan(auc)
    mean = np.nansum(auc, axis=2, keepdims=True) / np.maximum(there.sum(axis=2, keepdims=True), 1)
    gaps = auc - mean
    found = []
    for i, c in enumerate(classes):
        measured = there[:, :, i]
        with_any = [d for d in range(len(draws)) if measured[d].any()]
        by_layer = {layer: float(np.nanmean(auc[:, j, i])) for j, layer in enumerate(layers) if measured[:, j].any()}
        lower = [float(np.nanmean(gaps[:, j, i])) < 0 for j in range(len(layers)) if measured[:, j].any()]
        lowest = min(by_layer, key=by_layer.__getitem__)
        found.append(
            ClassReading(
                c,
                spread([float(np.nanmean(auc[d, :, i])) for d in with_any]),
                spread([float(np.nanmean(gaps[d, :, i])) for d in with_any]),
                len(by_layer),
                sum(lower),
                (lowest, by_layer[lowest]),
                samples[c],
            )
        )
    return tuple(sorted(found, key=lambda reading: reading.gap.mean))
