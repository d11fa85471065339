"""What the page *Early stopping* draws: runs that differ only in their seed, series over epochs, what each rule gave; tables."""

import json
from collections.abc import Iterable, Mapping
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
    Stop,
    layer_mean,
    mean_series,
    minimum,
    outcome,
    over_seeds,
)
from nmfdiag.monitor.run_reader import Run
from nmfdiag.zoo.experiments import LAYER_SETS, Definition, experiment

ALL = LAYER_SETS[0]
PAPER = {"early-stopping": "cifar10", "few-shot": "mnist"}
"""The paper's data set of each experiment."""


@dataclass(frozen=True)
class Shown:
    """A measure that can be drawn: whose values they are, the rule that is marked, and what random ablation has for it."""

    title: str
    measure: str
    value: str
    rule: str
    control: tuple[str, str] | None
    top: float = 1.05


SHOWN: dict[str, Shown] = {
    "absolute": Shown("AuC", "nmf", "auc", "auc", ("random", "auc")),
    "relative": Shown("AuC / batch accuracy", "nmf", "relative", "relative", ("random", "relative"), 1.25),
    "on fitted samples": Shown("AuC on fitted samples", "nmf on fitted", "auc", "fitted", None),
    "k = 1 accuracy": Shown("accuracy at k = 1", "nmf", "first", "k1", ("random", "first")),
}


@dataclass(frozen=True)
class Setting:
    """The finished runs of an experiment that differ in nothing but their seed."""

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
    def measures(self) -> list[str]:
        """Those of :data:`SHOWN` that were recorded."""
        return [
            name for name, s in SHOWN.items() if any(v is not None for v in values(self.runs[0], s.measure, s.value))
        ]

    @property
    def rules(self) -> list[str]:
        """Those of :data:`RULES` whose series were recorded, the experiment's declared one first, baselines last."""
        first = PRIMARY_RULES[self.experiment]
        there = [n for n, rule in RULES.items() if any(v is not None for v in rule_series(self.runs[0], rule, ALL))]
        return sorted(there, key=lambda name: (name != first, name in BASELINES))


def settings_of(experiment_name: str, histories: Mapping[str, History]) -> dict[str, Setting]:
    """Group finished runs by everything but the seed, in the order in which the experiment declares them."""
    declared = list(experiment(experiment_name))
    groups: dict[str, list[History]] = {}
    for run in histories.values():
        if run.finished and run.epochs:
            same = {k: v for k, v in run.recipe.to_dict().items() if k != "seed"}
            groups.setdefault(json.dumps(same, sort_keys=True), []).append(run)
    found: dict[str, Setting] = {}
    for runs in sorted(groups.values(), key=lambda g: min(_place(run.name, declared) for run in g)):
        recipe = runs[0].recipe
        title = f"{recipe.dataset} {recipe.arch}{recipe.arch_options.get('depth', '')}, p = {recipe.label_noise:g}"
        if title in found:
            title = f"{title} ({runs[0].name.rsplit('-s', 1)[0]})"
        found[title] = Setting(title, experiment_name, tuple(sorted(runs, key=lambda run: run.recipe.seed)))
    return found


def as_in_paper(experiment_name: str, settings: Mapping[str, Setting]) -> str:
    """The setting of the paper's data set, without label noise; the first one where there is none."""
    wanted = [
        t for t, s in settings.items() if s.runs[0].recipe.dataset == PAPER[experiment_name] and not s.label_noise
    ]
    return [*wanted, *settings][0]


def _place(name: str, declared: list[str]) -> int:
    return declared.index(name) if name in declared else len(declared)


def chosen(layers: str, of: list[str]) -> list[str]:
    """The layers that a choice names: one of :data:`LAYER_SETS`, or a layer."""
    return Definition(layers).chosen(of) if layers in LAYER_SETS else [layers]


def values(run: Run, measure: str, value: str, layers: str = ALL) -> list[float | None]:
    """A measured value, the mean over layers, one an epoch."""
    return layer_mean([run.measured(measure, layer, value) for layer in chosen(layers, run.layers)])


def rule_series(run: History, rule: Rule, layers: str) -> list[float | None]:
    """What a rule looks at."""
    return values(run, rule.measure, rule.value, layers) if rule.measure else list(run.series(rule.value))


def stop_of(run: History, rule: str, layers: str = ALL) -> Stop | None:
    """Where a rule stops a run; None where it never does."""
    return RULES[rule].stop(rule_series(run, RULES[rule], layers))


def outcomes(setting: Setting, rule: str, layers: str = ALL) -> list[Outcome]:
    """What a rule gave in each run in which it stops."""
    stops = [(run, stop_of(run, rule, layers)) for run in setting.runs]
    return [outcome(stop, run.series("test_loss"), run.series("test_accuracy")) for run, stop in stops if stop]


def least_loss(setting: Setting) -> list[int]:
    """The epoch of the least test loss, one a run."""
    return [stop.kept for run in setting.runs if (stop := minimum(run.series("test_loss")))]


def headroom(setting: Setting) -> list[float]:
    """What the best epoch's test accuracy is above the last one's, one a run: the most that any rule can win."""
    return [max(accuracy) - accuracy[-1] for run in setting.runs if (accuracy := run.series("test_accuracy"))]


def by_layer(setting: Setting, shown: Shown) -> dict[str, list[Spread | None]]:
    """The measure of each layer: mean over seeds, one an epoch."""
    return {
        layer: mean_series([run.measured(shown.measure, layer, shown.value) for run in setting.runs])
        for layer in setting.layers
    }


