"""Claims about families of networks and about training (figures 5, 6, 9 and 11), measured on recorded experiments."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from nmfdiag.evidence.findings import NOTHING, Finding, Unit, over_units
from nmfdiag.evidence.records import History, NetworkRecord
from nmfdiag.measures.ablation import SMALLEST_DIFFERENCE
from nmfdiag.measures.methods import METHODS, PAPER_METHODS
from nmfdiag.measures.stats.correlation import Correlation, correlation, correlation_difference
from nmfdiag.measures.stats.summary import spread
from nmfdiag.measures.stopping import CLOSE, RULES, Outcome, layer_mean, outcome
from nmfdiag.measures.stopping import PRIMARY as RULE_OF
from nmfdiag.zoo.experiments import PRIMARY

if TYPE_CHECKING:
    import pandas as pd

FOLLOWS = 0.8
PRACTICAL_SECONDS = 60
ZOO_IMAGES = 10_000
PAPERS_R = -0.82


def close_correlation(records: Mapping[str, NetworkRecord], *, fitted: bool = False) -> Finding:
    """F5: r of NMF AuC and generalisation error over all networks and over each data set, against the paper's -0.82.

    It is shown where the interval reaches that far. ``fitted`` leaves out the networks that did not fit their given labels.
    """
    some, units = _counted(records, fitted), []
    for dataset in ("", *dict.fromkeys(record.recipe.dataset for record in some)):
        part = [record for record in some if dataset in ("", record.recipe.dataset)]
        found = _correlations(part)["nmf"] if len(part) > 2 else None
        if found is not None and found.r is not None and found.low is not None:
            values = {"r": found.r, "low": found.low, "high": found.high, "networks": found.n}
            units.append(Unit(dataset or "all networks", found.low <= PAPERS_R, values))
    if not units:
        return NOTHING
    words = "; ".join(
        f"{METHODS[method].phrase}: r = {_interval(found)}" for method, found in _correlations(some).items()
    )
    return Finding(f"{len(some)} networks, {PRIMARY.words}. {words}", tuple(units))


def closest_method(records: Mapping[str, NetworkRecord], *, fitted: bool = False) -> Finding:
    """F5: whether NMF's r with the generalisation error lies clearly below PCA's and random ablation's."""
    some = _counted(records, fitted)
    if len(some) < 3:
        return NOTHING
    errors, units = [record.generalization_error for record in some], []
    area = {method: [record.area(method, PRIMARY) for record in some] for method in PAPER_METHODS}
    for other in ("pca", "random"):
        gap = correlation_difference(area["nmf"], area[other], errors)
        values = {"difference": gap.value, "low": gap.low, "high": gap.high, "networks": gap.n}
        units.append(Unit(f"NMF against {METHODS[other].phrase}", gap.clear and (gap.value or 0) < 0, values))
    listed = "; ".join(
        f"{u.name}: {u.values['difference']:.2f} ({u.values['low']:.2f} to {u.values['high']:.2f})" for u in units
    )
    return Finding(f"{len(some)} networks; difference of r, paired bootstrap. {listed}", tuple(units))


def _counted(records: Mapping[str, NetworkRecord], fitted: bool) -> list[NetworkRecord]:
    return [r for r in records.values() if not fitted or r.fits]


def _correlations(some: Sequence[NetworkRecord]) -> dict[str, Correlation]:
    errors = [record.generalization_error for record in some]
    return {
        method: correlation([record.area(method, PRIMARY) for record in some], errors, interval="bootstrap")
        for method in PAPER_METHODS
    }


def depth_of_memorisation(records: Mapping[str, NetworkRecord], curves: "pd.DataFrame") -> Finding:
    """Our own: where along depth p = 0 and p = 1 part, for several numbers of training images.

    The depth is the centre of gravity of the clear part of the gap in AuC, 0 at the first layer and 1 at the last. A unit is a
    step to more images within a seed; it shows the claim if the depth grows by more than 0.02.
    """
    depth: dict[tuple[int, int], float] = {}
    sizes = {(r.recipe.seed, r.recipe.n_train): r.layers for r in records.values()}
    for seed, n in sizes:
        pair = {r.recipe.label_noise: r for r in records.values() if (r.recipe.seed, r.recipe.n_train) == (seed, n)}
        if {0.0, 1.0} <= set(pair):
            areas = [pair[p].auc["single"]["nmf"]["linear"] for p in (0.0, 1.0)]
            depth[seed, n] = _centre([a - b for a, b in zip(*areas, strict=True)])
    paper = curves[(curves["dataset"] == "cifar10") & (curves["arch"] == "cnn")]
    nmf = paper[(paper["method"] == "nmf") & (paper["operation"] == "compress") & (paper["class"] >= 0)]
    for of_seed, some in nmf.groupby("seed"):
        means = {p: at.groupby("layer", sort=False)["auc"].mean() for p, at in some.groupby("p")}
        if {0.0, 1.0} <= set(means):
            depth[int(str(of_seed)), ZOO_IMAGES] = _centre(list(means[0.0] - means[1.0]))
    units = []
    for (seed, n), at in sorted(depth.items()):
        fewer = [m for s, m in depth if s == seed and m < n]
        if fewer:
            before = depth[seed, max(fewer)]
            values = {f"depth, {max(fewer):,} images": before, f"depth, {n:,} images": at, "step": at - before}
            units.append(
                Unit(f"seed {seed}, {max(fewer):,} to {n:,} images", at - before > SMALLEST_DIFFERENCE, values)
            )
    listed = "; ".join(f"seed {seed}, {n:,} images: {at:.2f}" for (seed, n), at in sorted(depth.items()))
    return Finding(f"Depth of the gap (0: first layer, 1: last): {listed}", tuple(units)) if units else NOTHING


