"""The Overview page: its words, and the table of all networks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from nmfdiag.diagnosis.answers import (
    GENERALISES,
    INCONCLUSIVE,
    LABELS,
    MEMORISES,
    NOISY_LABELS,
    answers,
    code_of,
)
from nmfdiag.diagnosis.expected_error import expected_error
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.suspects.controls import Controls
from nmfdiag.views.glossary import TERMS
from nmfdiag.zoo.registry import ZooEntry, known_noise

TITLE = "Which networks memorise?"
INTRODUCTION = (
    "From a trained network and its training samples, without a validation set, nmfdiag tells how many labels are wrong, which share of its answers the network "
    "has memorised, and which error to expect on new samples. In these demo networks a share **p** of the labels was replaced by random ones, a few of which are "
    "right by chance: with p\u00a0=\u00a00 all labels are clean, with p\u00a0=\u00a01 there is nothing to learn, only to memorise. Each answer has its interval "
    "(95\u00a0%, of the error 90\u00a0%) and the truth beside it."
)
NAME = "name"
"""Column with the name of the network in the zoo; it is not drawn."""
ADDED = "added"
"""Column with the date on which a user's own network was added; left out without one."""
CODE_TEXTS = {
    GENERALISES: "generalises",
    NOISY_LABELS: "wrong labels",
    MEMORISES: "memorises",
    INCONCLUSIVE: "can't tell",
}
NOT_MEASURED = "not measured yet"
NO_PHASES = Phases(reason="not asked for")
SHARE_HELP = {
    "wrong labels": "Estimated share of wrong labels.",
    "at least": "Lower end of its 95 % interval.",
}


def network_table(
    networks: Iterable[ZooEntry],
    controls: Mapping[str, Controls],
    curves: Mapping[str, Sequence[CompressionCurve]],
) -> pd.DataFrame:
    """Return one row per network: its answers, and AuC by layer where its curves are there.

    Args:
        networks: Of the zoo, the user's own among them.
        controls: What the answers are made from, by network; none for one that was not measured.
        curves: All curves of its default view, by network; none while some are missing.
    """
    in_order = sorted(networks, key=lambda entry: (not entry.called, entry.recipe.seed))  # the user's own first
    table = pd.DataFrame([_row(entry, controls.get(entry.name), curves.get(entry.name, [])) for entry in in_order])
    return table if table[ADDED].any() else table.drop(columns=ADDED)


def _row(entry: ZooEntry, controls: Controls | None, curves: Sequence[CompressionCurve]) -> dict[str, Any]:
    recipe, error = entry.recipe, expected_error(controls) if controls else None
    by_name = answers(controls, error, NO_PHASES)
    aucs: dict[str, list[float]] = {layer: [] for layer in entry.layers}
    for curve in curves:
        aucs[curve.layer].append(curve.auc)
    means = [sum(values) / len(values) for values in aucs.values() if values]
    return {
        NAME: entry.name,
        "network": entry.called or f"{recipe.dataset} {recipe.arch}",
        "p": known_noise(entry.label_noise),
        "seed": None if entry.called else recipe.seed,
        "verdict": CODE_TEXTS[code_of(by_name)] if controls else NOT_MEASURED,
        "wrong labels": _per_cent(by_name[LABELS].estimate),
        "at least": _per_cent(by_name[LABELS].low),
        "expected error": error.estimate if error else None,
        "true error": None if entry.test_accuracy is None else 1 - entry.test_accuracy,
        "mean AuC": sum(means) / len(means) if means else None,
        "AuC by layer": means or None,
        ADDED: entry.added_on,
    }


def _per_cent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def column_config(column: Any) -> dict[str, Any]:
    """Return the formats of the table's columns.

    Args:
        column: The page's kinds of columns.
    """
    share = {name: column.NumberColumn(format="%.0f %%", help=text) for name, text in SHARE_HELP.items()}
    return share | {
        "p": column.NumberColumn(format="%g", help=TERMS["p"]),
        "expected error": column.NumberColumn(format="%.2f", help=TERMS["expected error"]),
        "true error": column.NumberColumn(format="%.2f", help="On test samples, which the answers have not seen."),
        "mean AuC": column.NumberColumn(format="%.2f", help=f"Over layers and classes. {TERMS['AuC']}"),
        "AuC by layer": column.LineChartColumn(y_min=0, y_max=1, help="From the first layer to the last."),
    }
