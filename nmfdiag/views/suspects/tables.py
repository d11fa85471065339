"""Which samples the page *Suspects* lists and in what order, and its tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nmfdiag.diagnosis.suspects_text import n_look_wrong
from nmfdiag.measures.suspects.ranking_quality import RankingQuality, precision_recall, ranking_quality
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.views.option_names import Reserved
from nmfdiag.views.suspects.marks import Mark
from nmfdiag.zoo.registry import ZooEntry

ALL_CLASSES = Reserved("all classes")
SCORE, CONFIDENCE = "score", "confidence"
ALL, LOOK_WRONG, TOP, MARKED, UNMARKED, REPEATED = "all", "look wrong", "top 100", "marked", "not marked", "repeated"
LISTS = (ALL, LOOK_WRONG, TOP, MARKED, UNMARKED, REPEATED)
"""Which samples are listed: all; as many as look wrong by the rate; the first hundred; (not) marked ones; those with the same input."""
N_TOP = 100


def sort_options(suspects: Suspects) -> list[str]:
    """Return what samples can be sorted by: the score, its components, and the confidence of the suggestion."""
    return [SCORE, *suspects.components, CONFIDENCE]


def listed_rows(
    suspects: Suspects, *, sort: str, list_name: str, class_idx: int | None, marks: Mapping[int, Mark]
) -> np.ndarray:
    """Return the rows that are listed, the most suspicious first.

    Args:
        suspects: All samples.
        sort: One of :func:`sort_options`; :data:`LOOK_WRONG` and :data:`TOP` list the first ones by it.
        list_name: One of :data:`LISTS`.
        class_idx: Given label; None for all. It is filtered last: the list's part of that class.
        marks: By index.
    """
    values = {SCORE: suspects.score, CONFIDENCE: suspects.confidence}.get(sort)
    if values is None:
        values = suspects.components[sort]
    values = np.where(np.isnan(values), -np.inf, values)
    order = np.lexsort((np.arange(len(values)), -suspects.score, -values))
    if list_name == LOOK_WRONG:
        order = order[: n_look_wrong(suspects)]
    elif list_name == TOP:
        order = order[:N_TOP]
    elif list_name in (MARKED, UNMARKED):
        is_marked = np.isin(suspects.indices[order], list(marks))
        order = order[is_marked if list_name == MARKED else ~is_marked]
    elif list_name == REPEATED:
        repeated = [index for group in suspects.duplicates for index in group]
        order = order[np.isin(suspects.indices[order], repeated)]
    return order if class_idx is None else order[suspects.given[order] == class_idx]


def sample_table(suspects: Suspects, rows: np.ndarray, marks: Mapping[int, Mark]) -> pd.DataFrame:
    """Return the listed samples as a table: as :meth:`Suspects.to_frame` has them, with names of classes and marks."""
    table = suspects.to_frame().iloc[suspects.ranks[rows] - 1].reset_index(drop=True)
    for column in ("given", "suggested"):
        table[column] = [suspects.class_name(c) for c in table[column]]
    if marks:
        table.insert(1, "mark", [marks[i].verdict if i in marks else "" for i in table["index"]])
    return table


def qualities(suspects: Suspects, truth: np.ndarray) -> dict[str, RankingQuality]:
    """Return how well the score and each component find the wrong labels; empty where all labels are right, or all wrong."""
    wrong = suspects.given != truth
    scores = {SCORE: suspects.score, **suspects.components}
    by_name = {}
    for name, values in scores.items():
        is_known = ~np.isnan(values)  # not all samples have a history
        by_name[name] = ranking_quality(values[is_known], wrong[is_known])
    return {name: quality for name, quality in by_name.items() if quality is not None}


def quality_table(by_name: Mapping[str, RankingQuality]) -> pd.DataFrame:
    """Return AUROC, its interval, average precision and precision at the true number, one row a score."""
    return pd.DataFrame(
        [(name, q.auroc, q.low, q.high, q.average_precision, q.precision_at_number) for name, q in by_name.items()],
        columns=["sorted by", "AUROC", "low", "high", "average precision", "precision at the true number"],
    )


def curve_table(suspects: Suspects, truth: np.ndarray) -> pd.DataFrame:
    """Return precision and recall of the score and of each component, one row a threshold."""
    parts = []
    for name, values in {SCORE: suspects.score, **suspects.components}.items():
        is_known = ~np.isnan(values)
        precision, recall = precision_recall(values[is_known], (suspects.given != truth)[is_known])
        parts.append(pd.DataFrame({"sorted by": name, "recall": recall, "precision": precision}))
    return pd.concat(parts, ignore_index=True)


def settings(suspects: Suspects, entry: ZooEntry) -> dict[str, str]:
    """Return what the result depends on, as text."""
    facts: Mapping[str, Any] = suspects.provenance
    return {
        "network": entry.name,
        "weights and samples (sha256)": entry.digest[:12],
        "samples": f"{len(suspects.given):,}",
        "layers read for the score": ", ".join(suspects.layers),
        "moved copies": str(facts.get("moves")),
        "versions": ", ".join(f"{name} {facts.get(name)}" for name in ("nmfdiag", "torch", "numpy")),
        "computed": f"{facts.get('date')}, on {facts.get('device')}",
    }
