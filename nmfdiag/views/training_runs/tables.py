"""What the page *Training runs* draws: monitored runs, their series over epochs, where each should have stopped; tables."""

import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.summary import Spread, spread
from nmfdiag.measures.stopping import PATIENCE, maximum
from nmfdiag.monitor.run_file import RUN_FILE
from nmfdiag.monitor.run_reader import MonitoredRun, Run
from nmfdiag.monitor.trainer import under_way
from nmfdiag.views.option_names import options_of
from nmfdiag.views.stopping.tables import ALL, SHOWN, Shown

MEASURES: dict[str, Shown] = {name: SHOWN[name] for name in ("relative", "absolute", "k = 1 accuracy")}
WATCHED_BY = {"relative": "relative", "auc": "absolute", "first": "k = 1 accuracy"}
"""What the page calls a monitor's measure."""
LONGEST_NAME = 60
SEED = re.compile(r"-s\d+$")

Series = dict[int, Spread]
Values = dict[int, float]


@dataclass(frozen=True)
class Line:
    """What is drawn as one: a run, or runs that differ in their seed alone. ``p`` is None where it is unknown."""

    label: str
    runs: tuple[Run, ...]
    p: float | None
    place: int


@dataclass(frozen=True)
class Reading:
    """A run as the rule sees it.

    Attributes:
        label: The run.
        epoch: The last one that was written; 0 if none.
        state: ``"under way"``, ``"finished"``, ``"quiet"`` (no line for minutes), or why it was ended.
        looks: The measure at each epoch that was looked at.
        patience: So many looks without a higher value stop the training.
    """

    label: str
    epoch: int
    state: str
    looks: Values
    patience: int

    @property
    def best(self) -> int | None:
        """The epoch at which the measure is highest."""
        stop = maximum(list(self.looks.values()))
        return list(self.looks)[stop.kept - 1] if stop else None

    @property
    def since(self) -> int:
        """Looks since then."""
        stop = maximum(list(self.looks.values()))
        return len(self.looks) - stop.kept if stop else 0

    @property
    def stop(self) -> int | None:
        """The epoch at which training should have stopped; None while it should go on. A later rise withdraws it."""
        return self.best if self.since >= self.patience else None


def labelled(found: Sequence[MonitoredRun]) -> dict[str, MonitoredRun]:
    """Runs by a label of their own, in the order given: the name, and of those that a later run has put aside the date.

    A run in a folder of folders that has the folder's name is called by its place, ``"grid/seed0"``. Of several of one name the one
    that was begun first keeps it, so that a label never passes from one run to another.
    """
    labels: dict[Path, str] = {}
    taken: set[str] = set()
    for each in sorted(found, key=lambda each: (str(each.run.provenance.get("date", "")), each.path)):
        place, name = each.place or each.path.parent.name, " ".join(str(each.run.name).split())
        label = (place if place.endswith(f"/{name}") else name)[:LONGEST_NAME] or "run"
        if each.path.name != RUN_FILE:
            label += f" ({each.run.provenance.get('date') or each.path.stem})"
            if label in taken:
                label += f" {each.path.stem}"
        while label in taken:
            label += f" in {place}"[:LONGEST_NAME]
        taken.add(label)
        labels[each.path] = label
    return {labels[each.path]: each for each in found}


def lines_of(chosen: Mapping[str, MonitoredRun], *, mean: bool = False) -> list[Line]:
    """What is drawn: every run, or with ``mean`` those together whose names differ in the seed at their end alone."""
    together: dict[str, list[str]] = {}
    for label in chosen:
        together.setdefault(SEED.sub("", label) if mean else label, []).append(label)
    lines = []
    for i, (name, labels) in enumerate(together.items()):
        runs = tuple(chosen[label].run for label in labels)
        label = f"{name}, mean of {len(labels)} seeds" if len(labels) > 1 else labels[0]
        lines.append(Line(label, runs, label_noise_of(runs[0]), i))
    return lines


def has_seeds(labels: Sequence[str]) -> bool:
    """Whether some of them differ in their seed alone."""
    return len({SEED.sub("", label) for label in labels}) < len(labels)


def label_noise_of(run: Run) -> float | None:
    """A run's p, by its recipe or its log."""
    if run.recipe is not None:
        return run.recipe.label_noise
    told = [line.get(key) for line in run.epochs[:1] for key in ("p", "label_noise")]
    return next((p for p in told if p is not None and _is_number(p) and 0 <= p <= 1), None)


def layers_of(runs: Sequence[Run]) -> list[str]:
    """The layers of all runs, in order of depth."""
    return list(dict.fromkeys(layer for run in runs for layer in run.layers))


def method_of(run: Run) -> str:
    """The method that the monitor went by: NMF, or signed NMF of a network whose activations can be negative."""
    told = run.probe.get("method")
    return told if told in ("nmf", "signed") else "nmf"


def layer_options(layers: Sequence[str]) -> dict[str, str]:
    """What can be drawn, by what the sidebar and links call it: the mean over all layers, or a layer."""
    return options_of((ALL,), layers)


def looked(run: Run, method: str, value: str, layers: str) -> Values:
    """A measured value by epoch, the mean over the layers of one of :func:`layer_options`."""
    return looked_at(
        run, method, value, run.layers if layers == ALL else [layer_options(run.layers).get(layers, layers)]
    )


