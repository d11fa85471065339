"""Recorded networks whose wrong labels are known: how they are found, counted and repaired. Made by ``benchmarks/suspects``, read here."""

from pathlib import Path
from typing import TYPE_CHECKING

from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence.records import RECORDS_FOLDER

if TYPE_CHECKING:
    import pandas as pd

RESULTS, RATES, REPAIRS = "suspects.csv", "suspects-rates.csv", "suspects-repair.csv"
CLEAN, UNIFORM, PAIR_FLIP, LOOK_ALIKE = "clean", "uniform", "pair_flip", "look_alike"
KINDS = {UNIFORM: "uniform", PAIR_FLIP: "pair-flip", LOOK_ALIKE: "look-alike"}
"""Kinds of label errors in words: another class at random; the next class; a class that a network trained on other samples confuses it with."""
AS_GIVEN, REMOVED, RELABELLED, AT_RANDOM = (
    "as given",
    "suspects removed",
    "suspects relabelled",
    "as many removed at random",
)
"""Columns of test accuracies in the table of repairs."""
SETTING = ("dataset", "kind", "share", "seed", "augmented")
NUMBERS = {
    RESULTS: ("share", "seed", "fitted", "auroc", "cpu_seconds"),
    RATES: ("share", "seed", "wrong", "estimate"),
    REPAIRS: ("share", "seed", AS_GIVEN, REMOVED, RELABELLED, AT_RANDOM),
}
"""Columns of numbers that the claims read, by file."""


def suspects_table(name: str, folder: Path = RECORDS_FOLDER) -> "pd.DataFrame":
    """Return a table of the benchmark, with each network's ``title`` in words; empty without a file.

    Args:
        name: One of :data:`RESULTS` (one row per network and score), :data:`RATES` and :data:`REPAIRS` (one row per network).
        folder: Folder of the records.

    Raises:
        NmfdiagError: If the file can't be read, lacks a column, has an unknown kind of errors, or lists a network twice.
    """
    import pandas as pd

    columns = [*dict.fromkeys((*SETTING, *NUMBERS[name])), *(["score"] if name == RESULTS else [])]
    path = folder / name
    if not path.is_file():
        return pd.DataFrame(columns=[*columns, "title"])
    try:
        table = pd.read_csv(path)
        for column in NUMBERS[name]:
            table[column] = pd.to_numeric(table[column])
        keys = [*SETTING, "score"] if name == RESULTS else list(SETTING)
        is_repeated = table.duplicated(keys)
        titles = [_title(*setting) for setting in zip(*(table[column] for column in SETTING), strict=True)]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NmfdiagError(f"The record {name} can't be read: {error}") from None
    if is_repeated.any():
        raise NmfdiagError(f"The record {name} lists a network twice: {titles[int(is_repeated.argmax())]}.")
    return table.assign(title=titles)


def _title(dataset: str, kind: str, share: float, seed: int, augmented: bool) -> str:
    """Return a network's setting in words."""
    errors = "right labels" if kind == CLEAN else f"{100 * share:.0f} % {KINDS[kind]} errors"
    return f"{dataset}, {errors}, seed {seed}{', augmented' if augmented else ''}"
