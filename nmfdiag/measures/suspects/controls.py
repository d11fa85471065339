"""What the answers on a network are made from: a few figures of its suspects, without the samples."""

from collections.abc import Mapping
from dataclasses import dataclass

from nmfdiag.measures.suspects.noise_rate import NoiseRate

NETWORK, PROBE, INPUTS, MOVED = "network", "probe of all layers", "probe of the inputs", "moved copies"
"""Names of the accuracies."""
MOST_SCORED = 10_000
"""Samples, evenly of each class, whose labels a diagnosis scores at most."""


@dataclass(frozen=True)
class Controls:
    """What controls on its own samples say about a network.

    Attributes:
        noise_rate: How many labels are wrong.
        accuracies: On the given labels, by name; those of :class:`~nmfdiag.measures.suspects.result.Suspects`.
        accuracy_by_layer: Accuracy of each layer's leave-one-out probe on the given labels, by layer in execution order.
        agreement: Share of the samples for which the network and the probe of all layers predict the same label; None where the predictions were not kept.
        confirmed: The network's accuracy on the given labels that this probe confirms, 0 where there are none; None as before.
        largest_class: Share of the samples that the largest class has.
        has_contradictions: Whether an input occurs with several labels.
        n_samples: Samples that were scored.
    """

    noise_rate: NoiseRate
    accuracies: Mapping[str, float]
    accuracy_by_layer: Mapping[str, float]
    agreement: float | None
    confirmed: float | None
    largest_class: float
    has_contradictions: bool
    n_samples: int
