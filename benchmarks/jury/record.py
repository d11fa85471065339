"""Turn ``OUT/measured.jsonl`` into the record that ships with the package: ``python benchmarks/jury/record.py OUT``."""

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nmfdiag.evidence.jury_records import COLUMNS, JURY
from nmfdiag.evidence.records import RECORDS_FOLDER

DIGITS = 4
LABELS, MEMORISING = "labels", "memorising"
"""Answers of :mod:`nmfdiag.diagnosis.answers`."""


def record_row(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a network's row. Test accuracy is that of the network that was measured: of the restored copy where there is one."""
    restored = line["test_accuracy_restored"]
    is_restored = bool(line["remark"]) and restored is not None and not math.isnan(restored)
    row = {
        **line,
        "train_accuracy": line["accuracies"]["network"],
        "test_accuracy": restored if is_restored else line["test_accuracy"],
    }
    intervals = {
        "noise": line["answers"][LABELS][1:],
        "memorised": line["answers"][MEMORISING][1:],
        "error": line["expected_error"] or [None] * 3,
    }
    for name, interval in intervals.items():
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), interval, strict=True))
    return {column: row[column] for column in COLUMNS}


def record_table(lines: list[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the record of measured networks, by name."""
    return pd.DataFrame(map(record_row, lines), columns=list(COLUMNS)).sort_values("name").round(DIGITS)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python benchmarks/jury/record.py OUT")
    measured_path = Path(sys.argv[1]) / "measured.jsonl"
    try:
        text = measured_path.read_text(encoding="utf-8")
        table = record_table([json.loads(line) for line in text.splitlines()])
    except OSError as error:
        sys.exit(f"{measured_path} can't be read: {error.strerror}.")
    except (ValueError, KeyError, TypeError) as error:
        sys.exit(f"{measured_path} is not what measure.py writes now ({error!r}): measure again into another folder.")
    table.to_csv(RECORDS_FOLDER / JURY, index=False, lineterminator="\n")
    print(f"{len(table)} networks in {RECORDS_FOLDER / JURY}")
