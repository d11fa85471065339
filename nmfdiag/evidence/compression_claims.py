"""Claims about compressed layers (figures 2, 3, 4, 8 and 10), measured on the table of recorded curves."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import pandas as pd

from nmfdiag.evidence.findings import NO_RECORD, Finding, Unit, over_units, summarise
from nmfdiag.jobs.requests import MULTI_CLASS
from nmfdiag.measures.auc import SATURATED
from nmfdiag.measures.phases import phases
from nmfdiag.measures.stats.correlation import correlation
from nmfdiag.measures.stats.summary import Spread, clearly_positive, spread
from nmfdiag.text import span
from nmfdiag.zoo.registry import entries

DEEP, LAST_THIRD = 0.5, 2 / 3
"""Least relative depths of the deeper half and of the last third of the layers."""
LINEAR = 0.95
"""Least mean AuC of "highly linear" layers."""
CONSTANT_ANSWER = 0.5
"""Accuracy of the mean row alone from which a layer's constant answer decides a class."""
BATCH_SIZE = 20
"""Samples per batch of the photographs."""
NOISIEST = "p = 1"


def single(curves: pd.DataFrame, method: str = "nmf", operation: str = "compress") -> pd.DataFrame:
    """Return the single-class curves of one method."""
    is_selected = (curves["method"] == method) & (curves["operation"] == operation)
    return curves[is_selected & (curves["class"] != MULTI_CLASS)]


