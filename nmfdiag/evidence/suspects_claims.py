"""Claims of our own about suspects, measured on networks whose wrong labels are known. Thresholds were declared before the final measurement."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from nmfdiag.evidence.claim import Claim
from nmfdiag.evidence.findings import NO_RECORD, Finding, Unit, over_units, summarise
from nmfdiag.evidence.suspects_records import (
    AS_GIVEN,
    AT_RANDOM,
    CLEAN,
    KINDS,
    LOOK_ALIKE,
    RELABELLED,
    REMOVED,
    SETTING,
    UNIFORM,
)
from nmfdiag.measures.stats.summary import SMALLEST_DIFFERENCE
from nmfdiag.text import plural
from nmfdiag.zoo.recipes import FITTED

if TYPE_CHECKING:
    import pandas as pd

SUSPECTS, PROBE, LOSS, AUM, NMF_RATIO = "suspects", "probe", "final loss", "AUM", "NMF ratio"
WITH_HISTORY, PIXELS, CLEANLAB = "suspects with history", "pixels' neighbours", "cleanlab"
"""Scores of the record; those of cleanlab begin with its name."""
EQUAL = 0.005
"""AUROC by which a score may lie below another one of the same network and still finds wrong labels as well."""
COST_SHARE = 0.1
"""Largest share of the CPU seconds of cross-validation."""
LITTLE = 0.75
"""AUROC below which a score does not find wrong labels."""
RATE_ERROR, FALSE_ALARM = 0.06, 0.05
"""Largest error of a rate that counts as right, and largest rate on a network with right labels."""
MOST_COUNTED = 0.5
"""Largest share of look-alike errors that a rate counts if it counts them in part."""
HARDEST_DATASET = "cifar10"
"""Data set of which sentences give each kind of errors by itself."""


def against_history(results: "pd.DataFrame") -> Finding:
    """Measure whether suspects reach AUM, which needs the margins of every epoch, on each network with wrong labels."""
    rows = _networks(results, SUSPECTS, AUM, WITH_HISTORY, PIXELS)
    units = [
        Unit(
            row["title"],
            _is_as_high(row[SUSPECTS], row[AUM]),
            {
                SUSPECTS: row[SUSPECTS],
                AUM: row[AUM],
                "difference": row[SUSPECTS] - row[AUM],
                WITH_HISTORY: row[WITH_HISTORY],
                PIXELS: row[PIXELS],
            },
        )
        for row in rows
    ]
    if not units:
        return NO_RECORD
    return Finding(f"Mean AUROC of suspects and of AUM: {_means(rows, SUSPECTS, AUM)}", tuple(units))


def against_folds(results: "pd.DataFrame") -> Finding:
    """Measure whether suspects reach the better of cleanlab's scores, at a small share of its cost, where folds were trained."""
    units = []
    for title, network in results.groupby("title", sort=False):
        folds = network[network["score"].str.startswith(CLEANLAB)]
        suspects = network[network["score"] == SUSPECTS]
        if folds.empty or suspects.empty:
            continue
        auroc, seconds = float(suspects["auroc"].iloc[0]), float(suspects["cpu_seconds"].iloc[0])
        best, fold_seconds = float(folds["auroc"].max()), float(folds["cpu_seconds"].max())
        shows = _is_as_high(auroc, best) and seconds <= COST_SHARE * fold_seconds
        values = {
            SUSPECTS: auroc, CLEANLAB: best, "difference": auroc - best, "CPU s, suspects": seconds,
            "CPU s, five trainings": fold_seconds,
        }  # fmt: skip
        units.append(Unit(str(title), shows, values))
    if not units:
        return NO_RECORD
    listed = "; ".join(
        f"{u.name}: {u.values[SUSPECTS]:.3f} and {u.values[CLEANLAB]:.3f} "
        f"({u.values['CPU s, suspects']:.0f} and {u.values['CPU s, five trainings']:.0f} CPU s)"
        for u in units
    )
    return Finding(f"AUROC of suspects and of cleanlab: {listed}", tuple(units))


