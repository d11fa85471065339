"""Recorded curves of every network of the zoo, one row per curve: the data behind the claims about trained networks."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence.records import RECORDS_FOLDER
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest, SupportRequest, profile_requests
from nmfdiag.measures.ablation import ablation_auc
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import PAPER_METHODS
from nmfdiag.zoo.recipes import RECIPES
from nmfdiag.zoo.registry import SHIPPED, ZooEntry, entries

if TYPE_CHECKING:
    import pandas as pd

PER_CLASS, MULTI_DRAWS, GRID = 20, 3, "coarse"
"""Samples per class, mixed batches and rank grid of the recorded curves."""
COMPARED_NOISES, SUPPORT_CLASSES = (0.0, 1.0), (0, 1)
"""Values of p that most claims compare, and the classes of recorded supports."""
DIGITS = 4
"""Decimal places of recorded values."""
NETWORK_COLUMNS = ("network", "dataset", "arch", "p", "seed")
RECORD_COLUMNS = (
    *("layer", "depth", "class", "draw", "method", "operation", "auc", "auc_log", "best", "mean_row", "baseline"),
    *("error", "raw_error", "lower", "rectangles", "half", "density"),
)
"""Columns of both tables; an empty record has all of them."""


def requests_of(entry: ZooEntry) -> list[CurveRequest]:
    """Return the requests of a network's recorded curves: NMF of each class and of mixtures.

    At p = 0 and 1, which most claims compare, also PCA, and all three methods with directions removed.
    """
    options: dict[str, Any] = {"per_class": PER_CLASS, "grid": GRID}
    mixed_requests = [
        request
        for seed in range(MULTI_DRAWS)
        for request in profile_requests(entry, classes=[MULTI_CLASS], seed=seed, **options)
    ]
    compared = entry.recipe.label_noise in COMPARED_NOISES
    return [
        *profile_requests(entry, methods=("nmf", "pca") if compared else ("nmf",), **options),
        *mixed_requests,
        *(profile_requests(entry, operation="ablate", methods=PAPER_METHODS, **options) if compared else ()),
    ]


def record_curves(
    folder: Path,
    *,
    only: Sequence[str] = (),
    device: str = "auto",
    on_step: Callable[[str, float], None] | None = None,
) -> list[str]:
    """Compute and write the curves of the shipped networks; a network that has a file is skipped.

    Args:
        folder: Folder of the records ``curves/NETWORK.csv.gz`` and ``supports/NETWORK.csv.gz``.
        only: Name prefixes of the networks to record; empty for all.
        device: Device to compute on.
        on_step: Called with the current step and the share done; may raise to stop.

    Returns:
        The newly recorded networks.

    Raises:
        NmfdiagError: If no shipped network's name has such a prefix.
    """
    shipped = [e for e in entries().values() if e.folder.parent == SHIPPED]
    selected = [e for e in shipped if not only or e.name.startswith(tuple(only))]
    if not selected:
        raise NmfdiagError(f"No shipped network has a name that begins with {', '.join(only)}.")
    unrecorded = [e for e in selected if not _file(folder, "curves", e.name).is_file()]
    cache = CurveCache()
    for i, entry in enumerate(unrecorded):

        def report(share: float, text: str, i: int = i, entry: ZooEntry = entry) -> None:
            if on_step is not None:
                on_step(f"{entry.name}: {text}", (i + share) / len(unrecorded))

        if entry.recipe.label_noise in COMPARED_NOISES:
            _write(_file(folder, "supports", entry.name), _support_rows(entry, cache, device, report))
        _write(_file(folder, "curves", entry.name), _curve_rows(entry, cache, device, report))
    return [e.name for e in unrecorded]


def recorded_curves(folder: Path = RECORDS_FOLDER) -> "pd.DataFrame":
    """Return every recorded curve, with the network's data set, architecture, p and seed.

    Columns: network, dataset, arch, p, seed, layer, depth (0 at the input, 1 at the last layer), class (-1: a mixture), draw,
    method, operation, auc, auc_log, best (highest accuracy at any rank), mean_row (accuracy with every row the mean row),
    baseline, error and raw_error (relative and absolute reconstruction error at k = 8).
    """
    return _read(folder / "curves", _newest(folder / "curves"))


def recorded_supports(folder: Path = RECORDS_FOLDER) -> "pd.DataFrame":
    """Return every recorded support cover, of networks at p = 0 and 1.

    Columns: network, dataset, arch, p, seed, layer, depth, class, lower and rectangles (bounds of the cover number), half
    (rectangles that cover half of the support), density.
    """
    return _read(folder / "supports", _newest(folder / "supports"))


def _curve_rows(
    entry: ZooEntry, cache: CurveCache, device: str, report: Callable[[float, str], None]
) -> list[dict[str, Any]]:
    from nmfdiag.jobs.sweep import sweep

    requests, answers = requests_of(entry), {}
    for request, answer in sweep(requests, cache, device=device):
        answers[request] = answer
        report(len(answers) / len(requests), f"{len(answers)} of {len(requests)} curves")
    rows = []
    for request in requests:
        curve = answers[request]
        if not isinstance(curve, CompressionCurve):
            continue  # a layer that is dead on this batch has no curve
        area = ablation_auc if request.operation == "ablate" else CompressionCurve.auc_over
        values = {
            "auc": area(curve, "linear"),
            "auc_log": area(curve, "log"),
            "best": max(curve.accuracy),
            "mean_row": curve.mean_accuracy,
            "baseline": curve.baseline_accuracy,
            "error": curve.error_near(8),
            "raw_error": curve.error_near(8, relative=False),
        }
        rows.append(
            {
                "layer": request.layer,
                "class": request.class_idx,
                "draw": request.seed,
                "method": request.method,
                "operation": request.operation,
                **{name: round(value, DIGITS) for name, value in values.items()},
            }
        )
    return rows


def _support_rows(
    entry: ZooEntry, cache: CurveCache, device: str, report: Callable[[float, str], None]
) -> list[dict[str, Any]]:
    from nmfdiag.jobs.cover_support import cover

    rows = []
    for c in SUPPORT_CLASSES:
        for layer in entry.layers:
            request = SupportRequest(entry.name, layer, c, PER_CLASS)
            support_cover = cache.get(request.key)
            if support_cover is None:
                support_cover = cover(request, device=device)
                cache.put(request.key, support_cover)
            report(0.0, f"support of {layer}")
            rows.append(
                {
                    "layer": layer,
                    "class": c,
                    "lower": support_cover.lower_bound,
                    "rectangles": support_cover.upper_bound,
                    "half": support_cover.rectangles_for(0.5),
                    "density": round(support_cover.density, DIGITS),
                }
            )
    return rows


def _file(folder: Path, kind: str, network: str) -> Path:
    return folder / kind / f"{network}.csv.gz"


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    pd.DataFrame(rows).to_csv(part, index=False, compression={"method": "gzip", "mtime": 0})
    part.replace(path)


def _newest(folder: Path) -> tuple[int, ...]:
    return tuple(path.stat().st_mtime_ns for path in sorted(folder.glob("*.csv.gz")))


@lru_cache(maxsize=4)
def _read(folder: Path, _modified: tuple[int, ...]) -> "pd.DataFrame":
    import pandas as pd

    tables = []
    for path in sorted(folder.glob("*.csv.gz")):
        name = path.name.removesuffix(".csv.gz")
        try:
            table, recipe = pd.read_csv(path), RECIPES[name]
            depth = {layer: i for i, layer in enumerate(dict.fromkeys(table["layer"]))}
            deepest = max(1, len(depth) - 1)
            table = table.assign(depth=table["layer"].map(depth) / deepest)
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise NmfdiagError(f"The record {path.name} can't be read: {error}") from None
        tables.append(
            table.assign(
                network=name,
                dataset=recipe.dataset,
                arch=recipe.arch,
                p=recipe.label_noise,
                seed=recipe.seed,
            )
        )
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*RECORD_COLUMNS, *NETWORK_COLUMNS])
