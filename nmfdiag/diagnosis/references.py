"""Reference networks: the zoo's recorded ones, whose p is known, each as the value by which networks are compared.

The value is the mean over all layers of the single-class NMF AuC, itself a mean over classes, at the ranks of the records (powers
of two and the full rank). References are the shipped networks that this project trained; a user's own have no record.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from nmfdiag.diagnosis.place import Known, Place, placed
from nmfdiag.evidence.curve_records import recorded_curves
from nmfdiag.evidence.records import RECORDS_FOLDER
from nmfdiag.measures.stats.summary import Spread, spread
from nmfdiag.networks.architectures import KINDS, RESIDUAL, kind_of_architecture

COLUMN_OF = {"linear": "auc", "log": "auc_log"}
AXES = tuple(COLUMN_OF)
CLEAN, RANDOM = 0.0, 1.0
GROUPS = ("clean", "partly random", "random")
FEWEST_FAMILIES = 2
"""Data sets and architectures that a kind needs, at p = 0 and at p = 1, to be referred to by itself."""


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
        """What it shares with the references that differ in p and seed only."""
        return f"{self.dataset} {self.arch}"

    @property
    def group(self) -> str:
        """One of :data:`GROUPS`."""
        return GROUPS[0] if self.p == CLEAN else GROUPS[2] if self.p == RANDOM else GROUPS[1]

    def at(self, depth: float) -> float:
        """AuC at a relative depth in [0, 1], between two layers in proportion."""
        return float(np.interp(depth, self.depths, self.auc_by_depth))


def references(kind: str, *, without: Collection[str] = (), folder: Path = RECORDS_FOLDER) -> tuple[Reference, ...]:
    """The recorded networks to compare a network of a kind with.

    Residual ones are of one data set so far, too few to stand alone: convolutional ones join them.

    Args:
        kind: One of :data:`nmfdiag.networks.architectures.KINDS`; others have none.
        without: Names to leave out, such as that of the network itself.
        folder: Where the records are.

    Raises:
        NmfdiagError: If a record can't be read.
    """
    everyone = _references(folder, modified(folder))
    mine = [r for r in everyone if r.kind == kind]
    families = [{r.family for r in mine if r.p == p} for p in (CLEAN, RANDOM)]
    if kind == RESIDUAL and min(map(len, families)) < FEWEST_FAMILIES:
        mine = [r for r in everyone if r.kind in (KINDS[0], RESIDUAL)]
    return tuple(r for r in mine if r.network not in without)


def modified(folder: Path = RECORDS_FOLDER) -> tuple[int, ...]:
    """When the records were written: what is read from them is kept as long as that stays."""
    return tuple(path.stat().st_mtime_ns for path in sorted((folder / "curves").glob("*.csv.gz")))


def place(value: Spread, among: Sequence[Reference], axis: str = "linear") -> Place:
    """Place a mean AuC on one rank axis among references."""
    known = [Known(r.auc[axis], r.p, r.family, r.error[axis]) for r in among]
    return placed(value.mean, known, error=value.sem)


def band(among: Sequence[Reference], group: str, depths: Sequence[float]) -> list[tuple[float, float]]:
    """The lowest and the highest AuC of a group of references at each relative depth; empty if it has none."""
    some = [[r.at(depth) for depth in depths] for r in among if r.group == group]
    return [(min(at), max(at)) for at in zip(*some, strict=True)]


def mean_over_layers(by_layer: "Sequence[Sequence[float]] | np.ndarray") -> Spread:
    """The value that is compared: mean over layers of each class, then over classes.

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
    values = single.groupby(["network", "depth", "class"])[list(COLUMN_OF.values())].mean().unstack("class")
    about = single.drop_duplicates("network").set_index("network").to_dict("index")
    found = []
    for name, rows in values.groupby(level="network"):
        at = {axis: mean_over_layers(rows[column].to_numpy()) for axis, column in COLUMN_OF.items()}
        first = about[str(name)]
        found.append(
            Reference(
                str(name),
                str(first["dataset"]),
                str(first["arch"]),
                float(first["p"]),
                int(first["seed"]),
                {axis: s.mean for axis, s in at.items()},
                {axis: s.sem for axis, s in at.items()},
                tuple(map(float, rows.index.get_level_values("depth"))),
                tuple(map(float, np.nanmean(rows[COLUMN_OF["linear"]].to_numpy(), axis=1))),
            )
        )
    return tuple(found)