def with_augmentation(results: "pd.DataFrame") -> Finding:
    """Measure whether suspects are as good on networks trained with augmentation as on the same ones trained without."""
    rows = _networks(results, SUSPECTS, AUM)
    plain = {_key(row, "augmented"): row[SUSPECTS] for row in rows if not row["augmented"]}
    units = []
    for row in rows:
        without = plain.get(_key(row, "augmented"))
        if row["augmented"] and without is not None:
            values = {
                "with augmentation": row[SUSPECTS], "without": without, "difference": row[SUSPECTS] - without,
                "AUM, with augmentation": row[AUM],
            }  # fmt: skip
            units.append(Unit(row["title"], values["difference"] >= -SMALLEST_DIFFERENCE, values))
    if not units:
        return NO_RECORD
    return Finding(f"AUROC with augmentation minus that without: {over_units(units, 'difference')}", tuple(units))


def final_loss(results: "pd.DataFrame") -> Finding:
    """Measure whether the loss of a network that fits its given labels tells little about which are wrong."""
    rows = [row for row in _networks(results, SUSPECTS, LOSS) if row["fitted"] >= FITTED]
    units = [
        Unit(
            row["title"],
            row[LOSS] < LITTLE and row[LOSS] < row[SUSPECTS],
            {LOSS: row[LOSS], SUSPECTS: row[SUSPECTS], "fitted": row["fitted"]},
        )
        for row in rows
    ]
    if not units:
        return NO_RECORD
    return Finding(f"Mean AUROC of the final loss and of suspects: {_means(rows, LOSS, SUSPECTS)}", tuple(units))


def nmf_error(results: "pd.DataFrame") -> Finding:
    """Measure whether the NMF ratio finds look-alike errors less well than uniform ones, and less well than the probe does."""
    rows = _networks(results, NMF_RATIO, PROBE)
    uniform = {_key(row, "kind"): row[NMF_RATIO] for row in rows if row["kind"] == UNIFORM}
    units = []
    for row in rows:
        of_uniform = uniform.get(_key(row, "kind"))
        if row["kind"] == LOOK_ALIKE and of_uniform is not None:
            shows = row[NMF_RATIO] < min(row[PROBE], of_uniform) - SMALLEST_DIFFERENCE
            values = {"NMF ratio": row[NMF_RATIO], "NMF ratio, uniform errors": of_uniform, PROBE: row[PROBE]}
            units.append(Unit(row["title"], shows, values))
    if not units:
        return NO_RECORD
    by_dataset: dict[str, list[Unit]] = {}
    for unit in units:
        by_dataset.setdefault(unit.name.partition(",")[0], []).append(unit)
    listed = "; ".join(
        f"{dataset}: {' and '.join(f'{fmean(u.values[name] for u in members):.3f}' for name in members[0].values)}"
        for dataset, members in by_dataset.items()
    )
    return Finding(
        f"Mean AUROC of the NMF ratio on look-alike and on uniform errors, and of the probe on look-alike ones: {listed}",
        tuple(units),
    )


def random_rate(rates: "pd.DataFrame") -> Finding:
    """Measure whether the rate is right where errors are random, and no false alarm where all labels are right."""
    units: dict[str, list[Unit]] = {}
    for row in rates[rates["kind"] != LOOK_ALIKE].to_dict("records"):
        error = abs(row["estimate"] - row["wrong"])
        shows = row["estimate"] <= FALSE_ALARM if row["kind"] == CLEAN else error <= RATE_ERROR
        values = {"wrong": row["wrong"], "rate": row["estimate"], "error": error}
        units.setdefault(row["kind"], []).append(Unit(row["title"], shows, values))
    if not units:
        return NO_RECORD
    parts = [
        f"{KINDS[kind]} {fmean(u.values['error'] for u in members):.3f} ({plural(len(members), 'network')})"
        for kind, members in units.items()
        if kind != CLEAN
    ]
    text = f"Mean absolute error of the rate: {', '.join(parts) or 'not measured'}"
    if CLEAN in units:
        clean = units[CLEAN]
        n_alarms = sum(not unit.shows for unit in clean)
        text += f"; above {FALSE_ALARM} on {n_alarms} of {plural(len(clean), 'network')} with right labels"
    return Finding(text, tuple(unit for members in units.values() for unit in members))


