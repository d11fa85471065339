"""Claims about removed directions (figure 7) and about supports (figure 1), measured on what is recorded of them."""

import pandas as pd

from nmfdiag.evidence.compression_claims import DEEP, by_class, clean_against_noise, families, single
from nmfdiag.evidence.findings import NOTHING, Finding, Unit, clear, over_units
from nmfdiag.measures.stats.summary import spread


def random_ablation(curves: pd.DataFrame) -> Finding:
    """F7: area under accuracy over the number of random channels removed, p = 0 minus p = 1."""
    some = single(curves, "random", "ablate")
    return clean_against_noise(some, by_class, "Area under random ablation, p = 0 minus p = 1")


def leading_directions(curves: pd.DataFrame, method: str) -> Finding:
    """F7: what removing leading directions costs beyond random ablation, p = 0 minus p = 1."""

    def cost(some: pd.DataFrame, p: float) -> "pd.Series[float]":
        return by_class(single(some, "random", "ablate"), p) - by_class(single(some, method, "ablate"), p)

    words = f"Cost of removing {method.upper()} directions beyond random ablation, p = 0 minus p = 1"
    return clean_against_noise(curves[curves["operation"] == "ablate"], cost, words)


def more_rectangles(supports: pd.DataFrame) -> Finding:
    """F1: rectangles that cover half of the support in the deeper half of the layers, p = 1 over p = 0."""
    units = []
    for name, some in families(supports[supports["depth"] >= DEEP]):
        half = {p: some[some["p"] == p].set_index(["layer", "class"])["half"] for p in (0.0, 1.0)}
        ratio = spread(list((half[1.0] / half[0.0].clip(lower=1) - 1).dropna()))
        values = {"p = 0": half[0.0].mean(), "p = 1": half[1.0].mean(), "ratio - 1": ratio.mean, "±": ratio.sem}
        units.append(Unit(name, clear(ratio), values))
    words = "Rectangles for half of the support in the deeper half of the layers, p = 1 over p = 0, minus 1"
    return Finding(f"{words}: {over_units(units, 'ratio - 1')}", tuple(units)) if units else NOTHING