def rule_title(rule: str, setting: Setting) -> str:
    """A rule's name, with what it was declared to be."""
    return f"{RULES[rule].title} (declared)" if rule == PRIMARY_RULES[setting.experiment] else RULES[rule].title


def rule_table(setting: Setting, layers: str) -> pd.DataFrame:
    """What the screen shows of every rule: mean and standard error over seeds, in words; the declared one in any case."""
    asked = [(rule, layers if RULES[rule].measure else "") for rule in setting.rules]
    if layers != ALL:
        asked.insert(0, (PRIMARY_RULES[setting.experiment], ALL))
    rows = []
    for rule, over in asked:
        given = outcomes(setting, rule, over or ALL)
        # Over other layers it is not what was declared.
        title = rule_title(rule, setting) if over in ("", ALL) else RULES[rule].title
        row: dict[str, Any] = {"rule": title, "layers": over or "–", "samples": RULES[rule].sees}
        if given:
            at, n = over_seeds(given), len(given)
            row |= {
                "kept": _words(at["kept"], 1),
                "decided": _words(at["decided"], 1) if RULES[rule].online else "at the end",
                "from least loss": _words(at["from_minimum"], 1, signed=True),
                "test accuracy": _words(at["test_accuracy"], 3),
                "below best": _words(at["regret"], 3),
                "gain over end": _words(at["gain"], 3, signed=True),
                "better : worse": f"{sum(o.gain > 0 for o in given)} : {sum(o.gain < 0 for o in given)}",
                "runs": str(n),
            }
        else:
            row |= {"kept": "never", "runs": "0"}
        rows.append(row)
    table = pd.DataFrame(rows).fillna("–")
    return table.drop(columns="layers") if layers == ALL else table


def every_rule_table(setting: Setting) -> pd.DataFrame:
    """The same for every set of layers, in numbers: one row a rule and set."""
    rows = []
    for rule in setting.rules:
        for layers in LAYER_SETS if RULES[rule].measure else (ALL,):
            given = outcomes(setting, rule, layers)
            if not given:
                continue
            at = over_seeds(given)
            row = {"rule": rule_title(rule, setting) if layers == ALL else RULES[rule].title}
            row["layers"] = layers if RULES[rule].measure else "–"
            for name, of in _COLUMNS.items():
                row |= {name: at[of].mean, f"{name} ±": at[of].sem if len(given) > 1 else None}  # type: ignore[dict-item]
            rows.append(row | {"runs": len(given)})
    table = pd.DataFrame(rows)
    return table.astype({f"{name} ±": float for name in _COLUMNS}) if rows else table


_NAMED = ("seed", "dataset", "arch", "label_noise", "n_train")
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


def epoch_table(setting: Setting, shown: Shown, layers: str) -> pd.DataFrame:
    """What the curves are drawn from: one row a run and epoch."""
    rows = []
    for run in setting.runs:
        columns = {
            "test loss": run.series("test_loss"),
            "test accuracy": run.series("test_accuracy"),
            "training accuracy": run.series("train_accuracy"),
            f"NMF {shown.title}": values(run, shown.measure, shown.value, layers),
            "uncompressed accuracy of the batches": values(run, shown.measure, "baseline", layers),
        }
        if shown.control:
            columns[f"random ablation {shown.title}"] = values(run, *shown.control, layers)
        table = pd.DataFrame(columns)
        table.insert(0, "epoch", run.series("epoch"))
        table.insert(0, "layers", layers)
        table.insert(0, "seed", run.recipe.seed)
        table.insert(0, "run", run.name)
        rows.append(table)
    return pd.concat(rows, ignore_index=True)


def map_table(setting: Setting, shown: Shown) -> pd.DataFrame:
    """What the map is drawn from: one row a layer and epoch."""
    return pd.DataFrame(
        [
            {"setting": setting.title, "layer": layer, "epoch": e, shown.title: at.mean, "±": at.sem, "runs": at.n}
            for layer, series in by_layer(setting, shown).items()
            for e, at in enumerate(series, 1)
            if at
        ]
    )


def record_settings(setting: Setting) -> dict[str, str]:
    """Rows of the settings tab: recipe, probe, versions, machine, and the command that makes these runs."""
    first = setting.runs[0]
    recipe = first.recipe.to_dict()
    sizes, training = recipe.pop("arch_options"), {k: v for k, v in recipe.items() if k not in _NAMED}
    return {
        "runs": ", ".join(run.name for run in setting.runs),
        "network": f"{first.recipe.dataset} {first.recipe.arch}, p = {setting.label_noise:g}, {_listed(sizes)}",
        "training samples": f"{first.recipe.n_train:,}",
        "training": _listed(training),
        "probe": _listed(first.probe),
        "epochs": ", ".join(str(len(run.epochs)) for run in setting.runs),
        "seconds of training and measuring": ", ".join(f"{run.result.get('seconds', 0):,.0f}" for run in setting.runs),
        "test accuracy at the end, all test samples": ", ".join(
            f"{run.result['test_accuracy']:.3f}" for run in setting.runs
        ),
        **{what: _distinct(run.provenance.get(what) for run in setting.runs) for what in sorted(first.provenance)},
        "command": f"nmfdiag record {setting.experiment}",
    }


def _listed(some: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {' and '.join(v) if isinstance(v, list) else v}" for k, v in some.items())


def _distinct(some: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(map(str, some)))


def _words(at: Spread, digits: int, *, signed: bool = False) -> str:
    mean = f"{at.mean:{'+' if signed else ''}.{digits}f}".replace("-", "−")
    return f"{mean} ± {at.sem:.{digits}f}" if at.n > 1 else mean
