"""Whether a network's curves can be compared with the recorded ones, and what is different where they can."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import METHODS

if TYPE_CHECKING:
    pass

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING

from nmfdiag.diagnosis.references import GROUPS, Reference
from nmfdiag.evidence.batch_sizes import BatchEffect
from nmfdiag.evidence.curve_records import PER_CLASS
from nmfdiag.measures.auc import auc
from nmfdiag.networks.architectures import CONVOLUTIONAL, FULLY_CONNECTED, KINDS
from nmfdiag.zoo.recipes import FITTED

if TYPE_CHECKING:
    from nmfdiag.measures.layer_profile import LayerProfile, Measured

FEWEST_SAMPLES, FEWEST_LAYERS, MOST_MISSING = 10, 3, 0.2
LEAST_BASELINE = 0.95
SOLVER, CLASSES = "hals", 10
"""Of every reference."""


def area_as_recorded(curve: CompressionCurve, axis: str = "linear") -> float:
    """AuC at the ranks of the records, powers of two and the full rank; at the curve's own where it lacks some of those.

    >>> ranks = [1, 2, 3, 4, 6, 8]
    >>> curve = CompressionCurve("fc", "nmf", ranks, [0, 0.5, 1, 1, 1, 1], *[[0.0] * 6] * 2, [True] * 6, 1, 1, 1, 8, (8, 9), 8)
    >>> area_as_recorded(curve) == auc([1, 2, 4, 8], [0, 0.5, 1, 1])
    True
    """
    kept = _recorded_ranks(curve) or range(len(curve.ranks))
    return auc([curve.ranks[i] for i in kept], [curve.accuracy[i] for i in kept], axis=axis)


def why_not(profile: "LayerProfile", some: "Sequence[Measured]", kind: str) -> str:
    """Say why a network can't be compared; empty if it can.

    Args:
        profile: All of its curves.
        some: Those of NMF on single-class batches.
        kind: Of the network.
    """
    if not some:
        if any(m.curve.method == "nmf" for m in profile.measured):
            return "The references were measured on batches of a single class, this network on mixtures."
        used = sorted({m.curve.method for m in profile.measured})
        methods = ", ".join(METHODS[method].phrase if METHODS[method].leads else method for method in used)
        return f"The references were measured with NMF of ReLU layers, this network with {methods}."
    if kind not in KINDS:
        return f"There are no references of this kind of network: those there are, are {', '.join(KINDS[:-1])} or {KINDS[-1]}."
    every, there = profile.network_layers or profile.layers, {m.curve.layer for m in some}
    if len(there) < len(every) * (1 - MOST_MISSING):
        return f"References are compared by the mean over all layers; only {len(there)} of {len(every)} were measured."
    if len(there) < FEWEST_LAYERS:
        return (
            f"References are compared by the mean over layers: {len(there)} ReLU layer{'s' * (len(there) > 1)} "
            f"can't be, {FEWEST_LAYERS} could."
        )
    fewest = min(m.curve.n_samples for m in some)
    if fewest < FEWEST_SAMPLES:
        return (
            f"The references were measured on {PER_CLASS} samples a class. The smallest batch here has {fewest}: "
            f"give {FEWEST_SAMPLES} or more a class."
        )
    baseline = fmean(m.curve.baseline_accuracy for m in some)
    if baseline < LEAST_BASELINE:
        return (
            f"The references have fitted their labels; this network gets {baseline:.0%} of its samples right, and a curve "
            "can't be higher than that."
        )
    partial = [m.curve for m in some if m.curve.ranks[0] != 1 or m.curve.ranks[-1] != m.curve.full_rank]
    if partial:
        at = partial[0]
        return (
            f"The references' ranks go from 1 to the full rank, those of {at.layer} here from {at.ranks[0]} to "
            f"{at.ranks[-1]} of {at.full_rank}."
        )
    return ""


def differences(
    profile: "LayerProfile",
    some: "Sequence[Measured]",
    among: Sequence[Reference],
    kind: str,
    batches: BatchEffect | None,
) -> list[str]:
    """Say in what a network that can be compared differs from the references, and what that does as far as it is known.

    Args:
        profile: All of its curves.
        some: Those of NMF on single-class batches.
        among: The references.
        kind: Of the network.
        batches: What batches of its size do to references of its kind.
    """
    found = []
    if len({r.kind for r in among}) > 1:
        n = sum(r.kind == kind for r in among)
        found.append(f"Only {n} of the {len(among)} references are {kind}; the others have no sums of branches.")
    data_sets = sorted({r.dataset for r in among if r.group == GROUPS[0]})
    if len(data_sets) < 3:
        found.append(
            f"The {kind} references know {len(data_sets)} data sets ({', '.join(data_sets)}): how far another one differs is "
            "hardly known."
        )
    per_class = round(median(m.curve.n_samples for m in some))
    if per_class != PER_CLASS:
        found.append(_batch_words(per_class, batches))
    baseline = fmean(m.curve.baseline_accuracy for m in some)
    if baseline < FITTED:
        found.append(
            f"The network gets {baseline:.1%} of its samples right, the references all: its AuC is too low by up to {1 - baseline:.2f}."
        )
    n_classes = len({m.class_idx for m in some})
    if n_classes != CLASSES:
        found.append(
            f"The references have {CLASSES} classes; here {n_classes} {'was' if n_classes == 1 else 'were'} measured. A network "
            "of fewer classes is right by chance more often, which makes AuC higher, one of more classes less often."
        )
    missing = len(profile.network_layers or profile.layers) - len({m.curve.layer for m in some})
    if missing:
        found.append(
            f"{missing} of the layers {'has' if missing == 1 else 'have'} no curve and {'is' if missing == 1 else 'are'} left out of the mean."
        )
    if solvers := {m.curve.provenance.get("solver", SOLVER) for m in some} - {SOLVER}:
        found.append(
            f"Factorised with {', '.join(sorted(solvers))}, the references with {SOLVER}: another solver finds other minima."
        )
    if all(not _recorded_ranks(m.curve) for m in some):
        found.append("The ranks are others than the references': the areas are alike, not the same.")
    return found


def _recorded_ranks(curve: CompressionCurve) -> list[int]:
    """Positions of the records' ranks; empty where the curve lacks some."""
    kept = [i for i, k in enumerate(curve.ranks) if k & (k - 1) == 0 or k == curve.full_rank]
    there = [curve.ranks[i] for i in kept]
    return kept if there[:1] == [1] and all(b <= 2 * a for a, b in pairwise(there)) else []


def _batch_words(per_class: int, batches: BatchEffect | None) -> str:
    words = f"The references were measured on {PER_CLASS} samples a class, this network on {per_class}"
    if batches is None:
        return f"{words}; what that does to AuC isn't recorded."
    if per_class > 2 * batches.per_class:
        return f"{words}; what that does to AuC was measured up to {batches.per_class} only."
    return (
        f"{words}. With batches of {batches.per_class} the mean AuC of {batches.networks} reference networks changed by "
        f"{batches.shift:+.3f} on average and {batches.largest:.3f} at most."
    )


def kind_of_curves(curves: Iterable[CompressionCurve]) -> str:
    """What activation matrices show: more rows than samples are places of a feature map. Sums of branches they don't show."""
    return CONVOLUTIONAL if any(curve.shape[0] > curve.n_samples for curve in curves) else FULLY_CONNECTED
