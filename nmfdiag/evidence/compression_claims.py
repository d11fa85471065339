"""Claims about compressed layers (figures 2, 3, 4, 8 and 10), measured on the table of recorded curves."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pandas as pd

from nmfdiag.evidence.findings import NOTHING, Finding, Unit, clear, over_units
from nmfdiag.jobs.requests import MULTI_CLASS
from nmfdiag.measures.phases import phases
from nmfdiag.measures.stats.correlation import correlation
from nmfdiag.measures.stats.summary import Spread, spread
from nmfdiag.text import span
from nmfdiag.zoo.registry import entries

DEEP, LAST_THIRD, LINEAR = 0.5, 2 / 3, 0.95
CONSTANT = 0.5
SATURATED = 0.995
BATCH = 20
EDGE = "p = 1"


def single(curves: pd.DataFrame, method: str = "nmf", operation: str = "compress") -> pd.DataFrame:
    """The single-class curves of one method."""
    alike = (curves["method"] == method) & (curves["operation"] == operation)
    return curves[alike & (curves["class"] != MULTI_CLASS)]


def families(curves: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The networks that differ in p alone, where both p = 0 and p = 1 are there."""
    for (dataset, arch, seed), some in curves.groupby(["dataset", "arch", "seed"]):
        if {0.0, 1.0} <= set(some["p"]):
            yield f"{dataset} {arch}, seed {seed}", some


def by_class(curves: pd.DataFrame, p: float, value: str = "auc") -> "pd.Series[float]":
    """A value's mean over layers, for each class of the network of this p."""
    return curves[curves["p"] == p].groupby("class")[value].mean()


def difference(a: "pd.Series[float]", b: "pd.Series[float]") -> Spread:
    """Mean and spread of a minus b over what both have."""
    return spread(list((a - b).dropna()))


def clean_against_noise(
    curves: pd.DataFrame, measured: Callable[[pd.DataFrame, float], "pd.Series[float]"], words: str
) -> Finding:
    """Families in which a value by class is clearly higher at p = 0 than at p = 1."""
    units = []
    for name, some in families(curves):
        gap = difference(measured(some, 0.0), measured(some, 1.0))
        units.append(Unit(name, clear(gap), {"p = 0": measured(some, 0.0).mean(), EDGE: measured(some, 1.0).mean(),
                                             "difference": gap.mean, "±": gap.sem, "classes": gap.n}))  # fmt: skip
    return Finding(f"{words}: {over_units(units, 'difference')}", tuple(units)) if units else NOTHING


def deep_layers(curves: pd.DataFrame) -> Finding:
    """F2a,b: NMF AuC of the deeper half of the layers, p = 0 minus p = 1."""
    deep = single(curves)
    deep = deep[deep["depth"] >= DEEP]
    return clean_against_noise(deep, by_class, "AuC of the deeper half of the layers, p = 0 minus p = 1")


def three_phases(curves: pd.DataFrame, dataset: str = "cifar10", arch: str = "cnn") -> Finding:
    """F2c: networks of the paper's family whose AuC by layer dips and then reaches 1."""
    units = []
    paper = single(curves)
    paper = paper[(paper["dataset"] == dataset) & (paper["arch"] == arch)]
    for network, some in paper.groupby("network"):
        at = some.groupby("layer", sort=False)["auc"].agg(["mean", "sem"])
        found = phases(list(at.index), list(at["mean"]), list(at["sem"]))
        where = {
            "p": some["p"].iloc[0],
            "feature extraction": span(found.feature_extraction) if found.feature_extraction else "",
            "memorisation": span(found.memorisation) if found.memorisation else found.reason,
            "clustering": span(found.clustering) if found.clustering else "",
        }
        units.append(Unit(str(network), found.clear, where))
    units.sort(key=lambda unit: (unit.values["p"], unit.name))
    bounds = "; ".join(
        f"{unit.name.removeprefix(f'{dataset}-{arch}-')}: {unit.values['memorisation']}" for unit in units
    )
    return Finding(f"Memorisation from and to ({dataset} {arch}): {bounds}", tuple(units)) if units else NOTHING


