"""Runs of the page *Early stopping* that differ in their seed alone: their series over epochs, the stops of every rule, and tables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nmfdiag.evidence.records import History
from nmfdiag.measures.stats.summary import Spread
from nmfdiag.measures.stopping import (
    BASELINES,
    PRIMARY_RULES,
    RULES,
    Outcome,
    Rule,
    Series,
    Stop,
    layer_mean,
    mean_series,
    minimum,
    outcome,
    over_seeds,
)
from nmfdiag.monitor.run_reader import Run
from nmfdiag.views.epochs import ALL, MEASURES, EpochMeasure
from nmfdiag.zoo.experiments import LAYER_SETS, Definition, experiment

PAPER = {"early-stopping": "cifar10", "few-shot": "mnist"}
"""Data set of each experiment in the paper."""


@dataclass(frozen=True)
class Setting:
    """The finished runs of an experiment that differ in their seed alone."""

    title: str
    experiment: str
    runs: tuple[History, ...]

    @property
    def label_noise(self) -> float:
        return self.runs[0].recipe.label_noise

    @property
    def layers(self) -> list[str]:
        return max((run.layers for run in self.runs), key=len)

    @property
    def n_epochs(self) -> int:
        """The number of epochs of the longest run."""
        return max(len(run.epochs) for run in self.runs)

    @property
    def measures(self) -> list[str]:
        """The recorded measures, by their names in :data:`MEASURES`."""
        run = self.runs[0]
        return [name for name, m in MEASURES.items() if _has_values(measured_series(run, m.source, m.value))]

    @property
    def rules(self) -> list[str]:
        """The names in :data:`RULES` whose series were recorded, the experiment's declared one first, baselines last."""
        first = PRIMARY_RULES[self.experiment]
        names = [name for name, rule in RULES.items() if _has_values(rule_series(self.runs[0], rule, ALL))]
        return sorted(names, key=lambda name: (name != first, name in BASELINES))


def _has_values(series: Series) -> bool:
    return any(value is not None for value in series)


def settings_of(experiment_name: str, histories: Mapping[str, History]) -> dict[str, Setting]:
    """Group finished runs by everything but the seed, in the order in which the experiment declares them."""
    declared = list(experiment(experiment_name))
    groups: dict[str, list[History]] = {}
    for run in histories.values():
        if run.finished and run.epochs:
            recipe = {k: v for k, v in run.recipe.to_dict().items() if k != "seed"}
            groups.setdefault(json.dumps(recipe, sort_keys=True), []).append(run)
    settings: dict[str, Setting] = {}
    for runs in sorted(groups.values(), key=lambda group: min(_position(run.name, declared) for run in group)):
        first = runs[0].recipe
        title = f"{first.dataset} {first.arch}{first.arch_options.get('depth', '')}, p = {first.label_noise:g}"
        if title in settings:
            title = f"{title} ({runs[0].name.rsplit('-s', 1)[0]})"
        settings[title] = Setting(title, experiment_name, tuple(sorted(runs, key=lambda run: run.recipe.seed)))
    return settings


def as_in_paper(experiment_name: str, settings: Mapping[str, Setting]) -> str:
    """Return the setting of the paper's data set without label noise, or else the first one."""
    dataset = PAPER[experiment_name]
    matches = [t for t, s in settings.items() if s.runs[0].recipe.dataset == dataset and not s.label_noise]
    return [*matches, *settings][0]


def _position(name: str, declared: list[str]) -> int:
    return declared.index(name) if name in declared else len(declared)


def layers_in(choice: str, layers: list[str]) -> list[str]:
    """Return the layers of a choice, which is one of :data:`LAYER_SETS` or a layer."""
    return Definition(choice).members(layers) if choice in LAYER_SETS else [choice]


def measured_series(run: Run, source: str, value: str, layers: str = ALL) -> list[float | None]:
    """Return a measured value at each epoch, the mean over layers."""
    return layer_mean([run.layer_values(source, layer, value) for layer in layers_in(layers, run.layers)])


