"""Reference networks: the recorded ones of the zoo, whose p is known, each with the value that networks are compared by.

The value is the mean over all layers of the single-class NMF AuC, itself a mean over classes, at the ranks of the records (powers
of two and the full rank). References are the shipped networks that this project trained; a user's own have no record.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from nmfdiag.diagnosis.place import KnownValue, Place, place_value
from nmfdiag.evidence.curve_records import recorded_curves
from nmfdiag.evidence.records import RECORDS_FOLDER
from nmfdiag.measures.stats.summary import Spread, spread
from nmfdiag.networks.architectures import NETWORK_KINDS, RESIDUAL, kind_of_architecture

COLUMNS_BY_AXIS = {"linear": "auc", "log": "auc_log"}
CLEAN_P, RANDOM_P = 0.0, 1.0
"""Values of p at which all labels are true, and all are random."""
GROUPS = ("clean", "partly random", "random")
FEWEST_FAMILIES = 2
"""Families that a kind needs, at p = 0 and at p = 1, to be its own group of references."""


@dataclass(frozen=True)
class Reference:
    """A recorded network. ``auc`` and ``error`` are its mean AuC and standard error (over classes) by rank axis."""

    network: str
    dataset: str
    arch: str
    p: float
    seed: int
    auc: dict[str, float]
    error: dict[str, float]
    depths: tuple[float, ...]
    auc_by_depth: tuple[float, ...]

    @property
    def kind(self) -> str:
        return kind_of_architecture(self.arch)

    @property
    def family(self) -> str:
        """Data set and architecture: what it shares with references that differ in p and seed only."""
        return f"{self.dataset} {self.arch}"

    @property
    def group(self) -> str:
        """One of :data:`GROUPS`."""
        return GROUPS[0] if self.p == CLEAN_P else GROUPS[2] if self.p == RANDOM_P else GROUPS[1]

    def auc_at(self, depth: float) -> float:
        """Return AuC at a relative depth in [0, 1], interpolated between layers."""
        return float(np.interp(depth, self.depths, self.auc_by_depth))


def references(kind: str, *, without: Collection[str] = (), folder: Path = RECORDS_FOLDER) -> tuple[Reference, ...]:
    """Return the recorded networks to compare a network of a kind with.

    Residual ones are of one data set so far, too few alone: convolutional ones join them.

    Args:
        kind: One of :data:`nmfdiag.networks.architectures.NETWORK_KINDS`; others have none.
        without: Names to leave out, such as that of the network itself.
        folder: Folder of the records.

    Raises:
        NmfdiagError: If a record can't be read.
    """
    recorded = _references(folder, modified(folder))
    of_kind = [r for r in recorded if r.kind == kind]
    families = [{r.family for r in of_kind if r.p == p} for p in (CLEAN_P, RANDOM_P)]
    if kind == RESIDUAL and min(map(len, families)) < FEWEST_FAMILIES:
        of_kind = [r for r in recorded if r.kind in (NETWORK_KINDS[0], RESIDUAL)]
    return tuple(r for r in of_kind if r.network not in without)


def modified(folder: Path = RECORDS_FOLDER) -> tuple[int, ...]:
    """Return the times of the records' last changes, the cache key of all that is read from them."""
    return tuple(path.stat().st_mtime_ns for path in sorted((folder / "curves").glob("*.csv.gz")))


def place_among(value: Spread, candidates: Sequence[Reference], axis: str = "linear") -> Place:
    """Place a mean AuC on one rank axis among references."""
    known_values = [KnownValue(r.auc[axis], r.p, r.family, r.error[axis]) for r in candidates]
    return place_value(value.mean, known_values, error=value.sem)


def band(candidates: Sequence[Reference], group: str, depths: Sequence[float]) -> list[tuple[float, float]]:
    """Return the lowest and the highest AuC of a group of references at each relative depth; empty for an empty group."""
    auc_at_depths = [[r.auc_at(depth) for depth in depths] for r in candidates if r.group == group]
    return [(min(values), max(values)) for values in zip(*auc_at_depths, strict=True)]


def quartiles(candidates: Sequence[Reference], group: str, depths: Sequence[float]) -> list[list[float]]:
    """Return the lower quartile, the median and the upper quartile of a group's AuC at each relative depth; empty for an empty group."""
    auc_at_depths = [[r.auc_at(depth) for depth in depths] for r in candidates if r.group == group]
    quarters: list[list[float]] = (
        np.quantile(auc_at_depths, (0.25, 0.5, 0.75), axis=0).tolist() if auc_at_depths else []
    )
    return quarters


def mean_over_layers(by_layer: "Sequence[Sequence[float]] | np.ndarray") -> Spread:
    """Return the value that networks are compared by: the mean over layers of each class, then over classes.

    Args:
        by_layer: AuC of each class (classes,), for each layer; all layers have the same classes, NaN where one is missing.
    """
    by_class = np.nanmean(np.asarray(by_layer, float), axis=0)
    mean = float(np.mean(np.nanmean(np.asarray(by_layer, float), axis=1)))
    over = spread(by_class.tolist())
    return Spread(mean, over.sd, over.sem, over.n)


@lru_cache(maxsize=4)
def _references(folder: Path, _modified: tuple[int, ...]) -> tuple[Reference, ...]:
    table = recorded_curves(folder)
    single = table[(table["method"] == "nmf") & (table["operation"] == "compress") & (table["class"] >= 0)]
    values = single.groupby(["network", "depth", "class"])[list(COLUMNS_BY_AXIS.values())].mean().unstack("class")
    facts = single.drop_duplicates("network").set_index("network").to_dict("index")
    records = []
    for name, rows in values.groupby(level="network"):
        means = {axis: mean_over_layers(rows[column].to_numpy()) for axis, column in COLUMNS_BY_AXIS.items()}
        first = facts[str(name)]
        records.append(
            Reference(
                str(name),
                str(first["dataset"]),
                str(first["arch"]),
                float(first["p"]),
                int(first["seed"]),
                {axis: s.mean for axis, s in means.items()},
                {axis: s.sem for axis, s in means.items()},
                tuple(map(float, rows.index.get_level_values("depth"))),
                tuple(map(float, np.nanmean(rows[COLUMNS_BY_AXIS["linear"]].to_numpy(), axis=1))),
            )
        )
    return tuple(records)
