"""Networks of the generalisation experiment with planted accuracies and AuCs."""

from collections.abc import Callable

import numpy as np

from nmfdiag.evidence.records import NetworkRecord
from nmfdiag.measures.methods import PAPER_METHODS
from nmfdiag.measures.stats.correlation import Correlation, Difference
from nmfdiag.views.generalization.tables import Verdict
from nmfdiag.zoo.experiments import AXES, BATCHES, GENERALIZATION, PRIMARY

LAYERS = ["conv1_1", "conv2_1", "conv3_1"]
NOISE = {"nmf": 0.02, "pca": 0.3, "random": 1.0}
PROVENANCE = {"nmfdiag": "0.1.0", "torch": "2.15.0", "processor": "a machine", "per_class": 20, "seconds": 30.0}


def falling_auc(error: float) -> float:
    return 0.9 - 0.6 * error


def planted_records(
    n: int = 96, *, unfitted: int = 0, area: Callable[[float], float] = falling_auc, spread: float = 0.15
) -> dict[str, NetworkRecord]:
    """Return records whose error grows with p; AuC follows it closely for NMF, less for PCA, hardly for random ablation."""
    rng = np.random.default_rng(0)
    records = {}
    for i, (name, recipe) in enumerate(list(GENERALIZATION.items())[:n]):
        error = 0.1 + 0.6 * recipe.label_noise + spread * rng.uniform(-0.5, 0.5)
        train = 0.7 if i < unfitted else 1.0
        auc = {}
        for batch in BATCHES:
            auc[batch] = {
                m: dict.fromkeys(AXES, [area(error) + 0.3 * NOISE[m] * rng.normal()] * 3) for m in PAPER_METHODS
            }
        provenance = PROVENANCE | {"date": f"2026-11-{24 + i // 48}"}
        baseline = {"single": train, "multi": train}
        records[name] = NetworkRecord(
            name, recipe, train, train - error, 30, 1000, LAYERS, auc, baseline, provenance
        )  # fmt: skip
    return records


def make_correlation(
    r: float | None, low: float | None = None, high: float | None = None, reason: str = ""
) -> Correlation:
    return Correlation(r, low, high, 96, "pearson", "bootstrap", reason=reason)


def verdict(nmf: Correlation, pca: Correlation | None = None, **leads: Difference) -> Verdict:
    correlations = {"pca": pca or make_correlation(-0.4, -0.5, -0.3), "random": make_correlation(-0.2, -0.4, 0.1)}
    return Verdict(PRIMARY, "pearson", {"nmf": nmf, **correlations}, leads)
