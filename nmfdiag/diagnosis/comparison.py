"""Where a network that nobody knows lies among reference networks, whose share p of random labels is known, and how sure that is.

What is compared is said in :mod:`nmfdiag.diagnosis.references`, how in :mod:`nmfdiag.diagnosis.place`, and what it is worth is
measured in :mod:`nmfdiag.diagnosis.reference_checks`. No torch here.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from nmfdiag.diagnosis.comparability import area_as_recorded, differences, kind_of_curves, why_not
from nmfdiag.diagnosis.place import ALIKE, Place
from nmfdiag.diagnosis.reference_checks import Check, check
from nmfdiag.diagnosis.references import AXES, GROUPS, Reference, band, mean_over_layers, place, references
from nmfdiag.evidence.batch_sizes import BatchEffect, batch_effect
from nmfdiag.evidence.records import RECORDS_FOLDER
from nmfdiag.networks.architectures import OTHER

if TYPE_CHECKING:
    from nmfdiag.measures.layer_profile import LayerProfile, Measured

MEMORISING, CLEAN, PARTLY, UNDECIDED = "memorising", "clean", "partly", "undecided"


@dataclass(frozen=True)
class LayerPlace:
    """A layer beside the references at its relative depth: the lowest and highest AuC of those with clean and random labels."""

    layer: str
    depth: float
    auc: float
    clean: tuple[float, float]
    random: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """A network among references of its kind.

    Attributes:
        kind: One of :data:`nmfdiag.networks.architectures.KINDS`, or ``"other"``.
        references: The networks it is compared with.
        places: Its mean AuC among theirs, by rank axis; AuC over linear k is the one that words are about.
        layers: Its layers beside the references at the same depth.
        checks: What such a comparison is worth on the references themselves, over linear k and then over log k, each with
            the network and with its whole data set left out.
        batches: How much the size of the batches and their draw move the value; None where that isn't recorded.
        reason: Why there is no comparison; then all of these are empty.
        remarks: What is different from the references.
    """

    kind: str
    references: tuple[Reference, ...] = ()
    places: dict[str, Place] = field(default_factory=dict)
    layers: tuple[LayerPlace, ...] = ()
    checks: tuple[Check, ...] = ()
    batches: BatchEffect | None = None
    reason: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def place(self) -> Place | None:
        """Over linear k."""
        return self.places.get("linear")

    def group(self, name: str) -> list[float]:
        """The references' mean AuC over linear k of one of :data:`GROUPS`, ascending."""
        return sorted(r.auc["linear"] for r in self.references if r.group == name)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; ``places`` has one object a rank axis."""
        return {
            "kind": self.kind,
            "reason": self.reason,
            "remarks": list(self.remarks),
            "references": [
                {"network": r.network, "p": r.p, "auc": r.auc["linear"], "auc_log": r.auc["log"]}
                for r in self.references
            ],
            "places": [
                {
                    "axis": axis,
                    "auc": at.value,
                    "standard_error": at.error,
                    "finding": finding(at),
                    "compatible_p": list(at.compatible) if at.ranged else None,
                    "between_data_sets": at.between_families,
                    "between_seeds": at.within_family,
                    "levels": [
                        {
                            "p": level.level,
                            "references": level.n,
                            "low": level.low,
                            "high": level.high,
                            "below": level.below,
                            "above": level.above,
                            "compatible": level.compatible,
                        }
                        for level in at.levels
                    ],
                }
                for axis, at in self.places.items()
            ],
            "layers": [
                {
                    "layer": at.layer,
                    "depth": at.depth,
                    "auc": at.auc,
                    "clean": list(at.clean),
                    "random": list(at.random),
                }
                for at in self.layers
            ],
            "checks": [{k: None if v != v else v for k, v in asdict(each).items()} for each in self.checks],
        }


def finding(at: Place) -> str:
    """What a place comes to: ``"memorising"``, ``"clean"``, ``"partly"`` or ``"undecided"``.

    By the levels of p that are compatible. Where none is, or where that can't be said, by the group of references that the
    value lies next to or beyond.
    """
    first, last = at.levels[0], at.levels[-1]
    if at.compatible:
        if first.compatible and last.compatible:
            return UNDECIDED
        return CLEAN if first.compatible else MEMORISING if last.compatible else PARTLY
    if at.value >= first.low - ALIKE and not last.above:
        return CLEAN
    if at.value <= last.high + ALIKE and first.above == first.n:
        return MEMORISING
    return PARTLY


def compare(
    profile: "LayerProfile", *, kind: str = "", without: Collection[str] = (), folder: Path = RECORDS_FOLDER
) -> Comparison:
    """Compare a network's single-class NMF AuC with the recorded networks of its kind.

    Args:
        profile: Its curves; those of other methods and of mixtures are left aside.
        kind: One of :data:`nmfdiag.networks.architectures.KINDS` or ``"other"``; empty: what the curves show.
        without: References to leave out, such as the network itself.
        folder: Where the records are.

    Returns:
        The comparison, or the ``reason`` why there is none.

    Raises:
        NmfdiagError: If a record can't be read.
    """
    some = [m for m in profile.measured if m.curve.method == "nmf" and m.class_idx is not None]
    kind = kind or (kind_of_curves(m.curve for m in some) if some else OTHER)
    if reason := why_not(profile, some, kind):
        return Comparison(kind, reason=reason)
    among = references(kind, without=without, folder=folder)
    if not {GROUPS[0], GROUPS[2]} <= {r.group for r in among}:
        return Comparison(kind, reason=f"There are no {kind} reference networks with clean and with random labels.")
    layers = [layer for layer in profile.layers if any(m.curve.layer == layer for m in some)]
    classes = sorted({m.class_idx for m in some if m.class_idx is not None})
    tables = {axis: _table(some, layers, classes, axis) for axis in AXES}
    every = list(profile.network_layers or profile.layers)
    depths = [every.index(layer) / (len(every) - 1) for layer in layers]
    per_class = round(float(np.median([m.curve.n_samples for m in some])))
    batches = batch_effect(kind, per_class, folder=folder)
    return Comparison(
        kind,
        among,
        {axis: place(mean_over_layers(table), among, axis) for axis, table in tables.items()},
        tuple(
            LayerPlace(layer, depth, float(np.nanmean(values)), clean, random)
            for layer, depth, values, clean, random in zip(
                layers, depths, tables["linear"], band(among, GROUPS[0], depths), band(among, GROUPS[2], depths),
                strict=True,
            )
        ),
        tuple(
            check(kind, axis=axis, left_out=left_out, folder=folder)
            for axis in AXES
            for left_out in ("network", "data set")
        ),
        batches,
        remarks=tuple(differences(profile, some, among, kind, batches)),
    )  # fmt: skip


def _table(some: "Sequence[Measured]", layers: Sequence[str], classes: Sequence[int], axis: str) -> list[list[float]]:
    """AuC (layers, classes), mean over draws; NaN where there is none."""
    values: dict[tuple[str, int | None], list[float]] = {}
    for m in some:
        values.setdefault((m.curve.layer, m.class_idx), []).append(area_as_recorded(m.curve, axis))
    return [[fmean(values.get((layer, c), [float("nan")])) for c in classes] for layer in layers]
