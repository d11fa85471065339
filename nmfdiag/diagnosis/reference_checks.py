"""The accuracy of comparisons with reference networks, measured on the references: each is compared with the others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean

from nmfdiag.diagnosis.place import Place
from nmfdiag.diagnosis.references import CLEAN_P, RANDOM_P, Reference, modified, place_among, references
from nmfdiag.evidence.records import RECORDS_FOLDER
from nmfdiag.measures.stats.summary import Spread, rank_correlation

LEFT_OUT: dict[str, Callable[[Reference], str]] = {
    "network": lambda reference: reference.network,
    "data set": lambda reference: reference.dataset,
}
"""What is left out with a reference: itself, or all of its data set, as for a network on a new data set."""


@dataclass(frozen=True)
class Check:
    """The results of comparing each reference of a kind with the others.

    Attributes:
        kind: Kind of networks.
        axis: The rank axis.
        left_out: A key of :data:`LEFT_OUT`.
        ends: Number of references at p = 0 and p = 1.
        told: Number of these that are nearer to the references of their own p.
        ranged: Number of references of any p whose compatible p could be computed.
        covered: Number of these with their own p between the lowest and the highest compatible one.
        width: Mean distance of those two; None without any.
        correlation: Spearman's correlation of AuC and p over all references of the kind.
    """

    kind: str
    axis: str
    left_out: str
    ends: int
    told: int
    ranged: int
    covered: int
    width: float | None
    correlation: float

    @property
    def share_told(self) -> float | None:
        return self.told / self.ends if self.ends else None


def check(kind: str, *, axis: str = "linear", left_out: str = "data set", folder: Path = RECORDS_FOLDER) -> Check:
    """Compare every reference of a kind with the others, and count how often that is right.

    Args:
        kind: One of :data:`nmfdiag.networks.architectures.NETWORK_KINDS`.
        axis: ``"linear"`` or ``"log"``.
        left_out: A key of :data:`LEFT_OUT`.
        folder: Folder of the records.
    """
    return _check(kind, axis, left_out, folder, modified(folder))


@lru_cache(maxsize=32)
def _check(kind: str, axis: str, left_out: str, folder: Path, _modified: tuple[int, ...]) -> Check:
    recorded = references(kind, folder=folder)
    ends = nearer_own = covered = 0
    widths = []
    for reference, place in _left_out(recorded, axis, left_out):
        if reference.p in (CLEAN_P, RANDOM_P):
            ends += 1
            nearer_own += place.nearer_end == reference.p
        if place.ranged:
            compatible = place.compatible
            covered += bool(compatible) and compatible[0] <= reference.p <= compatible[-1]
            widths.append(compatible[-1] - compatible[0] if compatible else 0.0)
    correlation = rank_correlation([r.auc[axis] for r in recorded], [r.p for r in recorded])
    return Check(
        kind, axis, left_out, ends, nearer_own, len(widths), covered, fmean(widths) if widths else None, correlation
    )


def _left_out(recorded: tuple[Reference, ...], axis: str, left_out: str) -> Iterator[tuple[Reference, Place]]:
    """Yield each reference and its place among the others, if these include p = 0 and p = 1."""
    left_out_key = LEFT_OUT[left_out]
    for reference in recorded:
        candidates = [r for r in recorded if left_out_key(r) != left_out_key(reference)]
        if {CLEAN_P, RANDOM_P} <= {r.p for r in candidates}:
            value = Spread(reference.auc[axis], 0.0, reference.error[axis], 1)
            yield reference, place_among(value, candidates, axis)
