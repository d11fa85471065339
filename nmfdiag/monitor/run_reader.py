"""Read the files of monitored runs, yours or a stranger's: nothing is parsed before its size is checked. Without torch.

A run is ``FOLDER/run.jsonl`` below :func:`runs_folder`, written by :mod:`nmfdiag.monitor.callback`: a header, one line per epoch, and a last
line once it has ended, which may hold the measurement of the last epoch. A run that was killed stays readable and counts as unfinished.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from nmfdiag.errors import NO_TEXT, NmfdiagError, printable
from nmfdiag.monitor.run_file import as_json, write_line
from nmfdiag.zoo.recipes import Recipe

MAX_BYTES = 2**28
"""Bytes of a record, and of all files of monitored runs that are read."""
RUN_BYTES, RUN_LINES, RUN_VALUES, LINE_VALUES = 2**26, 10**5, 2**21, 2**18
"""Limits of the file of one monitored run, and of a line in it; values are counted by commas and brackets, before anything is parsed."""
MOST_FILES, MOST_FOLDERS = 10_000, 20_000
"""Files of runs that are listed, and folders that are searched for them."""
MOST_RUNS, MOST_VALUES = 256, 2**23
"""Runs, and values in them, that are read."""
MOST_DIGITS, MOST_EPOCHS, LARGEST_MEASURE, LARGEST_LOGGED = 18, 10**9, 1e6, 1e100


@dataclass(frozen=True)
class Run:
    """A training run watched epoch by epoch; your own network has no recipe.

    Each of ``epochs`` is a line of the training log (``epoch``, ``train_loss``, ``train_accuracy``, ``test_loss``,
    ``test_accuracy``, ``learning_rate``) with ``curves[curves][layer][value]``, by :data:`nmfdiag.measures.stopping.Curves` and
    :data:`nmfdiag.measures.stopping.Value`; ``probe["measures"]`` lists the former.
    ``result`` is empty while the run is under way and where it was killed; ``stopped`` says why it was ended early, where known.
    Where the number of an epoch goes back, as after a checkpoint was loaded, the epochs from there on count as they were trained last;
    ``replaced`` is the number of lines that are left out for that.
    """

    name: str
    experiment: str
    recipe: Recipe | None
    probe: dict[str, Any]
    provenance: dict[str, Any]
    epochs: tuple[dict[str, Any], ...]
    result: dict[str, Any]
    stopped: str = ""
    replaced: int = 0

    @property
    def finished(self) -> bool:
        return bool(self.result)

    @property
    def layers(self) -> list[str]:
        """The measured layers, in order of depth; an epoch at which one was dead lacks it."""
        return max((list(by_layer) for e in self.epochs for by_layer in e["curves"].values()), key=len, default=[])

    def series(self, name: str) -> list[float]:
        """Return a value of the training log, by epoch."""
        return [line[name] for line in self.epochs]

    def layer_values(self, curves: str, layer: str, value: str = "auc") -> list[float | None]:
        """Return a measured value of one layer, by epoch; None where an epoch has none."""
        return [line["curves"].get(curves, {}).get(layer, {}).get(value) for line in self.epochs]


@dataclass(frozen=True)
class MonitoredRun:
    """A run that a monitor writes, and its file.

    ``changed`` is in seconds since 1970, ``place`` the run's folder relative to the folder of the runs: ``"first"``, ``"grid/seed0"``.
    """

    path: Path
    changed: float
    run: Run
    place: str = ""


def runs_folder() -> Path:
    """Return the folder of monitored runs: ``$NMFDIAG_RUNS``, or ``runs/`` in the current directory."""
    return Path(os.environ.get("NMFDIAG_RUNS") or "runs")


def run_files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return the files of monitored runs at any depth, with the time (ns) and the size of their last change, newest first.

    Links that lead out of the folder, anything but plain files, and names that can't be printed are left out.
    """
    return _run_files(folder)[0]


def monitored_runs(folder: Path) -> tuple[list[MonitoredRun], list[str]]:
    """Return the monitored runs below a folder, newest first, and what is wrong with each file that can't be read.

    At most :data:`MOST_RUNS` are read, of :data:`MAX_BYTES` and :data:`MOST_VALUES` together; the others are named.
    """
    runs, n_bytes, n_values = [], 0, 0
    files, problems = _run_files(folder)
    for number, (path, (changed, size)) in enumerate(files.items()):
        if number >= MOST_RUNS or n_bytes + min(size, RUN_BYTES) > MAX_BYTES or n_values > MOST_VALUES:
            names = [_place(path, folder) for path in islice(files, number, None)]
            ending = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
            problems.append(
                f"Not read, since newer runs are {MOST_RUNS} or large already: {', '.join(names[:10])}{ending}. Move runs to another folder."
            )
            break
        place = _place(path, folder)
        run, values = _monitored(path, changed)
        n_bytes, n_values = n_bytes + min(size, RUN_BYTES), n_values + values
        if isinstance(run, NmfdiagError):
            problems.append(f"{place}: {run}")
        else:
            runs.append(MonitoredRun(path, changed / 1e9, run, place))
    return runs, problems