def look_alike_rate(rates: "pd.DataFrame") -> Finding:
    """Measure whether the rate counts look-alike errors in part only: at most half of them."""
    units = []
    for row in rates[rates["kind"] == LOOK_ALIKE].to_dict("records"):
        share = row["estimate"] / row["wrong"]
        holds = row["low"] <= row["wrong"] <= row["high"]
        values = {"wrong": row["wrong"], "rate": row["estimate"], "rate / wrong": share, "interval holds it": holds}
        units.append(Unit(row["title"], share <= MOST_COUNTED, values))
    if not units:
        return NO_RECORD
    finding = summarise("Rate over the true share of wrong labels", units, "rate / wrong")
    n_holding = sum(bool(unit.values["interval holds it"]) for unit in units)
    return replace(
        finding, measured=f"{finding.measured}; its 95 % interval holds the truth in {n_holding} of {len(units)}"
    )


def repair(repairs: "pd.DataFrame") -> Finding:
    """Measure whether training again without the suspects, and with their suggested labels, beats removing as many at random."""
    accuracies = (AS_GIVEN, REMOVED, RELABELLED, AT_RANDOM)
    units = [
        Unit(
            row["title"],
            min(row[REMOVED], row[RELABELLED]) - row[AT_RANDOM] > SMALLEST_DIFFERENCE,
            {name: row[name] for name in accuracies},
        )
        for row in repairs.to_dict("records")
    ]
    if not units:
        return NO_RECORD
    listed = ", ".join(f"{name} {fmean(u.values[name] for u in units):.3f}" for name in accuracies)
    return Finding(f"Mean test accuracy: {listed}", tuple(units))


def _networks(results: "pd.DataFrame", *scores: str) -> list[dict[str, Any]]:
    """Return networks on which all these scores were measured: setting, title, fitted, and AUROC by name of the score."""
    index = ["title", *SETTING, "fitted"]
    by_score = results[results["score"].isin(scores)].pivot(index=index, columns="score", values="auroc")
    table = by_score.reindex(columns=list(scores)).dropna().reset_index()
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    order = {title: i for i, title in enumerate(dict.fromkeys(results["title"]))}
    return sorted(rows, key=lambda row: order[row["title"]])


def _key(row: dict[str, Any], compared_part: str) -> tuple[Any, ...]:
    """Return a network's setting without the one part in which networks that are compared differ."""
    return tuple(row[name] for name in SETTING if name != compared_part)


def _is_as_high(auroc: float, rival: float) -> bool:
    return auroc >= rival - EQUAL


def _means(rows: Sequence[dict[str, Any]], *scores: str) -> str:
    """Return mean AUROCs in words: by kind of errors on the hardest data set, and for each other data set."""

    def group(row: dict[str, Any]) -> str:
        kind = f", {KINDS[row['kind']]} errors" if row["dataset"] == HARDEST_DATASET else ""
        return f"{row['dataset']}{kind}"

    def mean(members: Iterable[dict[str, Any]]) -> str:
        return " and ".join(f"{fmean(row[score] for row in members):.3f}" for score in scores)

    groups = dict.fromkeys(group(row) for row in rows)
    return "; ".join(f"{name}: {mean([row for row in rows if group(row) == name])}" for name in groups)


MEASURED = "python benchmarks/suspects/train.py OUT && python benchmarks/suspects/measure.py OUT"
FOLDED = "python benchmarks/suspects/train.py OUT cifar10-look_alike-0.2-s0 cifar10-look_alike-0.4-s0 && python benchmarks/suspects/measure.py OUT"
"""Folds are trained of networks that are named."""
REPAIRED = "python benchmarks/suspects/train.py OUT && python benchmarks/suspects/repair.py OUT"
WRONG_NETWORK: dict[str, str | list[str]] = {"data": "cifar10", "arch": "cnn", "p": "0.2"}

