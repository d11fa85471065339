"""The verdict on a network, decided here, from top to bottom.

1. A network is compared with reference networks, whose share p of random labels is known, unless :func:`reason_not_compared`
   names a reason. Without a comparison there is no verdict, only the phases.
2. The compared value is its mean AuC over layers and classes (:func:`nmfdiag.diagnosis.references.mean_over_layers`).
   :mod:`nmfdiag.diagnosis.place` computes which p it is compatible with: those in whose 95 % prediction interval
   (:data:`~nmfdiag.diagnosis.place.CONFIDENCE`) it lies.
3. :func:`finding` turns that into one of four findings.
4. :func:`is_weak` marks a clean finding of a network whose layers are all saturated.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from nmfdiag.diagnosis.class_ranking import unsaturated
from nmfdiag.diagnosis.place import ALIKE, Place
from nmfdiag.evidence.curve_records import PER_CLASS
from nmfdiag.measures.methods import METHODS
from nmfdiag.networks.architectures import NETWORK_KINDS
from nmfdiag.text import join, plural

if TYPE_CHECKING:
    from nmfdiag.measures.layer_profile import LayerProfile, ProfileCurve

MEMORISING, CLEAN, PARTLY, UNDECIDED = "memorising", "clean", "partly", "undecided"

MOST_MISSING = 0.2
"""Largest share of unmeasured layers: the compared value is a mean over layers, of which only a few may be missing."""
FEWEST_COMPARED_LAYERS = 3
"""Measured layers below which a mean over layers says too little."""
FEWEST_SAMPLES = 10
"""Samples per batch: with fewer, one sample is worth more than 0.1 of an accuracy."""
LEAST_BASELINE = 0.95
"""Accuracy on the given labels: curves hardly exceed it, so that below this AuC may be low only because the labels are not fitted."""


def reason_not_compared(profile: "LayerProfile", single_class: "Sequence[ProfileCurve]", kind: str) -> str:
    """Return why a network can't be compared with references; empty if it can.

    Args:
        profile: All curves of the network.
        single_class: Its curves of NMF on single-class batches.
        kind: Kind of the network.
    """
    if not single_class:
        if any(m.curve.method == "nmf" for m in profile.measured):
            return "The references were measured on batches of a single class, this network on mixtures."
        used = sorted({m.curve.method for m in profile.measured})
        methods = ", ".join(METHODS[method].phrase for method in used)
        return f"The references were measured with NMF of ReLU layers, this network with {methods}."
    if kind not in NETWORK_KINDS:
        return f"There are no references of this kind of network: they are {join(NETWORK_KINDS, 'or')}."
    layers, measured_layers = profile.network_layers or profile.layers, {m.curve.layer for m in single_class}
    n_measured = len(measured_layers)
    if n_measured < len(layers) * (1 - MOST_MISSING):
        return f"References are compared by the mean over all layers; only {n_measured} of {len(layers)} were measured."
    if n_measured < FEWEST_COMPARED_LAYERS:
        return (
            f"References are compared by the mean over layers: {plural(n_measured, 'ReLU layer')} "
            f"can't be, {FEWEST_COMPARED_LAYERS} could."
        )
    fewest = min(m.curve.n_samples for m in single_class)
    if fewest < FEWEST_SAMPLES:
        return (
            f"The references were measured on {PER_CLASS} samples a class. The smallest batch here has {fewest}: "
            f"give {FEWEST_SAMPLES} or more a class."
        )
    baseline = fmean(m.curve.baseline_accuracy for m in single_class)
    if baseline < LEAST_BASELINE:
        return (
            f"The references have fitted their labels; this network gets {baseline:.0%} of its samples right, so that "
            "a low AuC may reflect only that."
        )
    curves = (m.curve for m in single_class)
    partial_curve = next((c for c in curves if c.ranks[0] != 1 or c.ranks[-1] != c.full_rank), None)
    if partial_curve is not None:
        return (
            f"The references' ranks go from 1 to the full rank, those of {partial_curve.layer} here from {partial_curve.ranks[0]} to "
            f"{partial_curve.ranks[-1]} of {partial_curve.full_rank}."
        )
    return ""


def finding(place: Place) -> str:
    """Return the finding of a place among references: ``"memorising"``, ``"clean"``, ``"partly"`` or ``"undecided"``.

    Both ends of p compatible: undecided; only p = 0: clean; only p = 1: memorising; neither: partly. If no level is compatible, or none can be
    computed, it follows from the group of references that the value lies next to or beyond.
    """
    lowest_p, highest_p = place.levels[0], place.levels[-1]
    if place.compatible:
        if lowest_p.compatible and highest_p.compatible:
            return UNDECIDED
        return CLEAN if lowest_p.compatible else MEMORISING if highest_p.compatible else PARTLY
    if place.value >= lowest_p.low - ALIKE and not highest_p.above:
        return CLEAN
    if place.value <= highest_p.high + ALIKE and lowest_p.above == lowest_p.n:
        return MEMORISING
    return PARTLY


def is_weak(profile: "LayerProfile", place: Place, method: str) -> bool:
    """Return whether a finding is clean only because every layer is saturated: then it says little."""
    return finding(place) == CLEAN and not unsaturated(profile, method)
