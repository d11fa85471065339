"""What a comparison with reference networks is worth, measured on the references: each is left out and compared with the rest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean

from nmfdiag.diagnosis.place import Place
from nmfdiag.diagnosis.references import CLEAN, RANDOM, Reference, modified, place, references
from nmfdiag.evidence.records import RECORDS_FOLDER
from nmfdiag.measures.stats.summary import Spread, rank_correlation

LEFT_OUT: dict[str, Callable[[Reference], str]] = {
    "network": lambda reference: reference.network,
    "data set": lambda reference: reference.dataset,
}
"""What is left out with a reference: itself, or all of its data set, which a new network has no reference of either."""


@dataclass(frozen=True)
class Check:
    """How references fare that are compared with the others.

    Attributes:
        kind: Of networks.
        axis: The rank axis.
        left_out: A key of :data:`LEFT_OUT`.
        ends: References at p = 0 and p = 1.
        told: How many of these are nearer to the references of their own p.
        ranged: References of any p for which it can be said which p are compatible.
        covered: How many of these have their own p between the lowest and the highest compatible one.
        width: Mean distance of those two; None without any.
        correlation: Spearman's, between AuC and p, over all references of the kind.
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
    """Compare every reference of a kind with the rest, and count how often that is right.

    Args:
        kind: One of :data:`nmfdiag.networks.architectures.KINDS`.
        axis: ``"linear"`` or ``"log"``.
        left_out: A key of :data:`LEFT_OUT`.
        folder: Where the records are.
    """
    return _check(kind, axis, left_out, folder, modified(folder))


@lru_cache(maxsize=32)
def _check(kind: str, axis: str, left_out: str, folder: Path, _modified: tuple[int, ...]) -> Check:
    everyone = references(kind, folder=folder)
    ends = told = covered = 0
    widths = []
    for reference, found in _left_out(everyone, axis, left_out):
        if reference.p in (CLEAN, RANDOM):
            ends += 1
            told += found.nearer_end == reference.p
        if found.ranged:
            fits = found.compatible
            covered += bool(fits) and fits[0] <= reference.p <= fits[-1]
            widths.append(fits[-1] - fits[0] if fits else 0.0)
    correlation = rank_correlation([r.auc[axis] for r in everyone], [r.p for r in everyone])
    return Check(kind, axis, left_out, ends, told, len(widths), covered, fmean(widths) if widths else None, correlation)


def _left_out(everyone: tuple[Reference, ...], axis: str, left_out: str) -> Iterator[tuple[Reference, Place]]:
    """Each reference and its place among the others, where those are of p = 0 and of p = 1."""
    of = LEFT_OUT[left_out]
    for reference in everyone:
        rest = [r for r in everyone if of(r) != of(reference)]
        if {CLEAN, RANDOM} <= {r.p for r in rest}:
            value = Spread(reference.auc[axis], 0.0, reference.error[axis], 1)
            yield reference, place(value, rest, axis)