SUSPECTS_CLAIMS: tuple[Claim, ...] = (
    Claim(
        figure="S1",
        claim="Suspects of one finished network find wrong labels at least as well as AUM does from the whole training.",
        useful=True,
        paper="Not asked",
        measure=lambda records: against_history(records.suspects),
        unit=f"a network with wrong labels; shows it if AUROC is at least AUM's minus {EQUAL}",
        page="suspects",
        command=MEASURED,
        why="AUM is the mean margin of each sample over the epochs of the same training. Where neighbours in pixels find the wrong labels as well, "
        "a network is not needed for it: the column shows where.",
        link=WRONG_NETWORK,
    ),
    Claim(
        figure="S2",
        claim="Suspects find wrong labels at least as well as cleanlab with five folds, at a tenth of its cost.",
        useful=True,
        paper="Not asked",
        measure=lambda records: against_folds(records.suspects),
        unit="a network of which five more were trained, one without each fold; shows it if AUROC is at least that of the better of two of "
        f"cleanlab's scores minus {EQUAL}, in at most {COST_SHARE:.0%} of the CPU seconds of those trainings",
        page="suspects",
        command=FOLDED,
        why="Folds were trained for CIFAR-10 networks with look-alike errors alone. The training of the network itself is in neither time.",
        link=WRONG_NETWORK,
    ),
    Claim(
        figure="S3",
        claim="Suspects find wrong labels as well in networks that were trained with augmentation.",
        useful=True,
        paper="Not asked",
        measure=lambda records: with_augmentation(records.suspects),
        unit="a pair of networks with the same wrong labels, one trained on moved and mirrored images; shows it if its AUROC is at least the "
        f"other one's minus {SMALLEST_DIFFERENCE}",
        page="suspects",
        command=MEASURED,
        why="One part of the score moves and mirrors the images, which such a network was trained to ignore.",
        link=WRONG_NETWORK,
    ),
    Claim(
        figure="S4",
        claim="The final loss does not find the wrong labels of a network that has fitted them.",
        useful=True,
        paper="Not asked",
        measure=lambda records: final_loss(records.suspects),
        unit=f"a network that fits at least {FITTED:.0%} of its given labels; shows it if the loss has an AUROC below {LITTLE} and below that of "
        "suspects",
        page="suspects",
        command=MEASURED,
        why="What is fitted has hardly any loss left, right or wrong.",
        link=WRONG_NETWORK,
    ),
    Claim(
        figure="S5",
        claim="NMF error finds look-alike errors less well than random ones, and less well than the probe does.",
        useful=True,
        paper="Not asked",
        measure=lambda records: nmf_error(records.suspects),
        unit=f"a network with look-alike errors; shows it if the AUROC of the NMF ratio is more than {SMALLEST_DIFFERENCE} below that for uniform "
        "errors of the same share and seed, and below the probe's",
        page="suspects",
        command=MEASURED,
        why="The ratio is a sample's NMF error in its own class over that in the best other one. A look-alike lies near the class that it is wrongly "
        "given, so its error there is small. The ratio is therefore no part of the score.",
        link=WRONG_NETWORK,
    ),
    Claim(
        figure="S6",
        claim="The rate from swapped labels is right where errors are random, and next to nothing where there are none.",
        useful=True,
        paper="Not asked",
        measure=lambda records: random_rate(records.suspects_rates),
        unit=f"a network with uniform, pair-flip or no errors; shows it if the rate is at most {RATE_ERROR} off, or at most {FALSE_ALARM} where all "
        "labels are right",
        page="suspects",
        command=MEASURED,
        why="The training labels of these data sets count as right; a few of them are not.",
        link=WRONG_NETWORK,
    ),
    Claim(
        figure="S7",
        claim="The rate counts look-alike errors in part only, at most half of them.",
        useful=True,
        paper="Not asked",
        measure=lambda records: look_alike_rate(records.suspects_rates),
        unit=f"a network with look-alike errors; shows it if the rate is at most {MOST_COUNTED:.0%} of the true share of wrong labels",
        page="suspects",
        command=MEASURED,
        why="Swapped labels, by which the rate is measured, are easier to tell than look-alike ones. People's errors are look-alikes, too.",
        link=WRONG_NETWORK,
    ),
    Claim(
        figure="S8",
        claim="Training again without the suspects, or with their suggested labels, beats removing as many at random.",
        useful=True,
        paper="Not asked",
        measure=lambda records: repair(records.suspects_repairs),
        unit="a network with at least 20 % wrong labels; shows it if both test accuracies exceed that without as many random samples by more than "
        f"{SMALLEST_DIFFERENCE}",
        page="suspects",
        command=REPAIRED,
        why="As many suspects are taken as labels are wrong, a number that one does not know in practice.",
        link=WRONG_NETWORK,
    ),
)