def rule_series(run: History, rule: Rule, layers: str) -> list[float | None]:
    """Return the series that a rule decides by."""
    return measured_series(run, rule.measure, rule.value, layers) if rule.measure else list(run.series(rule.value))


def stop_of(run: History, rule: str, layers: str = ALL) -> Stop | None:
    """Return where a rule stops a run; None where it never does."""
    return RULES[rule].stop(rule_series(run, RULES[rule], layers))


def outcomes(setting: Setting, rule: str, layers: str = ALL) -> list[Outcome]:
    """Return the outcome of a rule in each run that it stops."""
    stops = [(run, stop_of(run, rule, layers)) for run in setting.runs]
    return [outcome(stop, run.series("test_loss"), run.series("test_accuracy")) for run, stop in stops if stop]


def least_loss_epochs(setting: Setting) -> list[int]:
    """Return the epoch of the least test loss in each run."""
    return [stop.kept for run in setting.runs if (stop := minimum(run.series("test_loss")))]


def headroom(setting: Setting) -> list[float]:
    """Return by how much the best epoch's test accuracy exceeds the last one's in each run: no rule can gain more."""
    return [max(accuracy) - accuracy[-1] for run in setting.runs if (accuracy := run.series("test_accuracy"))]


def by_layer(setting: Setting, measure: EpochMeasure) -> dict[str, list[Spread | None]]:
    """Return the measure of each layer at each epoch, mean over seeds."""
    return {
        layer: mean_series([run.layer_values(measure.source, layer, measure.value) for run in setting.runs])
        for layer in setting.layers
    }


def rule_title(rule: str, setting: Setting) -> str:
    """Return a rule's title, which says so if it is the declared one."""
    return f"{RULES[rule].title} (declared)" if rule == PRIMARY_RULES[setting.experiment] else RULES[rule].title


def rule_table(setting: Setting, layers: str) -> pd.DataFrame:
    """Return the outcome of every rule as text, mean and standard error over seeds; always with the declared rule."""
    choices = [(rule, layers if RULES[rule].measure else "") for rule in setting.rules]
    if layers != ALL:
        choices.insert(0, (PRIMARY_RULES[setting.experiment], ALL))
    rows = []
    for rule, over in choices:
        results = outcomes(setting, rule, over or ALL)
        # Over other layers it is not what was declared.
        title = rule_title(rule, setting) if over in ("", ALL) else RULES[rule].title
        row: dict[str, Any] = {"rule": title, "layers": over or "–", "samples": RULES[rule].sees}
        if results:
            means = over_seeds(results)
            row |= {
                "kept": spread_text(means["kept"], 1),
                "decided": spread_text(means["decided"], 1) if RULES[rule].online else "at the end",
                "from least loss": spread_text(means["from_minimum"], 1, sign=True),
                "test accuracy": spread_text(means["test_accuracy"], 3),
                "below best": spread_text(means["regret"], 3),
                "gain over end": spread_text(means["gain"], 3, sign=True),
                "better : worse": f"{sum(o.gain > 0 for o in results)} : {sum(o.gain < 0 for o in results)}",
                "runs": str(len(results)),
            }
        else:
            row |= {"kept": "never", "runs": "0"}
        rows.append(row)
    table = pd.DataFrame(rows).fillna("–")
    return table.drop(columns="layers") if layers == ALL else table


def every_rule_table(setting: Setting) -> pd.DataFrame:
    """Return the outcome of every rule over every set of layers, in numbers."""
    rows = []
    for rule in setting.rules:
        for layers in LAYER_SETS if RULES[rule].measure else (ALL,):
            results = outcomes(setting, rule, layers)
            if not results:
                continue
            means = over_seeds(results)
            row: dict[str, Any] = {"rule": rule_title(rule, setting) if layers == ALL else RULES[rule].title}
            row["layers"] = layers if RULES[rule].measure else "–"
            for name, field in _COLUMNS.items():
                row |= {name: means[field].mean, f"{name} ±": means[field].sem if len(results) > 1 else None}
            rows.append(row | {"runs": len(results)})
    table = pd.DataFrame(rows)
    return table.astype({f"{name} ±": float for name in _COLUMNS}) if rows else table


