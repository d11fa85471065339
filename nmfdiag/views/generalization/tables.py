"""Networks of the page *Generalisation*, the correlations of their AuC with the generalisation gap, and tables."""

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
"""Pearson's r of figure 5 in the paper, over its 96 networks."""

OTHERS = PAPER_METHODS[1:]
STATISTICS = {"pearson": "Pearson r", "spearman": "Spearman ρ"}
EVERY = "all"
DATASETS = (EVERY, *dict.fromkeys(recipe.dataset for recipe in GENERALIZATION.values()))
FITS = ("all", "that fit")
COMPARED = ("over all", "within data set", "within data set and p")
DRAWS = 2000


@dataclass(frozen=True)
class Verdict:
    """The result of the three methods under one definition of AuC and one statistic.

    Attributes:
        definition: Of the AuC.
        statistic: One of :data:`STATISTICS`.
        by_method: The correlation with the generalisation gap.
        leads: NMF's coefficient minus another method's; negative where NMF's is stronger.
    """

    definition: Definition
    statistic: str
    by_method: Mapping[str, Correlation]
    leads: Mapping[str, Difference]

    @property
    def strongest(self) -> str | None:
        """The method of the most negative coefficient; None where none is negative, or one is undefined."""
        defined = {method: coefficient.r for method, coefficient in self.by_method.items() if coefficient.r is not None}
        first = min(defined, key=defined.__getitem__, default="")
        return first if len(defined) == len(PAPER_METHODS) and defined[first] < 0 else None


@dataclass(frozen=True)
class Selection:
    """Networks, a definition of their AuC, and the groups that they are compared within.

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
        """The data set and settings that networks share which differ in p alone."""
        return tuple((r.recipe.dataset, r.recipe.seed) for r in self.records)

    @property
    def fitted(self) -> "Selection":
        """The same selection of the networks that fit."""
        return replace(self, records=tuple(record for record in self.records if record.fits))

    def areas(self, method: str, definition: Definition | None = None) -> tuple[float, ...]:
        """Return the AuC of each network."""
        return tuple(record.area(method, definition or self.definition) for record in self.records)

    def verdict(self, statistic: str = "pearson", definition: Definition | None = None) -> "Verdict":
        """Correlate AuC with generalisation gap for each method; intervals are from a bootstrap over networks."""
        definition = definition or self.definition
        areas, errors, groups = {m: self.areas(m, definition) for m in PAPER_METHODS}, self.errors, self.groups
        by_method = {m: _correlation(areas[m], errors, statistic, groups, None) for m in PAPER_METHODS}
        leads = {m: _difference(areas["nmf"], areas[m], errors, statistic, groups) for m in OTHERS}
        return Verdict(definition, statistic, by_method, leads)

    def by_combination(self, method: str) -> Correlation:
        """Return Pearson's r, with networks that differ in p alone drawn together."""
        return _correlation(self.areas(method), self.errors, "pearson", self.groups, self.combinations)

    def deviations(self, values: Sequence[float]) -> list[float]:
        """Return values less their groups' means; unchanged without groups."""
        if self.groups is None:
            return list(values)
        by_group: dict[Hashable, list[float]] = {}
        for group, value in zip(self.groups, values, strict=True):
            by_group.setdefault(group, []).append(value)
        return [v - sum(by_group[group]) / len(by_group[group]) for group, v in zip(self.groups, values, strict=True)]


def select(
    records: Mapping[str, NetworkRecord],
    *,
    dataset: str = EVERY,
    fits: str = FITS[0],
    definition: Definition = PRIMARY,
    compared: str = COMPARED[0],
) -> Selection:
    """Return the recorded networks of a data set.

    Raises:
        NmfdiagError: If none is left.
    """
    matches = [r for r in records.values() if dataset in (EVERY, r.recipe.dataset)]
    if not matches:
        raise NmfdiagError(f"No network of {dataset} is recorded so far. Choose another data set, or all.")
    selection = Selection(tuple(matches), definition, compared)
    fitting = selection if fits == FITS[0] else selection.fitted
    if not fitting.records:
        raise NmfdiagError(f"None of these {len(matches)} networks fits its labels. Choose all networks.")
    return fitting


def verdicts(selection: Selection) -> list[Verdict]:
    """Return the result of every declared definition under both statistics."""
    return [selection.verdict(statistic, definition) for definition in DEFINITIONS for statistic in STATISTICS]


def definition_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return the coefficient of every definition, statistic and method, and its distance from NMF's."""
    rows = []
    for verdict in verdicts:
        for method, coefficient in verdict.by_method.items():
            lead = verdict.leads.get(method)
            rows.append(
                {
                    "primary": verdict.definition == PRIMARY,
                    "layers": verdict.definition.layers,
                    "rank axis": verdict.definition.axis,
                    "batches": verdict.definition.batch,
                    "statistic": STATISTICS[verdict.statistic],
                    "method": METHODS[method].title,
                    "coefficient": coefficient.r,
                    "from": coefficient.low,
                    "to": coefficient.high,
                    "strongest": method == verdict.strongest,
                    "NMF minus it": lead.value if lead else None,
                    "difference from": lead.low if lead else None,
                    "difference to": lead.high if lead else None,
                    "networks": coefficient.n,
                }
            )
    numbers = ["coefficient", "from", "to", "NMF minus it", "difference from", "difference to"]
    return pd.DataFrame(rows).astype(dict.fromkeys(numbers, float))


def network_table(selection: Selection) -> pd.DataFrame:
    """Return how each network was trained, its accuracies, and its AuC under the definition."""
    return pd.DataFrame(
        [
            {
                "network": r.name,
                "data set": r.recipe.dataset,
                "p": r.recipe.label_noise,
                **{METHODS[method].title + " AuC": r.area(method, selection.definition) for method in PAPER_METHODS},
                "generalisation gap": r.generalization_error,
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
    """Return the factors that the experiment varies beside p, with the network's values."""
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
    """Return AuC by layer and method of one network."""
    counted = definition.members(record.layers)
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
    competitor: tuple[float, ...],
    y: tuple[float, ...],
    statistic: str,
    groups: tuple[Hashable, ...] | None,
) -> Difference:
    return correlation_difference(x, competitor, y, method=statistic, groups=groups, draws=DRAWS)
