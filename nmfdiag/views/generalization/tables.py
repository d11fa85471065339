"""What the Generalisation page draws: networks and a definition of AuC, correlations with the generalisation error, tables."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pandas as pd

from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence.records import NetworkRecord
from nmfdiag.measures.methods import METHODS, PAPER_METHODS
from nmfdiag.measures.stats.correlation import Correlation, Difference, correlation, correlation_difference
from nmfdiag.zoo.experiments import DEFINITIONS, GENERALIZATION, PRIMARY, Definition

PAPER = {"nmf": -0.82, "pca": -0.64, "random": -0.61}
"""Pearson's r of figure 5 in the paper, over its own 96 networks."""

OTHERS = PAPER_METHODS[1:]
STATISTICS = {"pearson": "Pearson r", "spearman": "Spearman ρ"}
EVERY = "all"
DATASETS = (EVERY, *dict.fromkeys(recipe.dataset for recipe in GENERALIZATION.values()))
FITS = ("all", "that fit")
COMPARED = ("over all", "within data set", "within data set and p")
DRAWS = 2000


@dataclass(frozen=True)
class Verdict:
    """What one definition of AuC and one statistic say of the three methods.

    Attributes:
        definition: Of the AuC.
        statistic: One of :data:`STATISTICS`.
        by_method: The correlation with the generalisation error.
        leads: NMF's coefficient minus another method's: below 0, NMF's is the stronger one.
    """

    definition: Definition
    statistic: str
    by_method: Mapping[str, Correlation]
    leads: Mapping[str, Difference]

    @property
    def strongest(self) -> str | None:
        """The method of the most negative coefficient; None where none is negative, or one is undefined."""
        defined = {method: of.r for method, of in self.by_method.items() if of.r is not None}
        first = min(defined, key=defined.__getitem__, default="")
        return first if len(defined) == len(PAPER_METHODS) and defined[first] < 0 else None


@dataclass(frozen=True)
class Selection:
    """Networks, a definition of their AuC, and what they are compared within.

    Attributes:
        records: The networks.
        definition: Of the AuC.
        compared: One of :data:`COMPARED`.
    """

    records: tuple[NetworkRecord, ...]
    definition: Definition = PRIMARY
    compared: str = COMPARED[0]

    @property
    def errors(self) -> tuple[float, ...]:
        return tuple(record.generalization_error for record in self.records)

    @property
    def groups(self) -> tuple[Hashable, ...] | None:
        """The group of each network; None where all are compared with all."""
        if self.compared == COMPARED[0]:
            return None
        by_noise = self.compared == COMPARED[2]
        return tuple((r.recipe.dataset, r.recipe.label_noise if by_noise else None) for r in self.records)

    @property
    def combinations(self) -> tuple[Hashable, ...]:
        """What the networks share that differ in p alone: data set, sizes and settings."""
        return tuple((r.recipe.dataset, r.recipe.seed) for r in self.records)

    @property
    def fitted(self) -> "Selection":
        """The same of those networks alone that fit."""
        return replace(self, records=tuple(record for record in self.records if record.fits))

    def areas(self, method: str, definition: Definition | None = None) -> tuple[float, ...]:
        """The AuC of each network."""
        return tuple(record.area(method, definition or self.definition) for record in self.records)

    def verdict(self, statistic: str = "pearson", definition: Definition | None = None) -> "Verdict":
        """AuC against generalisation error for each method; intervals are those of a bootstrap over networks."""
        definition = definition or self.definition
        areas, errors, groups = {m: self.areas(m, definition) for m in PAPER_METHODS}, self.errors, self.groups
        by_method = {m: _correlation(areas[m], errors, statistic, groups, None) for m in PAPER_METHODS}
        leads = {m: _difference(areas["nmf"], areas[m], errors, statistic, groups) for m in OTHERS}
        return Verdict(definition, statistic, by_method, leads)

    def by_combination(self, method: str) -> Correlation:
        """Pearson's r, with networks that differ in p alone drawn together."""
        return _correlation(self.areas(method), self.errors, "pearson", self.groups, self.combinations)

    def deviations(self, values: Sequence[float]) -> list[float]:
        """Values without their groups' means; as they are where there are no groups."""
        if self.groups is None:
            return list(values)
        of: dict[Hashable, list[float]] = {}
        for group, value in zip(self.groups, values, strict=True):
            of.setdefault(group, []).append(value)
        return [v - sum(of[group]) / len(of[group]) for group, v in zip(self.groups, values, strict=True)]