_NAMED_FIELDS = ("seed", "dataset", "arch", "label_noise", "n_train")
_COLUMNS = {
    "epoch kept": "kept",
    "epoch decided": "decided",
    "from least test loss": "from_minimum",
    "test accuracy": "test_accuracy",
    "test loss": "test_loss",
    "below best epoch": "regret",
    "loss above least": "loss_regret",
    "gain over the end": "gain",
    "accuracy when decided": "accuracy_when_decided",
}


def epoch_table(setting: Setting, measure: EpochMeasure, layers: str) -> pd.DataFrame:
    """Return the values behind the curves, one row per run and epoch."""
    rows = []
    for run in setting.runs:
        columns = {
            "test loss": run.series("test_loss"),
            "test accuracy": run.series("test_accuracy"),
            "training accuracy": run.series("train_accuracy"),
            f"NMF {measure.title}": measured_series(run, measure.source, measure.value, layers),
            "uncompressed accuracy of the batches": measured_series(run, measure.source, "baseline", layers),
        }
        if measure.control:
            columns[f"random ablation {measure.title}"] = measured_series(run, *measure.control, layers)
        table = pd.DataFrame(columns)
        table.insert(0, "epoch", run.series("epoch"))
        table.insert(0, "layers", layers)
        table.insert(0, "seed", run.recipe.seed)
        table.insert(0, "run", run.name)
        rows.append(table)
    return pd.concat(rows, ignore_index=True)


def map_table(setting: Setting, measure: EpochMeasure) -> pd.DataFrame:
    """Return the values behind the map, one row per layer and epoch."""
    return pd.DataFrame(
        [
            {"setting": setting.title, "layer": layer, "epoch": e, measure.title: s.mean, "±": s.sem, "runs": s.n}
            for layer, series in by_layer(setting, measure).items()
            for e, s in enumerate(series, 1)
            if s
        ]
    )


def record_settings(setting: Setting) -> dict[str, str]:
    """Return the rows of the settings tab: recipe, probe, versions, machine, and the command that records these runs."""
    first = setting.runs[0]
    recipe = first.recipe.to_dict()
    sizes, training = recipe.pop("arch_options"), {k: v for k, v in recipe.items() if k not in _NAMED_FIELDS}
    return {
        "runs": ", ".join(run.name for run in setting.runs),
        "network": f"{first.recipe.dataset} {first.recipe.arch}, p = {setting.label_noise:g}, {_fields_text(sizes)}",
        "training samples": f"{first.recipe.n_train:,}",
        "training": _fields_text(training),
        "probe": _fields_text(first.probe),
        "epochs": ", ".join(str(len(run.epochs)) for run in setting.runs),
        "seconds of training and measuring": ", ".join(f"{run.result.get('seconds', 0):,.0f}" for run in setting.runs),
        "test accuracy at the end, all test samples": ", ".join(
            f"{run.result['test_accuracy']:.3f}" for run in setting.runs
        ),
        **{
            name: ", ".join(dict.fromkeys(str(run.provenance.get(name)) for run in setting.runs))
            for name in sorted(first.provenance)
        },
        "command": f"nmfdiag record {setting.experiment}",
    }


def _fields_text(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {' and '.join(v) if isinstance(v, list) else v}" for k, v in fields.items())


def spread_text(value: Spread, digits: int, *, sign: bool = False) -> str:
    """Return a mean with its standard error, where there is one.

    >>> spread_text(Spread(-0.5, 0.2, 0.1, 4), 1), spread_text(Spread(2.0, 0.0, 0.0, 1), 1, sign=True)
    ('−0.5 ± 0.1', '+2.0')
    """
    mean = f"{value.mean:{'+' if sign else ''}.{digits}f}".replace("-", "−")
    return f"{mean} ± {value.sem:.{digits}f}" if value.n > 1 else mean
