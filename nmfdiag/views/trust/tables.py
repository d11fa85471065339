"""Tables of the page *How far can you trust this?*: what networks are called, how often that is right by group, how far estimates are off."""

import math

import pandas as pd

from nmfdiag.diagnosis.answers import GENERALISES, INCONCLUSIVE, MEMORISES, NOISY_LABELS
from nmfdiag.diagnosis.reliability import (
    FIFTH,
    NOISY_FROM,
    QUANTITIES,
    RIGHT_UP_TO,
    ROUNDING,
    Count,
    agreement,
    calibration,
    memorising_right,
    reliability,
    whole_per_cent,
)
from nmfdiag.evidence.suspects_records import CLEAN, KINDS, LOOK_ALIKE

LEVELS = {"at most 0.05": 0.05, "0.1": 0.1, "0.2": 0.2, "0.4 to 0.6": 0.6, "1": 1.0}
"""Rows of p, each up to its value."""
KIND_NAMES = {CLEAN: "right labels", **KINDS}
CODE_NAMES = {
    GENERALISES: "generalises",
    MEMORISES: "memorises",
    NOISY_LABELS: "noisy labels",
    INCONCLUSIVE: "can't tell",
}
GROUPS = {"kind": "errors", "dataset": "data set", "arch": "architecture", "training": "training"}
"""Columns of the record that networks are grouped by."""


def level_of(p: float) -> str:
    """Return the row of a p in [0, 1].

    >>> level_of(0.0), level_of(0.05), level_of(0.4), level_of(1.0)
    ('at most 0.05', 'at most 0.05', '0.4 to 0.6', '1')
    """
    return next(name for name, largest in LEVELS.items() if p <= largest + ROUNDING)


def answers_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the counts behind the answers on labels and on memorising; counts without networks are left out."""
    counts = _label_counts(table) | {"memorises or not, correct": memorising_right(table)}
    return pd.DataFrame(
        [(answer, count.text) for answer, count in counts.items() if count.total], columns=["answer", "how many"]
    )


def _label_counts(table: pd.DataFrame) -> dict[str, Count]:
    counts = reliability(table)
    return {
        f"called noisy, at least {whole_per_cent(NOISY_FROM)} wrong": counts.noisy,
        f"called noisy, p = {FIFTH:g}": counts.fifth,
        f"false alarms, at most {whole_per_cent(RIGHT_UP_TO)} wrong": counts.false_alarms,
        "can't tell": counts.unknown,
    }


def codes_by_level(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many networks have each code, one row per level of p that occurs."""
    return _codes(table["p"].map(level_of), table["code"], LEVELS, "p")


def codes_by_kind(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many networks have each code, one row per kind of errors that occurs, of networks with p above 0.1 only."""
    noisy = table[table["p"] > LEVELS["0.1"] + ROUNDING]
    return _codes(noisy["kind"].map(KIND_NAMES), noisy["code"], KIND_NAMES.values(), "errors")


def _codes(groups: pd.Series, codes: pd.Series, order: object, title: str) -> pd.DataFrame:
    counts = pd.crosstab(groups, codes).reindex(columns=list(CODE_NAMES), fill_value=0).rename(columns=CODE_NAMES)
    counts = counts.reindex([group for group in order if group in counts.index])  # type: ignore[attr-defined]
    return counts.assign(all=counts.sum(axis=1)).rename_axis(index=title, columns=None).reset_index()


def groups_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return how often wrong labels are told right, one row per kind of errors, data set, architecture and way of training."""
    rows = []
    for column, title in GROUPS.items():
        for name, members in table.groupby(column):
            group = KIND_NAMES[str(name)] if column == "kind" else name
            counts = {answer: count.text for answer, count in _label_counts(members).items()}
            rows.append({"by": title, "group": group, "networks": len(members), **counts})
    return pd.DataFrame(rows)


def estimates_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return how far estimates are off and how often their intervals hold the truth: over all networks, those with right labels, and those with look-alike errors."""
    rows = []
    for title, quantity in QUANTITIES.items():
        for members, condition in (
            (table, ""),
            (table[table["wrong"] <= ROUNDING], ", right labels only"),
            (table[table["kind"] == LOOK_ALIKE], ", look-alike errors only"),
        ):
            result = agreement(calibration(members, quantity))
            r = result.rank.r
            rows.append(
                {
                    "answer": f"{title}{condition}",
                    "interval holds the truth": result.held.text,
                    "meant": f"{quantity.level} %",
                    "off on average": "–" if math.isnan(result.mean_error) else f"{result.mean_error:.3f}",
                    "rank correlation": "–" if r is None else f"{r:.2f}",
                }
            )
    return pd.DataFrame(rows)