def select(
    records: Mapping[str, NetworkRecord],
    *,
    dataset: str = EVERY,
    fits: str = FITS[0],
    definition: Definition = PRIMARY,
    compared: str = COMPARED[0],
) -> Selection:
    """The recorded networks of a data set.

    Raises:
        NmfdiagError: If none is left. Says what to change.
    """
    found = [r for r in records.values() if dataset in (EVERY, r.recipe.dataset)]
    if not found:
        raise NmfdiagError(f"No network of {dataset} is recorded so far. Choose another data set, or all.")
    every = Selection(tuple(found), definition, compared)
    chosen = every if fits == FITS[0] else every.fitted
    if not chosen.records:
        raise NmfdiagError(f"None of these {len(found)} networks fits its labels. Choose all networks.")
    return chosen


def verdicts(selection: Selection) -> list[Verdict]:
    """Every declared definition under both statistics."""
    return [selection.verdict(statistic, definition) for definition in DEFINITIONS for statistic in STATISTICS]


def definition_table(found: Sequence[Verdict]) -> pd.DataFrame:
    """One row a definition, statistic and method: the coefficient, and how far NMF's lies from it."""
    rows = []
    for verdict in found:
        for method, of in verdict.by_method.items():
            lead = verdict.leads.get(method)
            rows.append(
                {
                    "primary": verdict.definition == PRIMARY,
                    "layers": verdict.definition.layers,
                    "rank axis": verdict.definition.axis,
                    "batches": verdict.definition.batch,
                    "statistic": STATISTICS[verdict.statistic],
                    "method": METHODS[method].title,
                    "coefficient": of.r,
                    "from": of.low,
                    "to": of.high,
                    "strongest": method == verdict.strongest,
                    "NMF minus it": lead.value if lead else None,
                    "difference from": lead.low if lead else None,
                    "difference to": lead.high if lead else None,
                    "networks": of.n,
                }
            )
    numbers = ["coefficient", "from", "to", "NMF minus it", "difference from", "difference to"]
    return pd.DataFrame(rows).astype(dict.fromkeys(numbers, float))


def network_table(selection: Selection) -> pd.DataFrame:
    """One row a network: how it was trained, how well it does, and its AuC under the definition."""
    return pd.DataFrame(
        [
            {
                "network": r.name,
                "data set": r.recipe.dataset,
                "p": r.recipe.label_noise,
                **{METHODS[method].title + " AuC": r.area(method, selection.definition) for method in PAPER_METHODS},
                "generalisation error": r.generalization_error,
                "train accuracy": r.train_accuracy,
                "test accuracy": r.test_accuracy,
                "fits": r.fits,
                "epochs": r.epochs,
                **{name.replace("_", " "): value for name, value in factors(r).items()},
                "parameters": r.n_parameters,
                "seed": r.recipe.seed,
            }
            for r in selection.records
        ]
    )


def factors(record: NetworkRecord) -> dict[str, Any]:
    """What the experiment varies beside p, and the network's value of each."""
    recipe = record.recipe
    return {
        **recipe.arch_options,
        "n_train": recipe.n_train,
        "weight_decay": recipe.weight_decay,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "shift": recipe.shift,
    }


def layer_table(record: NetworkRecord, definition: Definition) -> pd.DataFrame:
    """One row a layer and method of one network."""
    counted = definition.chosen(record.layers)
    return pd.DataFrame(
        [
            {"network": record.name, "layer": layer, "method": METHODS[method].title, "AuC": auc}
            | {"rank axis": definition.axis, "batches": definition.batch, "counts": layer in counted}
            for method in PAPER_METHODS
            for layer, auc in zip(record.layers, record.auc[definition.batch][method][definition.axis], strict=True)
        ]
    )


@lru_cache(maxsize=2048)
def _correlation(
    x: tuple[float, ...],
    y: tuple[float, ...],
    statistic: str,
    groups: tuple[Hashable, ...] | None,
    clusters: tuple[Hashable, ...] | None,
) -> Correlation:
    return correlation(x, y, method=statistic, groups=groups, interval="bootstrap", clusters=clusters, draws=DRAWS)


@lru_cache(maxsize=2048)
def _difference(
    x: tuple[float, ...],
    other: tuple[float, ...],
    y: tuple[float, ...],
    statistic: str,
    groups: tuple[Hashable, ...] | None,
) -> Difference:
    return correlation_difference(x, other, y, method=statistic, groups=groups, draws=DRAWS)