def outlier(curves: pd.DataFrame) -> Finding:
    """F2c: families with a layer at which p = 1 is clearly more linear than the level below it."""
    units = []
    for name, some in families(single(curves)):
        levels = sorted(set(some["p"]))
        if len(levels) < 3:
            continue
        below = levels[-2]
        crossed = []
        for layer, at in some.groupby("layer", sort=False):
            high, low = (at[at["p"] == p].set_index("class")["auc"] for p in (1.0, below))
            if clear(difference(high, low)):
                crossed.append(str(layer))
        values = {
            "level below": below,
            "layers": len(set(some["layer"])),
            "above it": len(crossed),
            "which": " ".join(crossed),
        }
        units.append(Unit(name, bool(crossed), values))
    words = "layers at which p = 1 lies clearly above the level below it"
    return Finding(f"{words}: {over_units(units, 'above it')}", tuple(units)) if units else NOTHING


def separation(curves: pd.DataFrame) -> Finding:
    """F3: the drop of AuC from p = 0 to p = 1, under NMF minus under PCA."""
    units = []
    for name, some in families(curves):
        drop = {m: by_class(single(some, m), 0.0) - by_class(single(some, m), 1.0) for m in ("nmf", "pca")}
        gap = difference(drop["nmf"], drop["pca"])
        values = {"NMF": drop["nmf"].mean(), "PCA": drop["pca"].mean(), "difference": gap.mean, "±": gap.sem}
        units.append(Unit(name, clear(gap), values))
    if not units:
        return NOTHING
    nmf, pca, gap_words = (over_units(units, value) for value in ("NMF", "PCA", "difference"))
    return Finding(
        f"Mean AuC drops from p = 0 to 1 by {nmf} under NMF, {pca} under PCA; NMF minus PCA: {gap_words}", tuple(units)
    )


def one_class(curves: pd.DataFrame, *, beyond_constant: bool = False) -> Finding:
    """F4: AuC on single-class minus on multi-class batches; or only at layers whose mean row carries no class."""
    units = []
    nmf = curves[(curves["method"] == "nmf") & (curves["operation"] == "compress")]
    for network, some in nmf.groupby("network"):
        alone, mixed = some[some["class"] != MULTI_CLASS], some[some["class"] == MULTI_CLASS]
        if beyond_constant:
            constant = alone.groupby("layer")["mean_row"].mean()
            kept = constant[constant < CONSTANT].index
            alone, mixed = alone[alone["layer"].isin(kept)], mixed[mixed["layer"].isin(kept)]
        if alone.empty or mixed.empty:
            continue
        a = spread(list(alone.groupby("class")["auc"].mean()))
        b = spread(list(mixed.groupby("draw")["auc"].mean()))
        gap = Spread(a.mean - b.mean, 0.0, (a.sem**2 + b.sem**2) ** 0.5, a.n)
        values = {"single-class": a.mean, "multi-class": b.mean, "difference": gap.mean, "±": gap.sem}
        units.append(Unit(str(network), clear(gap), values | {"layers": alone["layer"].nunique()}))
    return (
        Finding(f"Single-class minus multi-class AuC: {over_units(units, 'difference')}", tuple(units))
        if units
        else NOTHING
    )


def linear_at_the_end(curves: pd.DataFrame) -> Finding:
    """F8: mean single-class AuC of the last third of the layers in networks without label noise."""
    units = []
    clean = single(curves)
    clean = clean[(clean["p"] == 0) & (clean["depth"] >= LAST_THIRD)]
    for network, some in clean.groupby("network"):
        s = spread(list(some.groupby("class")["auc"].mean()))
        units.append(Unit(str(network), s.mean >= LINEAR, {"AuC": s.mean, "±": s.sem}))
    return (
        Finding(f"AuC of the last third of the layers at p = 0: {over_units(units, 'AuC')}", tuple(units))
        if units
        else NOTHING
    )


