"""The jury: networks whose wrong labels and test error are known, and what was answered on them. Made by ``benchmarks/jury``, read here."""

from pathlib import Path
from typing import TYPE_CHECKING

from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence.records import RECORDS_FOLDER
from nmfdiag.evidence.suspects_records import CLEAN, KINDS

if TYPE_CHECKING:
    import pandas as pd

JURY = "jury.csv"
JUDGED, DEVELOPMENT = HALVES = "judged", "development"
"""Thresholds were chosen on the second half alone."""
VALUES = {
    "half": HALVES,
    "kind": (CLEAN, *KINDS),
    "code": ("generalises", "noisy_labels", "memorises", "inconclusive"),
}
"""Column of text -> what it may hold; the codes are those of ``diagnosis/answers.py``."""
TRUTHS = ("p", "wrong", "train_accuracy", "test_accuracy")
"""Columns of shares in [0, 1]: label noise as declared, true share of wrong labels, accuracy on the given labels and on test samples."""
ANSWERS = ("noise", "memorised", "error")
"""Answers, each an estimate with ``NAME_low`` and ``NAME_high``, all three empty where it is unknown."""
ESTIMATES = tuple(f"{name}{end}" for name in ANSWERS for end in ("", "_low", "_high"))
COLUMNS = (
    "name", "half", "dataset", "arch", "n", "kind", "p", "training", "wrong", "train_accuracy", "test_accuracy", "code", *ESTIMATES,
)  # fmt: skip


def jury_table(folder: Path = RECORDS_FOLDER) -> "pd.DataFrame":
    """Return one row per network of the jury, with :data:`COLUMNS`; empty without a file.

    Raises:
        NmfdiagError: If the file can't be read, lacks a column, lists a network twice, or holds a value that its column may not.
    """
    import pandas as pd

    path = folder / JURY
    if not path.is_file():
        return pd.DataFrame(columns=list(COLUMNS))
    try:
        table = pd.read_csv(path)[list(COLUMNS)]
        for column in ("n", *TRUTHS, *ESTIMATES):
            table[column] = pd.to_numeric(table[column])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NmfdiagError(f"The record {JURY} can't be read: {error}") from None
    bad = {
        "lists a network twice": table.duplicated("name"),
        **{f"has an unknown {name}": ~table[name].isin(values) for name, values in VALUES.items()},
        **{f"has no share as {name}": ~table[name].between(0, 1) for name in TRUTHS},
        **{
            f"has a part of {name} alone": table[[name, f"{name}_low", f"{name}_high"]].isna().sum(axis=1).isin((1, 2))
            for name in ANSWERS
        },
    }
    for fault, rows in bad.items():
        if rows.any():
            raise NmfdiagError(f"The record {JURY} {fault}: {table.loc[rows, 'name'].iloc[0]}.")
    return table
