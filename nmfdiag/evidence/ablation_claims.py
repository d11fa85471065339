"""Claims about removed directions (figure 7) and supports (figure 1), measured on recorded curves and covers."""

import pandas as pd

from nmfdiag.evidence.compression_claims import DEEP, by_class, clean_against_noise, families, single
from nmfdiag.evidence.findings import Finding, Unit, summarise
from nmfdiag.measures.stats.summary import clearly_positive, spread


def random_ablation(curves: pd.DataFrame) -> Finding:
    """Measure F7: area under accuracy over the number of random channels removed, p = 0 minus p = 1."""
    random_curves = single(curves, "random", "ablate")
    return clean_against_noise(random_curves, by_class, "Area under random ablation, p = 0 minus p = 1")


def leading_directions(curves: pd.DataFrame, method: str) -> Finding:
    """Measure F7: cost of removing leading directions beyond random ablation, p = 0 minus p = 1."""

    def cost(family_curves: pd.DataFrame, p: float) -> "pd.Series[float]":
        return by_class(single(family_curves, "random", "ablate"), p) - by_class(
            single(family_curves, method, "ablate"), p
        )

    quantity = f"Cost of removing {method.upper()} directions beyond random ablation, p = 0 minus p = 1"
    return clean_against_noise(curves[curves["operation"] == "ablate"], cost, quantity)


def more_rectangles(supports: pd.DataFrame) -> Finding:
    """Measure F1: rectangles that cover half of the support in the deeper half of the layers, p = 1 over p = 0."""
    units = []
    for name, family_covers in families(supports[supports["depth"] >= DEEP]):
        half = {p: family_covers[family_covers["p"] == p].set_index(["layer", "class"])["half"] for p in (0.0, 1.0)}
        ratio = spread(list((half[1.0] / half[0.0].clip(lower=1) - 1).dropna()))
        values = {"p = 0": half[0.0].mean(), "p = 1": half[1.0].mean(), "ratio - 1": ratio.mean, "±": ratio.sem}
        units.append(Unit(name, clearly_positive(ratio), values))
    quantity = "Rectangles for half of the support in the deeper half of the layers, p = 1 over p = 0, minus 1"
    return summarise(quantity, units, "ratio - 1")
