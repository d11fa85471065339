"""What the reader decides about samples: wrong, fine or unsure, the right label, and what that says of the list's precision."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.zoo.registry import ZooEntry

WRONG, FINE, UNSURE = "wrong", "fine", "unsure"
SCHEMA = "nmfdiag-marks-1"
COLUMNS = ["index", "given", "suggested", "mark", "new_label"]


@dataclass(frozen=True)
class Mark:
    """A decision: :data:`WRONG`, :data:`FINE` or :data:`UNSURE`, and the right label of what is wrong, where it was chosen."""

    verdict: str
    label: int | None = None


@dataclass(frozen=True)
class MarkedPrecision:
    """The share of wrong labels among samples marked wrong or fine, with its 95 % interval (Wilson's)."""

    n_wrong: int
    n_decided: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The share."""
        return self.n_wrong / self.n_decided


def precision_of(marks: Mapping[int, Mark]) -> MarkedPrecision | None:
    """Return the precision among marked samples; None while none is marked wrong or fine. Unsure ones don't count."""
    from scipy.stats import binomtest

    verdicts = [mark.verdict for mark in marks.values() if mark.verdict != UNSURE]
    if not verdicts:
        return None
    n_wrong = verdicts.count(WRONG)
    interval = binomtest(n_wrong, len(verdicts)).proportion_ci(0.95, method="wilson")
    return MarkedPrecision(n_wrong, len(verdicts), float(interval.low), float(interval.high))


def marks_table(marks: Mapping[int, Mark], suspects: Suspects) -> pd.DataFrame:
    """Return one row per marked sample, by index, with its file where it has one; ``new_label`` is empty unless the label is wrong."""
    rows = suspects.rows(sorted(marks))
    table = pd.DataFrame(
        [
            (
                index,
                int(suspects.given[row]),
                int(suspects.suggested[row]),
                mark.verdict,
                new_label(mark, suspects, row),
            )
            for row, (index, mark) in zip(rows, sorted(marks.items()), strict=True)
        ],
        columns=COLUMNS,
    ).astype({"new_label": "Int64"})
    if suspects.file_names:
        table.insert(1, "file", [suspects.file_names[row] for row in rows])
    return table


def new_label(mark: Mark, suspects: Suspects, row: int) -> int | None:
    """Return the right label of a sample that is marked wrong, the suggestion unless another was chosen; else None."""
    if mark.verdict != WRONG:
        return None
    return int(suspects.suggested[row]) if mark.label is None else mark.label


def marks_json(marks: Mapping[int, Mark], suspects: Suspects, entry: ZooEntry) -> str:
    """Return the marks as JSON, with the network they belong to and the names of its classes."""
    table = marks_table(marks, suspects)
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "network": entry.name,
        "content": entry.digest,
        "n_samples": len(suspects.given),
        "class_names": list(entry.class_names),
        "marks": json.loads(table.to_json(orient="records")),
    }
    return json.dumps(record, indent=1) + "\n"