def current_epochs(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the epochs that led to the network as it is: where their number goes back, the later ones count.

    >>> [line["loss"] for line in current_epochs([{"epoch": 1, "loss": 9}, {"epoch": 2, "loss": 8}, {"epoch": 2, "loss": 5}])]
    [9, 5]
    """
    current: list[dict[str, Any]] = []
    for line in lines:
        while current and current[-1]["epoch"] >= line["epoch"]:
            current.pop()
        current.append(line)
    return current


def layer_means(
    lines: Iterable[dict[str, Any]], curves: str, value: str, layers: Sequence[str] | None = None
) -> dict[int, float]:
    """Return a measured value by epoch, as the mean over layers.

    Args:
        lines: Epochs; see :class:`Run`.
        curves: One of :data:`nmfdiag.measures.stopping.Curves`.
        value: One of :data:`nmfdiag.measures.stopping.Value`.
        layers: Layers that an epoch must have to count; None takes at each epoch those that it has.
    """
    means = {}
    for line in lines:
        by_layer = line["curves"].get(curves, {})
        values = [by_layer.get(name, {}).get(value) for name in (by_layer if layers is None else layers)]
        if layers is None:
            values = [number for number in values if number is not None]
        if values and all(is_number(number) for number in values):
            means[int(line["epoch"])] = fmean(values)
    return dict(sorted(means.items()))


def is_number(value: Any) -> bool:
    """Return whether a logged or measured value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add one line to a record; it is on the disk when this returns. A partial line that a killed run left is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(
        os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "rb+", buffering=0
    ) as file:
        write_line(file, as_json(line))


def _run_files(folder: Path) -> tuple[dict[Path, tuple[int, int]], list[str]]:
    """Return what :func:`run_files` does, and a sentence if there are too many to be searched."""
    files, inside = {}, folder.resolve()
    paths, problems = _searched(folder)
    for path in paths:
        with suppress(OSError, RuntimeError):  # put aside just now, or a link to itself
            if path.is_file() and path.resolve().is_relative_to(inside) and str(path.relative_to(folder)).isprintable():
                files[path] = ((status := path.stat()).st_mtime_ns, status.st_size)
    return dict(sorted(files.items(), key=lambda item: (-item[1][0], item[0]))), problems


def _searched(folder: Path) -> tuple[list[Path], list[str]]:
    """Return paths that are named like runs, the nearest ones first; links and hidden folders are not searched."""
    paths: list[Path] = []
    level, searched = [(folder, True)], 0
    while level:
        deeper: list[tuple[Path, bool]] = []
        for parent, descends in level:
            if searched == MOST_FOLDERS or len(paths) >= MOST_FILES:
                return paths[:MOST_FILES], [
                    f"{folder} has too many folders or runs: only the first {len(paths):,} runs are shown."
                ]
            searched += 1
            with suppress(OSError):
                children = sorted(os.scandir(parent), key=lambda entry: entry.name)
                paths += [parent / entry.name for entry in children if fnmatchcase(entry.name, "run*.jsonl")]
                if descends:
                    deeper += [
                        (parent / child.name, not (child.is_symlink() or child.name.startswith(".")))
                        for child in children
                        if child.is_dir() and (parent == folder or not child.is_symlink())
                    ]
        level = deeper
    return paths, []


def _place(path: Path, folder: Path) -> str:
    return path.parent.relative_to(folder).as_posix() if path.parent != folder else folder.resolve().name


def raw_lines(path: Path, largest: int = MAX_BYTES) -> list[str]:
    """Return the lines of a record, unparsed.

    Raises:
        NmfdiagError: If it can't be read, or has more bytes than ``largest``.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(largest + 1)
        if len(raw) > largest:
            raise NmfdiagError(f"The record {path.name} has more than {largest >> 20} MiB.")
        return raw.decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NmfdiagError(f"The record {path.name} can't be read: {error}") from None


def json_lines(name: str, content: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the complete lines: the last one of a killed run may not be."""
    for number, line in enumerate(content, 1):
        try:
            if line:
                yield _parsed(line)
        except (ValueError, RecursionError) as error:
            if number < len(content):
                raise NmfdiagError(f"Line {number} of the record {name} can't be read: {error}") from None


def _checked_extent(name: str, lines: Sequence[str]) -> int:
    """Return an upper bound of the values in a run; one that has too many or too long lines is refused before any is parsed.

    Raises:
        NmfdiagError: If there are; it names the limit.
    """
    values = [values_in(line) for line in lines]
    for name_of_limit, number, limit in (
        ("lines", len(lines), RUN_LINES),
        ("values in a line", max(values), LINE_VALUES),
        ("values", sum(values), RUN_VALUES),
    ):
        if number > limit:
            raise NmfdiagError(f"The record {name} has {number:,} {name_of_limit}, accepted are {limit:,}.")
    return sum(values)


def values_in(line: str) -> int:
    """Return an upper bound of the values in a line of JSON."""
    return 1 + line.count(",") + line.count("[") + line.count("{")


def _printable(value: Any) -> Any:
    """Return a value of a record with printable texts, keys included."""
    if isinstance(value, dict):
        return {printable(key): _printable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_printable(part) for part in value]
    return printable(value) if isinstance(value, str) else value


def _parsed(line: str) -> Any:
    """Return the record of one line.

    Raises:
        ValueError: If it is not JSON, or has text that can't be encoded (half a surrogate pair).
        RecursionError: If it is nested too deep.
    """
    record = json.loads(line, parse_int=_whole)
    if "\\ud" in line.lower():
        json.dumps(record, ensure_ascii=False).encode()
    return _printable(record) if "\\u" in line or NO_TEXT.search(line) else record


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


def modified_ns(path: Path) -> int:
    """Return when a file was last written, in nanoseconds."""
    return path.stat().st_mtime_ns


@lru_cache(maxsize=MOST_RUNS)
def _monitored(path: Path, _modified: int) -> tuple[Run | NmfdiagError, int]:
    """Return a run, or what is wrong with it, and an upper bound of its values."""
    values = 0
    try:
        content = raw_lines(path, RUN_BYTES)
        values = _checked_extent(path.name, content)
        return _checked_run(path.name, run_from_lines(path.name, content)), values
    except NmfdiagError as error:
        return error, values


def _checked_run(name: str, run: Run) -> Run:
    """Return a run whose values are plausible.

    Raises:
        NmfdiagError: If they aren't.
    """
    try:
        for line in run.epochs:
            _check_epoch(line)
        parts = (run.probe, run.provenance, run.result)
        if not all(isinstance(part, dict) for part in parts):
            raise TypeError("probe, provenance and result must be objects")
        noise = None if run.recipe is None else run.recipe.label_noise
        if noise is not None and not (isinstance(noise, int | float) and 0 <= noise <= 1):
            raise TypeError(f"the label noise must be a number in 0 .. 1, got {noise!r}")
    except (KeyError, TypeError, AttributeError) as error:
        raise NmfdiagError(f"{name} is not the record of a training run: {error!r}") from None
    return run


def _check_epoch(line: dict[str, Any]) -> None:
    """Refuse values that no training has.

    Raises:
        TypeError: If a value is not a number, or an absurd one.
        KeyError: If epoch or curves are missing.
        AttributeError: If a part is not an object.
    """
    epoch = line["epoch"]
    by_layer = [values for layers in line["curves"].values() for values in layers.values()]
    measures = [value for values in by_layer for value in values.values() if value is not None]
    if not all(isinstance(value, int | float) for value in (epoch, *measures)) or not 0 <= epoch < MOST_EPOCHS:
        raise TypeError(f"the values of epoch {epoch!r} are not numbers")
    if any(abs(value) > LARGEST_MEASURE for value in measures):
        raise TypeError(
            f"a measure of epoch {epoch} is {max(measures, key=abs):.3g}: none is above {LARGEST_MEASURE:,.0f}"
        )
    logged = [value for value in line.values() if isinstance(value, int | float)]
    if any(LARGEST_LOGGED < abs(value) < math.inf for value in logged):
        raise TypeError(f"epoch {epoch} logs {max(logged, key=abs):.3g}: accepted are values up to {LARGEST_LOGGED:g}")


def run_from_lines(name: str, content: Sequence[str]) -> Run:
    """Return the run that the lines of a file hold.

    Raises:
        NmfdiagError: If they are not those of a training run.
    """
    lines = list(json_lines(name, content))
    try:
        head, last = lines[0], lines[-1]
        epochs = [line for line in lines[1:] if "epoch" in line]
        current = current_epochs(epochs)
        end = {} if len(lines) == 1 or "epoch" in last else last  # an epoch's log may have a value of any name
        if current and "curves" in end:  # measured when training had ended
            current[-1] = current[-1] | {name: end[name] for name in ("curves", "seconds") if name in end}
        recipe = None if head["recipe"] is None else Recipe(**head["recipe"])
        return Run(
            head["name"], head["experiment"], recipe, head["probe"], head["provenance"],
            tuple(current), end.get("result", {}), end.get("stopped", ""), len(epochs) - len(current),
        )  # fmt: skip
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise NmfdiagError(f"{name} is not the record of a training run: {error!r}") from None