def looked_at(run: Run, method: str, value: str, names: Sequence[str]) -> Values:
    """A measured value by epoch, the mean over layers; epochs at which one of them has none are left out."""
    found = {}
    for line in run.epochs:
        got = [line["curves"].get(method, {}).get(name, {}).get(value) for name in names]
        if got and all(_is_number(each) for each in got):
            found[int(line["epoch"])] = fmean(got)
    return dict(sorted(found.items()))


def logged(run: Run, what: str) -> Values:
    """A value of the training log by epoch."""
    return {int(line["epoch"]): line[what] for line in run.epochs if _is_number(line.get(what))}


def log_names(runs: Sequence[Run], part: str) -> list[str]:
    """The values of the logs whose names have a part, such as ``"loss"``; those of training samples last."""
    names = dict.fromkeys(key for run in runs for line in run.epochs for key in line if part in key)
    return sorted((name for name in names if any(logged(run, name) for run in runs)), key=lambda n: "train" in n)


def over_runs(line: Line, of: Callable[[Run], Values]) -> Series:
    """Mean and spread over a line's runs, at the epochs that all of them have."""
    found = [of(run) for run in line.runs]
    return {e: spread([values[e] for values in found]) for e in found[0] if all(e in values for values in found)}


def reading(label: str, found: MonitoredRun, shown: Shown, layers: str, now: float) -> Reading:
    """A run as the rule sees it; ``now`` in seconds since 1970."""
    run = found.run
    state = "finished" if run.finished else str(run.stopped) or ("under way" if under_way(found, now) else "quiet")
    patience = run.probe.get("patience")
    return Reading(
        label=label,
        epoch=max((int(line["epoch"]) for line in run.epochs), default=0),
        state=state,
        looks=looked(run, method_of(run), shown.value, layers),
        patience=patience if isinstance(patience, int) and patience > 0 else PATIENCE,
    )


def reading_table(readings: Sequence[Reading], chosen: Mapping[str, MonitoredRun]) -> pd.DataFrame:
    """One row a run: what the rule says of it, and the test accuracies that go with that."""
    rows = []
    for each in readings:
        test = logged(chosen[each.label].run, "test_accuracy")
        rows.append(
            {
                "run": each.label,
                "state": each.state,
                "p": label_noise_of(chosen[each.label].run),
                "epoch": each.epoch,
                "looks": len(each.looks),
                "highest at epoch": each.best,
                "highest": each.looks.get(each.best) if each.best else None,
                "now": next(reversed(each.looks.values()), None),
                "looks since": each.since,
                "stop": "yes" if each.stop else "no",
                "test accuracy there": test.get(each.best) if each.best else None,
                "test accuracy now": next(reversed(test.values()), None),
            }
        )
    decimals = dict.fromkeys(["p", "highest", "now", "test accuracy there", "test accuracy now"], "float64")
    return pd.DataFrame(rows).astype({"highest at epoch": "Int64"} | decimals)


def epoch_table(chosen: Mapping[str, MonitoredRun], shown: Shown, layers: str) -> pd.DataFrame:
    """What the curves are drawn from: one row a run and epoch."""
    rows = []
    for label, found in chosen.items():
        run = found.run
        columns = {what: logged(run, what) for part in ("loss", "acc") for what in log_names([run], part)}
        method = method_of(run)
        columns[f"{METHODS[method].title} {shown.title}"] = looked(run, method, shown.value, layers)
        if shown.control:
            columns[f"random ablation {shown.title}"] = looked(run, *shown.control, layers)
        for epoch in sorted({int(line["epoch"]) for line in run.epochs}):
            start = {"run": label, "layers": layers, "epoch": epoch}
            rows.append(start | {name: values.get(epoch) for name, values in columns.items()})
    return pd.DataFrame(rows)


def map_table(label: str, run: Run, shown: Shown) -> pd.DataFrame:
    """What the map is drawn from: one row a layer and epoch."""
    return pd.DataFrame(
        [
            {"run": label, "layer": layer, "epoch": epoch, shown.title: value}
            for layer in run.layers
            for epoch, value in looked_at(run, method_of(run), shown.value, [layer]).items()
        ]
    )


def run_settings(chosen: Mapping[str, MonitoredRun]) -> dict[str, str]:
    """Rows of the settings tab: each run's file, recipe, probe and versions."""
    rows: dict[str, str] = {}
    for label, found in chosen.items():
        changed = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.changed))
        seconds = sum(logged(found.run, "seconds").values())
        rows |= {
            f"{label}: file": str(found.path),
            f"{label}: last line": changed,
            f"{label}: probe": _listed(found.run.probe),
            f"{label}: recipe": _listed(found.run.recipe.to_dict()) if found.run.recipe else "unknown: a network of your own",
            f"{label}: versions": _listed(found.run.provenance),
            f"{label}: seconds of looking": f"{seconds:,.1f}",
            f"{label}: result": _listed(found.run.result) or "none yet",
        }  # fmt: skip
        if found.run.replaced:
            rows[f"{label}: epochs trained again"] = (
                f"{found.run.replaced} lines: the numbers went back, and the later ones count"
            )
    return rows


def file_stem(labels: Sequence[str], *more: str) -> str:
    """The beginning of exported files' names."""
    name = labels[0] if len(labels) == 1 else f"{len(labels)}-runs"
    return re.sub(r"[^\w.-]+", "-", "_".join([name, *more])).strip("-.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _listed(some: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v if isinstance(v, str) else json.dumps(v)}" for k, v in some.items())
