"""Monitored runs of the page *Training runs*: their values over epochs, where each should have stopped, and tables."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.summary import Spread, spread
from nmfdiag.measures.stopping import PATIENCE, Standing
from nmfdiag.monitor.run_file import RUN_FILE
from nmfdiag.monitor.run_logs import EpochValues, label_noise_of, log_names, logged_values
from nmfdiag.monitor.run_reader import MonitoredRun, Run, layer_means
from nmfdiag.monitor.trainer import under_way
from nmfdiag.views.epochs import ALL, MEASURES, EpochMeasure
from nmfdiag.views.option_names import options_of

MONITORED_MEASURES = {name: MEASURES[name] for name in ("relative", "absolute", "k = 1 accuracy")}
WATCHED_BY = {measure.value: name for name, measure in MONITORED_MEASURES.items()}
"""A monitor's measure -> its name in :data:`MONITORED_MEASURES`."""
LONGEST_NAME = 60
SEED = re.compile(r"-s\d+$")

EpochSpreads = dict[int, Spread]


@dataclass(frozen=True)
class Line:
    """One line of the figure: a run, or runs that differ in their seed alone. ``p`` is None where it is unknown."""

    label: str
    runs: tuple[Run, ...]
    p: float | None
    place: int


@dataclass(frozen=True, kw_only=True)
class Reading(Standing):
    """A run as the stopping rule reads it.

    Attributes:
        label: The run.
        epoch: The last recorded epoch; 0 if none.
        state: ``"under way"``, ``"finished"``, ``"quiet"`` (no line for minutes), or why it was ended.
    """

    label: str
    epoch: int
    state: str


def runs_by_label(runs: Sequence[MonitoredRun]) -> dict[str, MonitoredRun]:
    """Return runs by unique labels, in the order given: the name, with the date if a later run has replaced it.

    A run in nested folders that has the name of its folder is labelled by its place, ``"grid/seed0"``. Of several runs of one name
    the oldest keeps it, so that a label never passes from one run to another.
    """
    labels: dict[Path, str] = {}
    used: set[str] = set()
    for run in sorted(runs, key=lambda run: (str(run.run.provenance.get("date", "")), run.path)):
        place, name = run.place or run.path.parent.name, " ".join(str(run.run.name).split())
        label = (place if place.endswith(f"/{name}") else name)[:LONGEST_NAME] or "run"
        if run.path.name != RUN_FILE:
            label += f" ({run.run.provenance.get('date') or run.path.stem})"
            if label in used:
                label += f" {run.path.stem}"
        while label in used:
            label += f" in {place}"[:LONGEST_NAME]
        used.add(label)
        labels[run.path] = label
    return {labels[run.path]: run for run in runs}


def lines_of(runs: Mapping[str, MonitoredRun], *, mean: bool = False) -> list[Line]:
    """Return a line per run; with ``mean``, one per group of runs whose names differ in the seed at their end alone."""
    groups: dict[str, list[str]] = {}
    for label in runs:
        groups.setdefault(SEED.sub("", label) if mean else label, []).append(label)
    lines = []
    for i, (name, labels) in enumerate(groups.items()):
        group = tuple(runs[label].run for label in labels)
        label = f"{name}, mean of {len(labels)} seeds" if len(labels) > 1 else labels[0]
        lines.append(Line(label, group, label_noise_of(group[0]), i))
    return lines


def has_seeds(labels: Sequence[str]) -> bool:
    """Return whether some of the labels differ in their seed alone."""
    return len({SEED.sub("", label) for label in labels}) < len(labels)


def layers_of(runs: Sequence[Run]) -> list[str]:
    """Return the layers of all runs, in order of depth."""
    return list(dict.fromkeys(layer for run in runs for layer in run.layers))


def method_of(run: Run) -> str:
    """Return the monitor's method: NMF, or signed NMF of a network whose activations can be negative."""
    method = run.probe.get("method")
    return method if method in ("nmf", "signed") else "nmf"


def layer_options(layers: Sequence[str]) -> dict[str, str]:
    """Return the mean over all layers and each layer, by their option in the sidebar and in links."""
    return options_of((ALL,), layers)


def measured_values(run: Run, method: str, value: str, layers: str) -> EpochValues:
    """Return a measured value by epoch, the mean over the layers of one of :func:`layer_options`."""
    names = run.layers if layers == ALL else [layer_options(run.layers).get(layers, layers)]
    return mean_over_layers(run, method, value, names)


def mean_over_layers(run: Run, method: str, value: str, layers: Sequence[str]) -> EpochValues:
    """Return a measured value by epoch, the mean over layers; epochs at which one of them has no value are left out."""
    return layer_means(run.epochs, method, value, layers)


def spread_over_runs(line: Line, values: Callable[[Run], EpochValues]) -> EpochSpreads:
    """Return mean and spread over a line's runs, at the epochs that all of them have."""
    by_run = [values(run) for run in line.runs]
    return {e: spread([run[e] for run in by_run]) for e in by_run[0] if all(e in run for run in by_run)}