def families(curves: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the networks that differ in p alone, where both p = 0 and p = 1 are recorded."""
    for (dataset, arch, seed), family_curves in curves.groupby(["dataset", "arch", "seed"]):
        if {0.0, 1.0} <= set(family_curves["p"]):
            yield f"{dataset} {arch}, seed {seed}", family_curves


def by_class(curves: pd.DataFrame, p: float, value: str = "auc") -> "pd.Series[float]":
    """Return a value's mean over layers for each class of the network of this p."""
    return curves[curves["p"] == p].groupby("class")[value].mean()


def difference(a: "pd.Series[float]", b: "pd.Series[float]") -> Spread:
    """Return mean and spread of a minus b over their common index."""
    return spread(list((a - b).dropna()))


def clean_against_noise(
    curves: pd.DataFrame, value_by_class: Callable[[pd.DataFrame, float], "pd.Series[float]"], quantity: str
) -> Finding:
    """Measure in which families a value by class is clearly higher at p = 0 than at p = 1."""
    units = []
    for name, family_curves in families(curves):
        clean, random = (value_by_class(family_curves, p) for p in (0.0, 1.0))
        gap = difference(clean, random)
        values = {
            "p = 0": clean.mean(),
            NOISIEST: random.mean(),
            "difference": gap.mean,
            "±": gap.sem,
            "classes": gap.n,
        }
        units.append(Unit(name, clearly_positive(gap), values))
    return summarise(quantity, units, "difference")


def deep_layers(curves: pd.DataFrame) -> Finding:
    """Measure F2a,b: NMF AuC of the deeper half of the layers, p = 0 minus p = 1."""
    deep_curves = single(curves)
    deep_curves = deep_curves[deep_curves["depth"] >= DEEP]
    return clean_against_noise(deep_curves, by_class, "AuC of the deeper half of the layers, p = 0 minus p = 1")


def three_phases(curves: pd.DataFrame, dataset: str = "cifar10", arch: str = "cnn") -> Finding:
    """Measure F2c: networks of the paper's family whose AuC by layer dips and then reaches 1."""
    units = []
    curves_of_paper = single(curves)
    curves_of_paper = curves_of_paper[(curves_of_paper["dataset"] == dataset) & (curves_of_paper["arch"] == arch)]
    for network, network_curves in curves_of_paper.groupby("network"):
        layer_auc = network_curves.groupby("layer", sort=False)["auc"].agg(["mean", "sem"])
        network_phases = phases(list(layer_auc.index), list(layer_auc["mean"]), list(layer_auc["sem"]))
        values = {
            "p": network_curves["p"].iloc[0],
            "feature extraction": span(network_phases.feature_extraction) if network_phases.feature_extraction else "",
            "memorisation": span(network_phases.memorisation) if network_phases.memorisation else network_phases.reason,
            "clustering": span(network_phases.clustering) if network_phases.clustering else "",
        }
        units.append(Unit(str(network), network_phases.clear, values))
    units.sort(key=lambda unit: (unit.values["p"], unit.name))
    bounds = "; ".join(
        f"{unit.name.removeprefix(f'{dataset}-{arch}-')}: {unit.values['memorisation']}" for unit in units
    )
    return Finding(f"Memorisation from and to ({dataset} {arch}): {bounds}", tuple(units)) if units else NO_RECORD


def outlier(curves: pd.DataFrame) -> Finding:
    """Measure F2c: families with a layer at which p = 1 is clearly more linear than the level below it."""
    units = []
    for name, family_curves in families(single(curves)):
        levels = sorted(set(family_curves["p"]))
        if len(levels) < 3:
            continue
        level_below = levels[-2]
        layers_above = []
        for layer, layer_curves in family_curves.groupby("layer", sort=False):
            high, low = (layer_curves[layer_curves["p"] == p].set_index("class")["auc"] for p in (1.0, level_below))
            if clearly_positive(difference(high, low)):
                layers_above.append(str(layer))
        values = {
            "level below": level_below,
            "layers": len(set(family_curves["layer"])),
            "above it": len(layers_above),
            "which": " ".join(layers_above),
        }
        units.append(Unit(name, bool(layers_above), values))
    quantity = "layers at which p = 1 lies clearly above the level below it"
    return summarise(quantity, units, "above it")


def separation(curves: pd.DataFrame) -> Finding:
    """Measure F3: the drop of AuC from p = 0 to p = 1, under NMF minus under PCA."""
    units = []
    for name, family_curves in families(curves):
        drop = {
            m: by_class(single(family_curves, m), 0.0) - by_class(single(family_curves, m), 1.0) for m in ("nmf", "pca")
        }
        gap = difference(drop["nmf"], drop["pca"])
        values = {"NMF": drop["nmf"].mean(), "PCA": drop["pca"].mean(), "difference": gap.mean, "±": gap.sem}
        units.append(Unit(name, clearly_positive(gap), values))
    if not units:
        return NO_RECORD
    nmf, pca, gap_words = (over_units(units, value) for value in ("NMF", "PCA", "difference"))
    return Finding(
        f"Mean AuC drops from p = 0 to 1 by {nmf} under NMF, {pca} under PCA; NMF minus PCA: {gap_words}", tuple(units)
    )


def one_class(curves: pd.DataFrame, *, beyond_constant: bool = False) -> Finding:
    """Measure F4: AuC on single-class minus multi-class batches; or only at layers whose mean row carries no class."""
    units = []
    nmf = curves[(curves["method"] == "nmf") & (curves["operation"] == "compress")]
    for network, network_curves in nmf.groupby("network"):
        single_class, multi_class = (
            network_curves[network_curves["class"] != MULTI_CLASS],
            network_curves[network_curves["class"] == MULTI_CLASS],
        )
        if beyond_constant:
            constant = single_class.groupby("layer")["mean_row"].mean()
            layers = constant[constant < CONSTANT_ANSWER].index
            single_class, multi_class = (
                single_class[single_class["layer"].isin(layers)],
                multi_class[multi_class["layer"].isin(layers)],
            )
        if single_class.empty or multi_class.empty:
            continue
        a = spread(list(single_class.groupby("class")["auc"].mean()))
        b = spread(list(multi_class.groupby("draw")["auc"].mean()))
        gap = Spread(a.mean - b.mean, 0.0, (a.sem**2 + b.sem**2) ** 0.5, a.n)
        values = {"single-class": a.mean, "multi-class": b.mean, "difference": gap.mean, "±": gap.sem}
        units.append(Unit(str(network), clearly_positive(gap), values | {"layers": single_class["layer"].nunique()}))
    return summarise("Single-class minus multi-class AuC", units, "difference")


def linear_at_the_end(curves: pd.DataFrame) -> Finding:
    """Measure F8: mean single-class AuC of the last third of the layers in networks without label noise."""
    units = []
    clean_curves = single(curves)
    clean_curves = clean_curves[(clean_curves["p"] == 0) & (clean_curves["depth"] >= LAST_THIRD)]
    for network, network_curves in clean_curves.groupby("network"):
        s = spread(list(network_curves.groupby("class")["auc"].mean()))
        units.append(Unit(str(network), s.mean >= LINEAR, {"AuC": s.mean, "±": s.sem}))
    return summarise("AuC of the last third of the layers at p = 0", units, "AuC")


def denoising(photographs: pd.DataFrame) -> Finding:
    """Measure F8: layers at which the best rank gains more than one sample on the uncompressed accuracy of the same batch.

    Picking the best of many ranks gains about one sample by chance.
    """
    units = []
    true_labelled = photographs[photographs["labels"] == "true"] if len(photographs) else photographs
    for layer, layer_curves in true_labelled.groupby("layer", sort=False) if len(true_labelled) else ():
        gain = spread(list(layer_curves["best"] - layer_curves["baseline"]))
        values = {
            "uncompressed": layer_curves["baseline"].mean(),
            "k = 1": layer_curves["k1"].mean(),
            "AuC": layer_curves["auc"].mean(),
        }
        shows = gain.mean - 2 * gain.sem > 1 / BATCH_SIZE
        units.append(Unit(str(layer), shows, values | {"gain": gain.mean, "±": gain.sem}))
    quantity = "Best rank's gain on the uncompressed accuracy, EfficientNet-Lite0 on photographs of CIFAR-10"
    return summarise(quantity, units, "gain")


def class_accuracy(curves: pd.DataFrame) -> Finding:
    """Measure F8: per-class test accuracy against AuC, within layers, in networks without label noise."""
    units, zoo = [], entries()
    clean_curves = single(curves)
    for network, network_curves in clean_curves[clean_curves["p"] == 0].groupby("network"):
        class_accuracies = zoo[str(network)].test_accuracy_by_class if str(network) in zoo else ()
        accuracies = {c: accuracy for c, accuracy in enumerate(class_accuracies) if accuracy is not None}
        layer_auc = network_curves.groupby("layer")["auc"].mean()
        unsaturated = network_curves[network_curves["layer"].isin(layer_auc[layer_auc < SATURATED].index)]
        unsaturated = unsaturated[[int(c) in accuracies for c in unsaturated["class"]]]
        if unsaturated.empty:
            continue
        classes = [int(c) for c in unsaturated["class"]]
        r_within_layers = correlation(
            list(unsaturated["auc"]), [accuracies[c] for c in classes], groups=list(unsaturated["layer"]), interval="bootstrap",
            clusters=classes, draws=1000,
        )  # fmt: skip
        if r_within_layers.r is not None:
            values = {
                "r": r_within_layers.r,
                "low": r_within_layers.low,
                "high": r_within_layers.high,
                "layers": r_within_layers.n_groups,
            }
            units.append(Unit(str(network), r_within_layers.clear and r_within_layers.r > 0, values))
    quantity = "Pearson r of per-class test accuracy and AuC within unsaturated layers, p = 0"
    return summarise(quantity, units, "r")


def error_outlier(curves: pd.DataFrame, value: str) -> Finding:
    """Measure F10a,b: whether the reconstruction error's largest step over p (per 0.1 of p) is the last one, to p = 1."""
    units = []
    for name, family_curves in families(single(curves)):
        levels = sorted(set(family_curves["p"]))
        if len(levels) < 4:
            continue
        mean = [by_class(family_curves, p, value).mean() for p in levels]
        units.append(_unit_of_steps(name, levels, mean))
    return Finding(f"Largest step over p lies {_count_largest_steps(units)}", tuple(units)) if units else NO_RECORD


def transition(curves: pd.DataFrame) -> Finding:
    """Measure F10c: where the relative error steps between p = .8 and 1; the paper's transition is near .9."""
    units = []
    for name, family_curves in families(single(curves)):
        levels = [p for p in sorted(set(family_curves["p"])) if p >= 0.8]
        if levels != [0.8, 0.9, 1.0]:
            continue
        unit = _unit_of_steps(name, levels, [by_class(family_curves, p, "error").mean() for p in levels])
        largest = difference(by_class(family_curves, 1.0, "error"), by_class(family_curves, 0.9, "error"))
        values = unit.values | {".9 to 1": largest.mean, "±": largest.sem}
        units.append(Unit(name, clearly_positive(replace(largest, mean=abs(largest.mean))), values))
    quantity = "Relative error at k = 8, p = 1 minus p = .9"
    return summarise(quantity, units, ".9 to 1")


def _unit_of_steps(name: str, levels: Sequence[float], mean: Sequence[float]) -> Unit:
    steps = [abs(b - a) / (q - p) * 0.1 for (p, q), (a, b) in zip(pairwise(levels), pairwise(mean), strict=True)]
    i = max(range(len(steps)), key=steps.__getitem__)
    values = {f"p = {p:g}": m for p, m in zip(levels, mean, strict=True)}
    return Unit(name, i == len(steps) - 1, values | {"largest step": f"{levels[i]:g} to {levels[i + 1]:g}"})


def _count_largest_steps(units: Sequence[Unit]) -> str:
    counts = pd.Series([unit.values["largest step"] for unit in units]).value_counts()
    return ", ".join(f"from {step} in {n}" for step, n in counts.items())