def denoising(photographs: pd.DataFrame) -> Finding:
    """F8: layers at which the best rank gains more than one sample on the uncompressed accuracy of the same batch.

    One sample is what picking the best of many ranks gives by chance.
    """
    units = []
    true = photographs[photographs["labels"] == "true"] if len(photographs) else photographs
    for layer, some in true.groupby("layer", sort=False) if len(true) else ():
        gain = spread(list(some["best"] - some["baseline"]))
        values = {"uncompressed": some["baseline"].mean(), "k = 1": some["k1"].mean(), "AuC": some["auc"].mean()}
        shows = gain.mean - 2 * gain.sem > 1 / BATCH
        units.append(Unit(str(layer), shows, values | {"gain": gain.mean, "±": gain.sem}))
    words = "Best rank's gain on the uncompressed accuracy, EfficientNet-Lite0 on photographs of CIFAR-10"
    return Finding(f"{words}: {over_units(units, 'gain')}", tuple(units)) if units else NOTHING


def class_accuracy(curves: pd.DataFrame) -> Finding:
    """F8: per-class test accuracy against AuC, within layers, in networks without label noise."""
    units, zoo = [], entries()
    clean = single(curves)
    for network, some in clean[clean["p"] == 0].groupby("network"):
        known = zoo[str(network)].test_accuracy_by_class if str(network) in zoo else ()
        accuracies = {c: accuracy for c, accuracy in enumerate(known) if accuracy is not None}
        level = some.groupby("layer")["auc"].mean()
        kept = some[some["layer"].isin(level[level < SATURATED].index)]
        kept = kept[[int(c) in accuracies for c in kept["class"]]]
        if kept.empty:
            continue
        classes = [int(c) for c in kept["class"]]
        found = correlation(
            list(kept["auc"]), [accuracies[c] for c in classes], groups=list(kept["layer"]), interval="bootstrap",
            clusters=classes, draws=1000,
        )  # fmt: skip
        if found.r is not None:
            values = {"r": found.r, "low": found.low, "high": found.high, "layers": found.n_groups}
            units.append(Unit(str(network), found.clear and found.r > 0, values))
    words = "Pearson r of per-class test accuracy and AuC within unsaturated layers, p = 0"
    return Finding(f"{words}: {over_units(units, 'r')}", tuple(units)) if units else NOTHING


def error_outlier(curves: pd.DataFrame, value: str) -> Finding:
    """F10a,b: whether the reconstruction error's largest step over p is the last one, to p = 1 (steps are taken per 0.1 of p)."""
    units = []
    for name, some in families(single(curves)):
        levels = sorted(set(some["p"]))
        if len(levels) < 4:
            continue
        mean = [by_class(some, p, value).mean() for p in levels]
        units.append(_steps(name, levels, mean))
    return Finding(f"Largest step over p lies {_where(units)}", tuple(units)) if units else NOTHING


def transition(curves: pd.DataFrame) -> Finding:
    """F10c: between p = .8 and 1, where the relative error steps: the paper's transition is near .9."""
    units = []
    for name, some in families(single(curves)):
        levels = [p for p in sorted(set(some["p"])) if p >= 0.8]
        if levels != [0.8, 0.9, 1.0]:
            continue
        unit = _steps(name, levels, [by_class(some, p, "error").mean() for p in levels])
        largest = difference(by_class(some, 1.0, "error"), by_class(some, 0.9, "error"))
        values = unit.values | {".9 to 1": largest.mean, "±": largest.sem}
        units.append(Unit(name, abs(largest.mean) > max(2 * largest.sem, 0.02), values))
    words = "Relative error at k = 8, p = 1 minus p = .9"
    return Finding(f"{words}: {over_units(units, '.9 to 1')}", tuple(units)) if units else NOTHING


def _steps(name: str, levels: Sequence[float], mean: Sequence[float]) -> Unit:
    steps = [abs(b - a) / (q - p) * 0.1 for (p, q), (a, b) in zip(_pairs(levels), _pairs(mean), strict=True)]
    i = max(range(len(steps)), key=steps.__getitem__)
    values = {f"p = {p:g}": m for p, m in zip(levels, mean, strict=True)}
    return Unit(name, i == len(steps) - 1, values | {"largest step": f"{levels[i]:g} to {levels[i + 1]:g}"})


def _pairs(values: Sequence[float]) -> list[tuple[float, float]]:
    return list(pairwise(values))


def _where(units: Sequence[Unit]) -> str:
    counts = pd.Series([unit.values["largest step"] for unit in units]).value_counts()
    return ", ".join(f"from {step} in {n}" for step, n in counts.items())
