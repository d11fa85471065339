"""The classes that a network memorises most: the AuC of each class beside the others', over the unsaturated layers."""

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
        layers: Number of layers at which it was measured.
        below: Number of these at which it lies below the mean of the classes.
        lowest: The layer of its lowest AuC, and that AuC.
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
        """Whether its 95 % interval over draws lies below the classes' mean by a clear gap; None for one draw."""
        if self.gap.n < 2:
            return None
        return self.gap.mean < -max(self.gap.half_width, SMALLEST_DIFFERENCE)


def unsaturated(profile: LayerProfile, method: str = "nmf") -> list[str]:
    """Return the layers whose mean AuC is below :data:`SATURATED`."""
    return [layer for layer, auc in profile.auc_by_layer(method).items() if auc.mean < SATURATED]


def class_readings(profile: LayerProfile, method: str = "nmf") -> tuple[ClassReading, ...]:
    """Return all classes, the lowest mean AuC first; none if a single class, a mixture or only saturated layers were measured.

    At each layer and draw, a class's gap is its AuC minus the mean over the classes measured there, so that a class without
    some layer is compared like with like.
    """
    layers = unsaturated(profile, method)
    rows = [
        (m.draw, m.curve.layer, m.class_idx, m.curve)
        for m in profile.measured
        if m.curve.method == method and m.curve.layer in layers and m.class_idx is not None
    ]
    draws, classes = sorted({draw for draw, *_ in rows}), sorted({class_idx for _, _, class_idx, _ in rows})
    if len(classes) < 2:
        return ()
    auc = np.full((len(draws), len(layers), len(classes)), np.nan)
    samples = dict.fromkeys(classes, 0)
    for draw, layer, class_idx, curve in rows:
        auc[draws.index(draw), layers.index(layer), classes.index(class_idx)] = curve.auc
        samples[class_idx] = max(samples[class_idx], curve.n_samples)
    is_measured = ~np.isnan(auc)
    gaps = auc - np.nansum(auc, axis=2, keepdims=True) / np.maximum(is_measured.sum(axis=2, keepdims=True), 1)
    readings = []
    for i, class_idx in enumerate(classes):
        class_draws = [d for d in range(len(draws)) if is_measured[d, :, i].any()]
        class_layers = [j for j in range(len(layers)) if is_measured[:, j, i].any()]
        by_layer = {layers[j]: float(np.nanmean(auc[:, j, i])) for j in class_layers}
        lowest = min(by_layer, key=by_layer.__getitem__)
        readings.append(
            ClassReading(
                class_idx,
                auc=spread([float(np.nanmean(auc[d, :, i])) for d in class_draws]),
                gap=spread([float(np.nanmean(gaps[d, :, i])) for d in class_draws]),
                layers=len(class_layers),
                below=sum(float(np.nanmean(gaps[:, j, i])) < 0 for j in class_layers),
                lowest=(lowest, by_layer[lowest]),
                n_samples=samples[class_idx],
            )
        )
    return tuple(sorted(readings, key=lambda reading: reading.gap.mean))
