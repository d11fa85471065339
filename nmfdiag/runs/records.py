"""Recorded experiments: what was measured on networks that are not shipped. Read here without torch, made in ``recording.py``.

``generalization.jsonl`` and ``data-size.jsonl`` have one line a network. A watched training run is one file ``EXPERIMENT/NAME.jsonl``: a header, one
line an epoch, and a last line once it has ended; a run that was killed stays readable and is known as unfinished. A user's own
runs have the same form: ``FOLDER/run.jsonl`` below :func:`runs_folder`, written by :mod:`nmfdiag.runs.monitor`.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.runs.run_file import as_json, write_line
from nmfdiag.zoo.experiments import Definition
from nmfdiag.zoo.recipes import Recipe

RECORDED = Path(__file__).parent / "recorded"
MAX_BYTES = 2**28
"""Size of a record at most."""
MOST_RUNS, MOST_FOLDERS = 10_000, 20_000
"""Files of runs that are read at most, and folders that are searched for them."""
MOST_DIGITS, MOST_EPOCHS = 18, 10**9


@dataclass(frozen=True)
class NetworkRecord:
    """One network of an experiment on many (figure 5): how it was trained, how well it does, its AuCs.

    ``auc[batch][method][axis]`` has one value a layer, the mean over batches; ``baseline[batch]`` the uncompressed network's
    accuracy on those batches. Accuracies are shares in [0, 1], on all training and all test samples.
    """

    name: str
    recipe: Recipe
    train_accuracy: float
    test_accuracy: float
    epochs: int
    n_parameters: int
    layers: list[str]
    auc: dict[str, dict[str, dict[str, list[float]]]]
    baseline: dict[str, float]
    provenance: dict[str, Any]

    @property
    def generalization_error(self) -> float:
        """Training accuracy minus test accuracy, as in figure 5."""
        return self.train_accuracy - self.test_accuracy

    @property
    def fits(self) -> bool:
        """Whether it reached the training accuracy that its recipe asks for."""
        return self.train_accuracy >= self.recipe.fitted_at

    def area(self, method: str, definition: Definition) -> float:
        """The network's AuC under a definition."""
        by_layer = dict(zip(self.layers, self.auc[definition.batch][method][definition.axis], strict=True))
        values = [by_layer[layer] for layer in definition.chosen(self.layers)]
        return sum(values) / len(values)


@dataclass(frozen=True)
class Run:
    """A training run watched epoch by epoch; of a user's own network no recipe is known.

    Each of ``epochs`` is a line of the training log (``epoch``, ``train_loss``, ``train_accuracy``, ``test_loss``,
    ``test_accuracy``, ``learning_rate``) with ``curves[measure][layer]``: measures are ``"nmf"``, ``"random"`` and
    ``"nmf on fitted"`` (only the samples that the network gets right), values ``auc`` and ``auc_log`` (mean over classes),
    ``sem``, ``relative`` (AuC over the batch's uncompressed accuracy), ``first`` (accuracy at k = 1) and ``baseline``.
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
        """The layers that were watched, in order of depth; an epoch at which one was dead lacks it."""
        return max((list(by_layer) for e in self.epochs for by_layer in e["curves"].values()), key=len, default=[])

    def series(self, what: str) -> list[float]:
        """A value of the training log, one an epoch."""
        return [line[what] for line in self.epochs]

    def measured(self, measure: str, layer: str, value: str = "auc") -> list[float | None]:
        """A measured value of one layer, one an epoch; None where the epoch has none."""
        return [line["curves"].get(measure, {}).get(layer, {}).get(value) for line in self.epochs]


@dataclass(frozen=True)
class History(Run):
    """A run of a declared experiment (figures 6 and 9)."""

    recipe: Recipe


@dataclass(frozen=True)
class MonitoredRun:
    """A run that a monitor writes, and its file as it was read.

    ``changed`` is in seconds since 1970, ``place`` the run's folder as seen from the folder of the runs: ``"first"``, ``"grid/seed0"``.
    """

    path: Path
    changed: float
    run: Run
    place: str = ""


def network_records(folder: Path = RECORDED, experiment: str = "generalization") -> dict[str, NetworkRecord]:
    """The networks of an experiment that are recorded, by name."""
    path = folder / f"{experiment}.jsonl"
    return _network_records(path, _modified(path)) if path.is_file() else {}


def histories(experiment: str, folder: Path = RECORDED) -> dict[str, History]:
    """The recorded runs of an experiment, by name."""
    found = [_history(path, _modified(path)) for path in sorted((folder / experiment).glob("*.jsonl"))]
    return {history.name: history for history in found}


def runs_folder() -> Path:
    """Where monitored runs are looked for: ``$NMFDIAG_RUNS``, or ``runs/`` in the current directory."""
    return Path(os.environ.get("NMFDIAG_RUNS", "runs"))


def run_files(folder: Path) -> dict[Path, tuple[int, int]]:
    """The files of monitored runs at any depth, with the time (ns) and the size that they were left at, newest first.

    Links that lead out of the folder, what is no plain file, and names that can't be printed are left out.
    """
    return _run_files(folder)[0]


def monitored_runs(folder: Path) -> tuple[list[MonitoredRun], list[str]]:
    """The monitored runs below a folder, newest first, and what is wrong with each file that can't be read."""
    runs = []
    files, problems = _run_files(folder)
    for path, (changed, _) in files.items():
        place = _place(path, folder)
        try:
            runs.append(MonitoredRun(path, changed / 1e9, _monitored(path, changed), place))
        except NmfdiagError as error:
            problems.append(f"{place}: {error}")
    return runs, problems


