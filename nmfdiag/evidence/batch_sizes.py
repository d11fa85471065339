"""The effect of batches, their size and draw, on a network's mean AuC. Recorded, one row per measurement.

References are compared by the mean over layers and classes (:mod:`nmfdiag.diagnosis.comparison`); this record tells how far
that value of one network moves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence.curve_records import DIGITS, GRID, PER_CLASS
from nmfdiag.evidence.records import RECORDS_FOLDER
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.requests import profile_requests
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.networks.architectures import CONVOLUTIONAL, RESIDUAL, kind_of_architecture
from nmfdiag.zoo.recipes import RECIPES
from nmfdiag.zoo.registry import SHIPPED, entries, lookup

if TYPE_CHECKING:
    import pandas as pd

BATCH_SIZE_FILE = "batch-sizes.csv"
SIZES, DRAWS = (10, 20, 50), 4
"""Samples per class of the recorded batches, and draws of batches of the references' size."""
SEED, LEVELS = 0, (0.0, 1.0)
"""Seed and values of p of the recorded networks."""
BATCH_SIZE_COLUMNS = ("network", "per_class", "draw", "auc", "auc_log")


@dataclass(frozen=True)
class BatchEffect:
    """The change of mean AuC over the recorded networks of a kind.

    Attributes:
        networks: Number of networks.
        per_class: Batch size in place of the references': the smallest or largest recorded one.
        shift: Mean of the new value minus the old one.
        largest: Largest absolute difference.
        drawn: Standard deviation over draws of the references' size, root mean square over networks.
    """

    networks: int
    per_class: int
    shift: float
    largest: float
    drawn: float


def networks_to_measure() -> list[str]:
    """Return the shipped networks of one seed at both ends of p; not the residual ones, which take longest and are few."""
    shipped = (e for e in entries().values() if e.folder.parent == SHIPPED and e.recipe.seed == SEED)
    return [
        e.name for e in shipped if e.recipe.label_noise in LEVELS and kind_of_architecture(e.recipe.arch) != RESIDUAL
    ]


def record_batch_sizes(
    folder: Path, *, device: str = "auto", on_step: Callable[[str, float], None] | None = None
) -> Path:
    """Compute and write the record, network by network; cached curves are not computed again.

    Args:
        folder: Folder of the record, ``batch-sizes.csv``.
        device: Device to compute on.
        on_step: Called with the current step and the share done; may raise to stop.

    Returns:
        The file.

    Raises:
        NmfdiagError: If a network is missing or has a layer without a curve.
    """
    import pandas as pd

    names, cache, rows = networks_to_measure(), CurveCache(), []
    settings = [(n, 0) for n in SIZES] + [(PER_CLASS, draw) for draw in range(1, DRAWS)]
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        for j, (per_class, draw) in enumerate(settings):
            if on_step is not None:
                share = (i + j / len(settings)) / len(names)
                on_step(f"{name}, batches of {per_class}, draw {draw}", share)
            means = _means(name, per_class, draw, cache, device)
            rows.append({"network": name, "per_class": per_class, "draw": draw, **means})
        part = folder / f".{BATCH_SIZE_FILE}.part"
        pd.DataFrame(rows, columns=list(BATCH_SIZE_COLUMNS)).to_csv(part, index=False)
        part.replace(folder / BATCH_SIZE_FILE)
    return folder / BATCH_SIZE_FILE


def batch_effect(
    kind: str, per_class: int, *, axis: str = "linear", folder: Path = RECORDS_FOLDER
) -> BatchEffect | None:
    """Return the effect of another batch size on the mean AuC of networks of a kind; None without a record.

    Residual networks, which aren't recorded, have the effect of convolutional ones.
    """
    path = folder / BATCH_SIZE_FILE
    if not path.is_file():
        return None
    size = PER_CLASS if per_class == PER_CLASS else min(SIZES) if per_class < PER_CLASS else max(SIZES)
    kind = CONVOLUTIONAL if kind == RESIDUAL else kind
    return _effect(path, path.stat().st_mtime_ns, kind, size, "auc_log" if axis == "log" else "auc")


@lru_cache(maxsize=32)
def _effect(path: Path, modified: int, kind: str, size: int, column: str) -> BatchEffect | None:
    table = _read(path, modified)
    of_kind = table[[kind_of_architecture(RECIPES[name].arch) == kind for name in table["network"]]]
    shifts, draw_spreads = [], []
    for _, rows in of_kind.groupby("network"):
        first = rows[rows["draw"] == 0].set_index("per_class")[column]
        shifts.append(float(first[size] - first[PER_CLASS]))
        draw_spreads.append(stdev(rows.loc[rows["per_class"] == PER_CLASS, column]))
    if not shifts:
        return None
    noise = fmean(sd**2 for sd in draw_spreads) ** 0.5
    return BatchEffect(len(shifts), size, fmean(shifts), max(map(abs, shifts)), noise)


def _means(name: str, per_class: int, draw: int, cache: CurveCache, device: str) -> dict[str, Any]:
    """Compute the mean over layers and classes of both areas."""
    from nmfdiag.jobs.sweep import sweep

    requests = profile_requests(lookup(name), per_class=per_class, grid=GRID, seed=draw)
    answers = dict(sweep(requests, cache, device=device))
    curves: Sequence[CompressionCurve] = [c for c in answers.values() if isinstance(c, CompressionCurve)]
    if len(curves) < len(requests):
        raise NmfdiagError(f"{name} has a layer without a curve at batches of {per_class}.")
    return {
        "auc": round(fmean(c.auc for c in curves), DIGITS),
        "auc_log": round(fmean(c.auc_over("log") for c in curves), DIGITS),
    }


@lru_cache(maxsize=4)
def _read(path: Path, _modified: int) -> "pd.DataFrame":
    import pandas as pd

    try:
        table = pd.read_csv(path)
        unknown_names = set(table["network"]) - RECIPES.keys()
    except (OSError, ValueError, KeyError) as error:
        raise NmfdiagError(f"The record {path.name} can't be read: {error}") from None
    if unknown_names or set(table.columns) != set(BATCH_SIZE_COLUMNS):
        raise NmfdiagError(
            f"The record {path.name} can't be read: it names {', '.join(sorted(unknown_names)) or 'other columns'}."
        )
    return table
