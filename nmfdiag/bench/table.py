"""The benchmark's table: one row per case and solver, with the machine and the versions of the measurement."""

import csv
import os
import platform
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag.jobs.cache import cache_folder
from nmfdiag.provenance import package_version, processor_model

if TYPE_CHECKING:
    import pandas as pd

NAN = float("nan")
KEPT_PREFIXES = ("results", "part", "quick")
"""Name prefixes of the tables in the cache folder, in order of preference."""


@dataclass(frozen=True)
class Row:
    """The cost of one solver for one case. Seconds are medians over the repeats, with least and largest.

    Attributes:
        section: Part of the benchmark: ``peers``, ``curves``, ``scaling``, ``memory``, ``truth`` or ``runtime``.
        device: ``"cpu"`` or ``"cuda"``.
        case: What was computed, such as ``"conv1 51200x64"``.
        rows: Rows of the activation matrix, 0 for several matrices.
        channels: Its columns, likewise.
        n_ranks: Number of ranks of the grid.
        ranks: The ranks, separated by blanks.
        solver: A name of :data:`nmfdiag.bench.peers.SOLVERS`, or another timed task (``"gemm"``).
        threads: Allowed threads.
        repeats: Number of runs.
        cpu_seconds: Process time of all threads.
        wall_seconds: Wall-clock time.
        mean_relative_error: Mean over ranks of ``||A - W H|| / ||A||``, computed directly.
        relative_errors: The error at each rank, separated by blanks.
        mean_ratio: Our mean error over this solver's.
        worst_ratio: Largest ratio of our error to this solver's at one rank.
        gate: ``"pass"`` or ``"fail"``: whether our quality is at least this solver's; empty without a comparison.
        gflops: 10^9 floating-point operations per CPU second, if counted.
        note: Settings, remarks, or why it was skipped.
    """

    section: str
    device: str
    case: str
    rows: int = 0
    channels: int = 0
    n_ranks: int = 0
    ranks: str = ""
    solver: str = ""
    threads: int = 1
    repeats: int = 0
    cpu_seconds: float = NAN
    cpu_min: float = NAN
    cpu_max: float = NAN
    wall_seconds: float = NAN
    wall_min: float = NAN
    wall_max: float = NAN
    mean_relative_error: float = NAN
    relative_errors: str = ""
    mean_ratio: float = NAN
    worst_ratio: float = NAN
    gate: str = ""
    gflops: float = NAN
    note: str = ""

    @property
    def seconds(self) -> float:
        """The time to compare: CPU time on the CPU, else wall time."""
        return self.cpu_seconds if self.device == "cpu" else self.wall_seconds


@dataclass(frozen=True)
class Section:
    """The result of a section: rows for the table, and numbers by name that are not times."""

    rows: list[Row]
    facts: dict[str, float] = field(default_factory=dict)


ROW_COLUMNS = tuple(column.name for column in fields(Row))
MACHINE_COLUMNS = ("machine", "processor", "nmfdiag", "torch", "numpy", "scikit_learn", "date")
RESULT_COLUMNS = ROW_COLUMNS + MACHINE_COLUMNS


def this_machine(device: str = "cpu") -> dict[str, str]:
    """Return machine, processor, versions and date: the columns :data:`MACHINE_COLUMNS`."""
    packages = {"nmfdiag": "nmfdiag", "torch": "torch", "numpy": "numpy", "scikit_learn": "scikit-learn"}
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "processor": processor_model(device),
        **{column: package_version(package) for column, package in packages.items()},
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def to_records(rows: Sequence[Row], machine: dict[str, str]) -> list[dict[str, Any]]:
    """Return the rows as dictionaries over :data:`RESULT_COLUMNS`."""
    return [{**asdict(row), **machine} for row in rows]


def write_csv(path: Path, columns: Sequence[str], records: Iterable[dict[str, Any]]) -> None:
    """Write a table; numbers have six digits, NaN is empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for record in records:
            writer.writerow({column: _cell(record[column]) for column in columns})


def results_folder() -> Path:
    """Return the folder of finished benchmarks' tables: ``bench/`` in the cache folder, which is made, closed to others."""
    folder = cache_folder()
    with suppress(OSError):  # without a folder, writing there fails with its own message
        folder.mkdir(
            mode=0o700, parents=True, exist_ok=True
        )  # one that is open to others is not taken for ours the next time
    return folder / "bench"


def last_results() -> "pd.DataFrame | None":
    """Return the newest benchmark table of this machine, with the columns :data:`RESULT_COLUMNS`, or None without a run.

    A run without the peers counts only if there was none with them, and a quick one only if there was no other.
    """
    import pandas as pd

    kinds = (sorted(results_folder().glob(f"{kind}-*.csv")) for kind in KEPT_PREFIXES)
    paths = next(filter(None, kinds), [])
    text = {column: "" for column in ("ranks", "solver", "relative_errors", "gate", "note")}
    return pd.read_csv(paths[-1], dtype={c: str for c in text}).fillna(text) if paths else None


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if value != value else f"{value:.6g}"
