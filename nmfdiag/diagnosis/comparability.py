"""The network's values as the records have them, and remarks on its differences from the references."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING

from nmfdiag.diagnosis.references import GROUPS, Reference
from nmfdiag.evidence.batch_sizes import BatchEffect
from nmfdiag.evidence.curve_records import PER_CLASS
from nmfdiag.measures.auc import auc
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.networks.architectures import CONVOLUTIONAL, FULLY_CONNECTED
from nmfdiag.text import plural
from nmfdiag.zoo.recipes import FITTED

if TYPE_CHECKING:
    from nmfdiag.measures.layer_profile import LayerProfile, ProfileCurve

SOLVER, CLASSES = "hals", 10
"""Solver and number of classes of every reference."""


def auc_as_recorded(curve: CompressionCurve, axis: str = "linear") -> float:
    """Return AuC at the ranks of the records, powers of two and the full rank; at all ranks of a curve that lacks some of those.

    >>> ranks = [1, 2, 3, 4, 6, 8]
    >>> curve = CompressionCurve("fc", "nmf", ranks, [0, 0.5, 1, 1, 1, 1], *[[0.0] * 6] * 2, [True] * 6, 1, 1, 1, 8, (8, 9), 8)
    >>> auc_as_recorded(curve) == auc([1, 2, 4, 8], [0, 0.5, 1, 1])
    True
    """
    positions = _recorded_ranks(curve) or range(len(curve.ranks))
    return auc([curve.ranks[i] for i in positions], [curve.accuracy[i] for i in positions], axis=axis)


def difference_remarks(
    profile: "LayerProfile",
    single_class: "Sequence[ProfileCurve]",
    references: Sequence[Reference],
    kind: str,
    batches: BatchEffect | None,
) -> list[str]:
    """Return how a network that can be compared differs from the references, with the known effect of each difference.

    Args:
        profile: All curves of the network.
        single_class: Its curves of NMF on single-class batches.
        references: The references.
        kind: Kind of the network.
        batches: Effect of batches of its size on references of its kind.
    """
    remarks = []
    if len({r.kind for r in references}) > 1:
        n = sum(r.kind == kind for r in references)
        remarks.append(
            f"Only {n} of {len(references)} references are {kind}, as this network is: the comparison is weak."
        )
    data_sets = sorted({r.dataset for r in references if r.group == GROUPS[0]})
    if len(data_sets) < 3:
        remarks.append(
            f"The {kind} references come from {plural(len(data_sets), 'data set')} only ({', '.join(data_sets)}): how far others differ is "
            "hardly known."
        )
    per_class = round(median(m.curve.n_samples for m in single_class))
    if per_class != PER_CLASS:
        remarks.append(_batch_remark(per_class, batches))
    baseline = fmean(m.curve.baseline_accuracy for m in single_class)
    if baseline < FITTED:
        remarks.append(
            f"The network gets {baseline:.1%} of its samples right, the references get all: that alone lowers its AuC by about {1 - baseline:.2f}."
        )
    n_classes = len({m.class_idx for m in single_class})
    if n_classes != CLASSES:
        remarks.append(
            f"The references have {CLASSES} classes; here {n_classes} {'was' if n_classes == 1 else 'were'} measured. A network "
            "of fewer classes is right by chance more often, which makes AuC higher, one of more classes less often."
        )
    n_missing = len(profile.network_layers or profile.layers) - len({m.curve.layer for m in single_class})
    if n_missing:
        remarks.append(
            f"{n_missing} of the layers {'has' if n_missing == 1 else 'have'} no curve and {'is' if n_missing == 1 else 'are'} left out of the mean."
        )
    if solvers := {m.curve.provenance.get("solver", SOLVER) for m in single_class} - {SOLVER}:
        remarks.append(
            f"Factorised with {', '.join(sorted(solvers))}, the references with {SOLVER}: another solver finds other minima."
        )
    if all(not _recorded_ranks(m.curve) for m in single_class):
        remarks.append("The ranks are others than the references': the areas are alike, not the same.")
    return remarks


def _recorded_ranks(curve: CompressionCurve) -> list[int]:
    """Return the positions of the records' ranks; empty if the curve lacks some."""
    positions = [i for i, k in enumerate(curve.ranks) if k & (k - 1) == 0 or k == curve.full_rank]
    ranks = [curve.ranks[i] for i in positions]
    return positions if ranks[:1] == [1] and all(b <= 2 * a for a, b in pairwise(ranks)) else []


def _batch_remark(per_class: int, batches: BatchEffect | None) -> str:
    text = f"The references were measured on {PER_CLASS} samples a class, this network on {per_class}"
    if batches is None:
        return f"{text}; what that does to AuC isn't recorded."
    if per_class > 2 * batches.per_class:
        return f"{text}; what that does to AuC was measured up to {batches.per_class} only."
    return (
        f"{text}. With batches of {batches.per_class} the mean AuC of {batches.networks} reference networks changed by "
        f"{batches.shift:+.3f} on average and {batches.largest:.3f} at most."
    )


def kind_of_curves(curves: Iterable[CompressionCurve]) -> str:
    """Return the kind that activation matrices show: more rows than samples are places of a feature map; branches don't show."""
    return CONVOLUTIONAL if any(curve.shape[0] > curve.n_samples for curve in curves) else FULLY_CONNECTED