def _centre(gap: list[float]) -> float:
    """Centre of gravity along depth of what of a gap exceeds 0.02; the middle where nothing does."""
    weights = [max(0.0, value - SMALLEST_DIFFERENCE) for value in gap]
    total = sum(weights)
    return sum(i * w for i, w in enumerate(weights)) / total / (len(gap) - 1) if total else 0.5


def turning_point(runs: Iterable[History], rule_name: str = RULE_OF["early-stopping"]) -> Finding:
    """F6: epochs from the least test loss to the highest AuC, by a rule declared in :mod:`nmfdiag.measures.stopping`."""
    rule, units = RULES[rule_name], []
    for run in runs:
        series = layer_mean([run.measured(rule.measure, layer, rule.value) for layer in run.layers])
        stop = rule.stop(series)
        if stop is None or not run.finished:
            continue
        found = outcome(stop, run.series("test_loss"), run.series("test_accuracy"))
        values = {
            "AuC highest at": found.kept, "test loss least at": found.kept - found.from_minimum,
            "epochs between": found.from_minimum, "accuracy lost against the best epoch": found.regret,
        }  # fmt: skip
        units.append(Unit(run.name, abs(found.from_minimum) <= CLOSE, values))
    words = "Epochs from the least test loss to the highest AuC"
    return Finding(f"{words}: {over_units(units, 'epochs between')}", tuple(units)) if units else NOTHING


def follows_test_accuracy(runs: Iterable[History]) -> Finding:
    """F9: r over epochs of the accuracy at k = 1 and the test accuracy."""
    units = []
    for run in runs:
        if not run.finished:
            continue
        known = [
            (value, test)
            for value, test in zip(_k1(run), run.series("test_accuracy"), strict=True)
            if value is not None
        ]
        found = correlation([value for value, _ in known], [test for _, test in known])
        if found.r is not None:
            units.append(Unit(run.name, found.r >= FOLLOWS, {"r": found.r, "epochs": found.n}))
    words = "r over epochs of accuracy at k = 1 (mean over layers) and test accuracy"
    return Finding(f"{words}: {over_units(units, 'r')}", tuple(units)) if units else NOTHING


def few_shot_stopping(runs: Iterable[History]) -> Finding:
    """F9: test accuracy at the first peak of the accuracy at k = 1, minus that at the end, over the seeds of a setting."""
    rule = RULES[RULE_OF["few-shot"]]
    gains: dict[str, list[Outcome]] = {}
    for run in runs:
        stop = rule.stop(_k1(run)) if run.finished else None
        if stop is not None:
            found = outcome(stop, run.series("test_loss"), run.series("test_accuracy"))
            gains.setdefault(run.name.rsplit("-s", 1)[0], []).append(found)
    units = []
    for setting, outcomes in gains.items():
        gain, headroom = spread([o.gain for o in outcomes]), spread([o.gain + o.regret for o in outcomes])
        shows = gain.n > 1 and gain.mean > 2 * gain.sem
        values = {"gain": gain.mean, "±": gain.sem, "best epoch's gain": headroom.mean, "seeds": gain.n}
        units.append(Unit(setting, shows, values))
    words = "Test accuracy won by stopping, against training to the end"
    return Finding(f"{words}: {over_units(units, 'gain')}", tuple(units)) if units else NOTHING


def runtime(bench: "pd.DataFrame | None") -> Finding:
    """F11: seconds of one NMF of a typical ImageNet batch's layer, by multiplicative updates as published."""
    if bench is None or "section" not in bench:
        return NOTHING
    rows = bench[(bench["section"] == "runtime") & (bench["solver"] == "dff_mu")]
    columns = (
        map(str, rows["case"]),
        map(float, rows["wall_seconds"]),
        map(str, rows["device"]),
        map(str, rows["ranks"]),
    )
    units = [
        Unit(case, seconds < PRACTICAL_SECONDS, {"seconds": seconds, "device": device, "k": ranks})
        for case, seconds, device, ranks in zip(*columns, strict=True)
    ]
    words = f"Seconds to convergence ({', '.join(sorted(set(rows['device'])))})"
    return Finding(f"{words}: {over_units(units, 'seconds')}", tuple(units)) if units else NOTHING


def _k1(run: History) -> list[float | None]:
    return layer_mean([run.measured("nmf", layer, "first") for layer in run.layers])


def _interval(found: Correlation) -> str:
    if found.r is None or found.low is None or found.high is None:
        return f"undefined ({found.reason})"
    return f"{found.r:.2f} ({found.low:.2f} to {found.high:.2f})"