def recorded_epochs(runs: Sequence[Run]) -> list[int]:
    """Return the epochs that runs have a line for, measured or not."""
    return sorted({int(line["epoch"]) for run in runs for line in run.epochs})


def around(epochs: Set[int], recorded: Sequence[int]) -> list[int]:
    """Return epochs and the recorded ones next to them, in order: what a figure needs in order to leave a gap where nothing was measured.

    >>> around({1, 2, 7}, range(1, 11))
    [1, 2, 3, 6, 7, 8]
    """
    return [e for i, e in enumerate(recorded) if not epochs.isdisjoint(recorded[max(0, i - 1) : i + 2])]


def reading(label: str, monitored: MonitoredRun, measure: EpochMeasure, layers: str, now: float) -> Reading:
    """Return a run as the stopping rule reads it; ``now`` in seconds since 1970."""
    run = monitored.run
    state = "finished" if run.finished else str(run.stopped) or ("under way" if under_way(monitored, now) else "quiet")
    patience = run.probe.get("patience")
    return Reading(
        label=label,
        epoch=max((int(line["epoch"]) for line in run.epochs), default=0),
        state=state,
        values=measured_values(run, method_of(run), measure.value, layers),
        patience=patience if isinstance(patience, int) and patience > 0 else PATIENCE,
    )


def reading_table(readings: Sequence[Reading], runs: Mapping[str, MonitoredRun]) -> pd.DataFrame:
    """Return the rule's reading of every run, with its test accuracies."""
    rows = []
    for run in readings:
        test = logged_values(runs[run.label].run, "test_accuracy")
        rows.append(
            {
                "run": run.label,
                "state": run.state,
                "p": label_noise_of(runs[run.label].run),
                "epoch": run.epoch,
                "measured": len(run.values),
                "highest at epoch": run.best,
                "highest": run.values.get(run.best) if run.best else None,
                "now": next(reversed(run.values.values()), None),
                "measured since": run.since,
                "should_stop": "yes" if run.stop else "no",
                "test accuracy there": test.get(run.best) if run.best else None,
                "test accuracy now": next(reversed(test.values()), None),
            }
        )
    decimals = dict.fromkeys(["p", "highest", "now", "test accuracy there", "test accuracy now"], "float64")
    return pd.DataFrame(rows).astype({"highest at epoch": "Int64"} | decimals)


def epoch_table(runs: Mapping[str, MonitoredRun], measure: EpochMeasure, layers: str) -> pd.DataFrame:
    """Return the values behind the curves, one row per run and epoch."""
    rows = []
    for label, monitored in runs.items():
        run, method = monitored.run, method_of(monitored.run)
        columns = {key: logged_values(run, key) for part in ("loss", "acc") for key in log_names([run], part)}
        columns[f"{METHODS[method].title} {measure.title}"] = measured_values(run, method, measure.value, layers)
        if measure.control:
            columns[f"random ablation {measure.title}"] = measured_values(run, *measure.control, layers)
        for epoch in sorted({int(line["epoch"]) for line in run.epochs}):
            row = {"run": label, "layers": layers, "epoch": epoch}
            rows.append(row | {name: values.get(epoch) for name, values in columns.items()})
    return pd.DataFrame(rows)


def map_table(label: str, run: Run, measure: EpochMeasure) -> pd.DataFrame:
    """Return the values behind the map, one row per layer and epoch."""
    return pd.DataFrame(
        [
            {"run": label, "layer": layer, "epoch": epoch, measure.title: value}
            for layer in run.layers
            for epoch, value in mean_over_layers(run, method_of(run), measure.value, [layer]).items()
        ]
    )


def run_settings(runs: Mapping[str, MonitoredRun]) -> dict[str, str]:
    """Return the rows of the settings tab: each run's file, recipe, probe and versions."""
    rows: dict[str, str] = {}
    for label, monitored in runs.items():
        run = monitored.run
        seconds = sum(logged_values(run, "seconds").values())
        rows |= {
            f"{label}: file": str(monitored.path),
            f"{label}: last line": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(monitored.changed)),
            f"{label}: probe": _fields_text(run.probe),
            f"{label}: recipe": _fields_text(run.recipe.to_dict()) if run.recipe else "unknown: a network of your own",
            f"{label}: versions": _fields_text(run.provenance),
            f"{label}: seconds of looking": f"{seconds:,.1f}",
            f"{label}: result": _fields_text(run.result) or "none yet",
        }  # fmt: skip
        if run.replaced:
            rows[f"{label}: epochs trained again"] = (
                f"{run.replaced} lines: the numbers went back, and the later ones count"
            )
    return rows


def file_stem(labels: Sequence[str], *parts: str) -> str:
    """Return the beginning of exported files' names."""
    name = labels[0] if len(labels) == 1 else f"{len(labels)}-runs"
    return re.sub(r"[^\w.-]+", "-", "_".join([name, *parts])).strip("-.")


def _fields_text(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v if isinstance(v, str) else json.dumps(v)}" for k, v in fields.items())
