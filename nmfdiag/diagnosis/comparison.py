"""The comparison of a network with reference networks, whose share p of random labels is known. No torch here.

:mod:`nmfdiag.diagnosis.references` has the compared value, :mod:`nmfdiag.diagnosis.place` the statistics,
:mod:`nmfdiag.diagnosis.reference_checks` the accuracy of such comparisons.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from nmfdiag.diagnosis.comparability import auc_as_recorded, difference_remarks, kind_of_curves
from nmfdiag.diagnosis.place import Place
from nmfdiag.diagnosis.reference_checks import Check, check
from nmfdiag.diagnosis.references import GROUPS, Reference, band, mean_over_layers, place_among, references
from nmfdiag.diagnosis.verdict import finding, reason_not_compared
from nmfdiag.evidence.batch_sizes import BatchEffect, batch_effect
from nmfdiag.evidence.records import RECORDS_FOLDER
from nmfdiag.measures.auc import AXES
from nmfdiag.networks.architectures import OTHER

if TYPE_CHECKING:
    from nmfdiag.measures.layer_profile import LayerProfile, ProfileCurve


@dataclass(frozen=True)
class LayerPlace:
    """A layer beside the references at its relative depth: lowest and highest AuC of those with clean and with random labels."""

    layer: str
    depth: float
    auc: float
    clean: tuple[float, float]
    random: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """A network among references of its kind.

    Attributes:
        kind: One of :data:`nmfdiag.networks.architectures.NETWORK_KINDS`, or ``"other"``.
        references: The networks it is compared with.
        places: Its mean AuC among theirs, by rank axis; sentences are about AuC over linear k.
        layers: Its layers beside the references at the same depth.
        checks: Accuracy of such comparisons of the references themselves, over linear and then over log k, each with the
            network and with its whole data set left out.
        batches: Effect of the batches' size and draw on the value; None without a record.
        reason: Why there is no comparison; then all of these are empty.
        remarks: Differences from the references.
        is_outside: Whether there is no comparison because AuC can't judge the network.
    """

    kind: str
    references: tuple[Reference, ...] = ()
    places: dict[str, Place] = field(default_factory=dict)
    layers: tuple[LayerPlace, ...] = ()
    checks: tuple[Check, ...] = ()
    batches: BatchEffect | None = None
    reason: str = ""
    remarks: tuple[str, ...] = ()
    is_outside: bool = False

    @property
    def place(self) -> Place | None:
        """Its place by AuC over linear k."""
        return self.places.get("linear")

    def group(self, name: str) -> list[float]:
        """Return the references' mean AuC over linear k of one of :data:`GROUPS`, ascending."""
        return sorted(r.auc["linear"] for r in self.references if r.group == name)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON record; ``places`` has one object per rank axis."""
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
                    "auc": place.value,
                    "standard_error": place.error,
                    "finding": finding(place),
                    "compatible_p": list(place.compatible) if place.ranged else None,
                    "between_data_sets": place.between_families,
                    "between_seeds": place.within_family,
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
                        for level in place.levels
                    ],
                }
                for axis, place in self.places.items()
            ],
            "layers": [
                {
                    "layer": layer.layer,
                    "depth": layer.depth,
                    "auc": layer.auc,
                    "clean": list(layer.clean),
                    "random": list(layer.random),
                }
                for layer in self.layers
            ],
            "checks": [
                {k: None if v != v else v for k, v in asdict(check_result).items()} for check_result in self.checks
            ],
        }


def compare_network(
    profile: "LayerProfile",
    *,
    kind: str = "",
    without: Collection[str] = (),
    objection: str = "",
    folder: Path = RECORDS_FOLDER,
) -> Comparison:
    """Compare a network's single-class NMF AuC with the recorded networks of its kind.

    Args:
        profile: Its curves; those of other methods and of mixtures are ignored.
        kind: One of :data:`nmfdiag.networks.architectures.NETWORK_KINDS` or ``"other"``; default is the kind that the curves show.
        without: References to leave out, such as the network itself.
        objection: Why AuC can't judge it (:attr:`nmfdiag.measures.training_set.TrainingSet.objection`).
        folder: Folder of the records.

    Returns:
        The comparison, or the ``reason`` why there is none.

    Raises:
        NmfdiagError: If a record can't be read.
    """
    single_class = [m for m in profile.measured if m.curve.method == "nmf" and m.class_idx is not None]
    kind = kind or (kind_of_curves(m.curve for m in single_class) if single_class else OTHER)
    if reason := objection or reason_not_compared(profile, single_class, kind):
        return Comparison(kind, reason=reason, is_outside=bool(objection))
    references_of_kind = references(kind, without=without, folder=folder)
    if not {GROUPS[0], GROUPS[2]} <= {r.group for r in references_of_kind}:
        return Comparison(kind, reason=f"There are no {kind} reference networks with clean and with random labels.")
    layers = [layer for layer in profile.layers if any(m.curve.layer == layer for m in single_class)]
    classes = sorted({m.class_idx for m in single_class if m.class_idx is not None})
    tables = {axis: _table(single_class, layers, classes, axis) for axis in AXES}
    network_layers = list(profile.network_layers or profile.layers)
    depths = [network_layers.index(layer) / (len(network_layers) - 1) for layer in layers]
    per_class = round(float(np.median([m.curve.n_samples for m in single_class])))
    batches = batch_effect(kind, per_class, folder=folder)
    return Comparison(
        kind,
        references_of_kind,
        {axis: place_among(mean_over_layers(table), references_of_kind, axis) for axis, table in tables.items()},
        tuple(
            LayerPlace(layer, depth, float(np.nanmean(values)), clean, random)
            for layer, depth, values, clean, random in zip(
                layers, depths, tables["linear"], band(references_of_kind, GROUPS[0], depths), band(references_of_kind, GROUPS[2], depths),
                strict=True,
            )
        ),
        tuple(
            check(kind, axis=axis, left_out=left_out, folder=folder)
            for axis in AXES
            for left_out in ("network", "data set")
        ),
        batches,
        remarks=tuple(difference_remarks(profile, single_class, references_of_kind, kind, batches)),
    )  # fmt: skip


def _table(
    single_class: "Sequence[ProfileCurve]", layers: Sequence[str], classes: Sequence[int], axis: str
) -> list[list[float]]:
    """Return AuC (layers, classes), the mean over draws; NaN if missing."""
    values: dict[tuple[str, int | None], list[float]] = {}
    for m in single_class:
        values.setdefault((m.curve.layer, m.class_idx), []).append(auc_as_recorded(m.curve, axis))
    return [[fmean(values.get((layer, c), [float("nan")])) for c in classes] for layer in layers]