def current_epochs(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of the epochs that led to the network as it is: where their number goes back, what comes later counts.

    >>> [line["loss"] for line in current_epochs([{"epoch": 1, "loss": 9}, {"epoch": 2, "loss": 8}, {"epoch": 2, "loss": 5}])]
    [9, 5]
    """
    current: list[dict[str, Any]] = []
    for line in lines:
        while current and current[-1]["epoch"] >= line["epoch"]:
            current.pop()
        current.append(line)
    return current


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add one line to a record; it is on the disk when this returns. A part of a line that a killed run left is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(
        os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "rb+", buffering=0
    ) as file:
        write_line(file, as_json(line))


def _run_files(folder: Path) -> tuple[dict[Path, tuple[int, int]], list[str]]:
    """What :func:`run_files` returns, and a sentence if there are too many to be searched."""
    files, inside = {}, folder.resolve()
    paths, problems = _searched(folder)
    for path in paths:
        with suppress(OSError, RuntimeError):  # put aside in this moment, or a link that leads to itself
            if path.is_file() and path.resolve().is_relative_to(inside) and str(path.relative_to(folder)).isprintable():
                files[path] = ((status := path.stat()).st_mtime_ns, status.st_size)
    return dict(sorted(files.items(), key=lambda item: (-item[1][0], item[0]))), problems


def _searched(folder: Path) -> tuple[list[Path], list[str]]:
    """Paths that are named like runs, the nearest ones first; below links and hidden folders nothing is searched."""
    paths: list[Path] = []
    level, searched = [(folder, True)], 0
    while level:
        deeper: list[tuple[Path, bool]] = []
        for each, descends in level:
            if searched == MOST_FOLDERS or len(paths) >= MOST_RUNS:
                return paths[:MOST_RUNS], [
                    f"{folder} has too many folders or runs: only the first {len(paths):,} runs are shown."
                ]
            searched += 1
            with suppress(OSError):
                children = sorted(os.scandir(each), key=lambda entry: entry.name)
                paths += [each / entry.name for entry in children if fnmatchcase(entry.name, "run*.jsonl")]
                if descends:
                    deeper += [
                        (each / child.name, not (child.is_symlink() or child.name.startswith(".")))
                        for child in children
                        if child.is_dir() and (each == folder or not child.is_symlink())
                    ]
        level = deeper
    return paths, []


def _place(path: Path, folder: Path) -> str:
    return path.parent.relative_to(folder).as_posix() if path.parent != folder else folder.resolve().name


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines that are whole: the last one of a killed run may not be."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise NmfdiagError(f"The record {path.name} has more than {MAX_BYTES >> 20} MiB.")
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NmfdiagError(f"The record {path.name} can't be read: {error}") from None
    lines = content.split("\n")
    for number, line in enumerate(lines, 1):
        try:
            if line:
                yield _parsed(line)
        except (ValueError, RecursionError) as error:
            if number < len(lines):
                raise NmfdiagError(f"Line {number} of the record {path.name} can't be read: {error}") from None


def _parsed(line: str) -> Any:
    """One line.

    Raises:
        ValueError: If it is no JSON, or has text that no encoding takes (half a surrogate pair).
        RecursionError: If it is nested too deep.
    """
    record = json.loads(line, parse_int=_whole)
    if "\\ud" in line.lower():
        json.dumps(record, ensure_ascii=False).encode()
    return record


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns


@lru_cache(maxsize=8)
def _network_records(path: Path, _modified: int) -> dict[str, NetworkRecord]:
    try:
        found = [NetworkRecord(**(line | {"recipe": Recipe(**line["recipe"])})) for line in _lines(path)]
        return {record.name: record for record in sorted(found, key=lambda record: record.name)}
    except (TypeError, KeyError) as error:
        raise NmfdiagError(f"{path.name} is no record of networks: {error}") from None


@lru_cache(maxsize=256)
def _history(path: Path, _modified: int) -> History:
    run = _run(path)
    if run.recipe is None:
        raise NmfdiagError(f"{path.name} is no record of a training run: it has no recipe.")
    return History(**vars(run))


@lru_cache(maxsize=256)
def _monitored(path: Path, _modified: int) -> Run:
    run = _run(path)
    try:
        for line in run.epochs:
            numbers = [line["epoch"]] + [v for of in line["curves"].values() for at in of.values() for v in at.values()]
            known = [each for each in numbers if each is not None]
            if not all(isinstance(each, int | float) for each in known) or not 0 <= line["epoch"] < MOST_EPOCHS:
                raise TypeError(f"the values of epoch {line['epoch']!r} are no numbers")
        noise = None if run.recipe is None else run.recipe.label_noise
        parts = (run.probe, run.provenance, run.result)
        if not all(isinstance(part, dict) for part in parts) or not isinstance(noise, int | float | None):
            raise TypeError("probe, provenance and result must be objects, label noise a number")
    except (KeyError, TypeError, AttributeError) as error:
        raise NmfdiagError(f"{path.name} is no record of a training run: {error!r}") from None
    return run


def _run(path: Path) -> Run:
    lines = list(_lines(path))
    try:
        head, last = lines[0], lines[-1]
        epochs = [line for line in lines[1:] if "epoch" in line]
        current = current_epochs(epochs)
        ended = {} if len(lines) == 1 or "epoch" in last else last  # an epoch's log may have a value of any name
        recipe = None if head["recipe"] is None else Recipe(**head["recipe"])
        told = (head["name"], head["experiment"], recipe, head["probe"], head["provenance"])
        return Run(*told, tuple(current), ended.get("result", {}), ended.get("stopped", ""), len(epochs) - len(current))
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise NmfdiagError(f"{path.name} is no record of a training run: {error!r}") from None
