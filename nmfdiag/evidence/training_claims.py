"""Claims about families of networks and about training (figures 5, 6, 9 and 11), measured on recorded experiments."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from nmfdiag.evidence.findings import NO_RECORD, Finding, Unit, summarise
from nmfdiag.evidence.records import History, NetworkRecord
from nmfdiag.measures.methods import METHODS, PAPER_METHODS
from nmfdiag.measures.stats.correlation import Correlation, correlation, correlation_difference
from nmfdiag.measures.stats.summary import CLEAR_ERRORS, SMALLEST_DIFFERENCE, spread
from nmfdiag.measures.stopping import CLOSE_EPOCHS, PRIMARY_RULES, RULES, Outcome, layer_mean, outcome
from nmfdiag.zoo.experiments import PRIMARY

if TYPE_CHECKING:
    import pandas as pd

LEAST_R = 0.8
"""Correlation over epochs from which one accuracy follows another."""
PRACTICAL_SECONDS = 60
"""Longest time of one factorisation that counts as practical, in seconds."""
ZOO_IMAGES = 10_000
"""Training images of the zoo's CIFAR-10 networks."""
PAPER_R = -0.82
"""The paper's r of NMF AuC and generalisation gap."""


def close_correlation(records: Mapping[str, NetworkRecord], *, fitted: bool = False) -> Finding:
    """Measure F5: r of NMF AuC and generalisation gap over all networks and over each data set, against the paper's -0.82.

    A unit shows the claim if its interval reaches that far. ``fitted`` leaves out networks that did not fit their given labels.
    """
    networks, units = _select_networks(records, fitted), []
    for dataset in ("", *dict.fromkeys(record.recipe.dataset for record in networks)):
        part = [record for record in networks if dataset in ("", record.recipe.dataset)]
        nmf_correlation = _correlations(part)["nmf"] if len(part) > 2 else None
        if nmf_correlation is not None and nmf_correlation.r is not None and nmf_correlation.low is not None:
            values = {
                "r": nmf_correlation.r,
                "low": nmf_correlation.low,
                "high": nmf_correlation.high,
                "networks": nmf_correlation.n,
            }
            units.append(Unit(dataset or "all networks", nmf_correlation.low <= PAPER_R, values))
    if not units:
        return NO_RECORD
    listed = "; ".join(
        f"{METHODS[method].phrase}: r = {_interval_text(nmf_correlation)}"
        for method, nmf_correlation in _correlations(networks).items()
    )
    return Finding(f"{len(networks)} networks, {PRIMARY.text}. {listed}", tuple(units))


def closest_method(records: Mapping[str, NetworkRecord], *, fitted: bool = False) -> Finding:
    """Measure F5: whether NMF's r with the generalisation gap lies clearly below PCA's and random ablation's."""
    networks = _select_networks(records, fitted)
    if len(networks) < 3:
        return NO_RECORD
    errors, units = [record.generalization_error for record in networks], []
    area = {method: [record.area(method, PRIMARY) for record in networks] for method in PAPER_METHODS}
    for rival in ("pca", "random"):
        gap = correlation_difference(area["nmf"], area[rival], errors)
        values = {"difference": gap.value, "low": gap.low, "high": gap.high, "networks": gap.n}
        units.append(Unit(f"NMF against {METHODS[rival].phrase}", gap.clear and (gap.value or 0) < 0, values))
    listed = "; ".join(
        f"{u.name}: {u.values['difference']:.2f} ({u.values['low']:.2f} to {u.values['high']:.2f})" for u in units
    )
    return Finding(f"{len(networks)} networks; difference of r, paired bootstrap. {listed}", tuple(units))


def _select_networks(records: Mapping[str, NetworkRecord], fitted: bool) -> list[NetworkRecord]:
    return [r for r in records.values() if not fitted or r.fits]


def _correlations(records: Sequence[NetworkRecord]) -> dict[str, Correlation]:
    errors = [record.generalization_error for record in records]
    return {
        method: correlation([record.area(method, PRIMARY) for record in records], errors, interval="bootstrap")
        for method in PAPER_METHODS
    }


def depth_of_memorisation(records: Mapping[str, NetworkRecord], curves: "pd.DataFrame") -> Finding:
    """Measure a claim of our own: the depth at which p = 0 and p = 1 part, for several numbers of training images.

    The depth is the centre of gravity of the clear part of the gap in AuC, 0 at the first layer and 1 at the last. A unit is a
    step to more images within a seed; it shows the claim if the depth grows by more than :data:`SMALLEST_DIFFERENCE`.
    """
    depth: dict[tuple[int, int], float] = {}
    sizes = {(r.recipe.seed, r.recipe.n_train): r.layers for r in records.values()}
    for seed, n in sizes:
        pair = {r.recipe.label_noise: r for r in records.values() if (r.recipe.seed, r.recipe.n_train) == (seed, n)}
        if {0.0, 1.0} <= set(pair):
            areas = [pair[p].auc["single"]["nmf"]["linear"] for p in (0.0, 1.0)]
            depth[seed, n] = _centre_of_gravity([a - b for a, b in zip(*areas, strict=True)])
    paper = curves[(curves["dataset"] == "cifar10") & (curves["arch"] == "cnn")]
    nmf = paper[(paper["method"] == "nmf") & (paper["operation"] == "compress") & (paper["class"] >= 0)]
    for seed_name, seed_curves in nmf.groupby("seed"):
        means = {p: p_curves.groupby("layer", sort=False)["auc"].mean() for p, p_curves in seed_curves.groupby("p")}
        if {0.0, 1.0} <= set(means):
            depth[int(str(seed_name)), ZOO_IMAGES] = _centre_of_gravity(list(means[0.0] - means[1.0]))
    units = []
    for (seed, n), network_depth in sorted(depth.items()):
        n_before = max((m for s, m in depth if s == seed and m < n), default=None)
        if n_before is not None:
            step = network_depth - depth[seed, n_before]
            values = {
                f"depth, {n_before:,} images": depth[seed, n_before],
                f"depth, {n:,} images": network_depth,
                "step": step,
            }
            units.append(Unit(f"seed {seed}, {n_before:,} to {n:,} images", step > SMALLEST_DIFFERENCE, values))
    listed = "; ".join(f"seed {seed}, {n:,} images: {value:.2f}" for (seed, n), value in sorted(depth.items()))
    return Finding(f"Depth of the gap (0: first layer, 1: last): {listed}", tuple(units)) if units else NO_RECORD


def _centre_of_gravity(gap: list[float]) -> float:
    """Return the centre of gravity along depth of the part of a gap above the smallest difference; the middle without any."""
    weights = [max(0.0, value - SMALLEST_DIFFERENCE) for value in gap]
    total = sum(weights)
    return sum(i * w for i, w in enumerate(weights)) / total / (len(gap) - 1) if total else 0.5


def turning_point(runs: Iterable[History], rule_name: str = PRIMARY_RULES["early-stopping"]) -> Finding:
    """Measure F6: epochs from the least test loss to the highest AuC, by a rule declared in :mod:`nmfdiag.measures.stopping`."""
    rule, units = RULES[rule_name], []
    for run in runs:
        series = layer_mean([run.layer_values(rule.measure, layer, rule.value) for layer in run.layers])
        stop = rule.stop(series)
        if stop is None or not run.finished:
            continue
        cost = outcome(stop, run.series("test_loss"), run.series("test_accuracy"))
        values = {
            "AuC highest at": cost.kept, "test loss least at": cost.kept - cost.from_minimum,
            "epochs between": cost.from_minimum, "accuracy lost against the best epoch": cost.regret,
        }  # fmt: skip
        units.append(Unit(run.name, abs(cost.from_minimum) <= CLOSE_EPOCHS, values))
    return summarise("Epochs from the least test loss to the highest AuC", units, "epochs between")


def follows_test_accuracy(runs: Iterable[History]) -> Finding:
    """Measure F9: r over epochs of the accuracy at k = 1 and the test accuracy."""
    units = []
    for run in runs:
        if not run.finished:
            continue
        pairs = zip(_accuracy_at_rank_1(run), run.series("test_accuracy"), strict=True)
        complete_pairs = [(value, test) for value, test in pairs if value is not None]
        followed = correlation([value for value, _ in complete_pairs], [test for _, test in complete_pairs])
        if followed.r is not None:
            units.append(Unit(run.name, followed.r >= LEAST_R, {"r": followed.r, "epochs": followed.n}))
    quantity = "r over epochs of accuracy at k = 1 (mean over layers) and test accuracy"
    return summarise(quantity, units, "r")


def few_shot_stopping(runs: Iterable[History]) -> Finding:
    """Measure F9: test accuracy at the first peak of the accuracy at k = 1, minus that at the end, over the seeds of a setting."""
    rule = RULES[PRIMARY_RULES["few-shot"]]
    gains: dict[str, list[Outcome]] = {}
    for run in runs:
        stop = rule.stop(_accuracy_at_rank_1(run)) if run.finished else None
        if stop is not None:
            cost = outcome(stop, run.series("test_loss"), run.series("test_accuracy"))
            gains.setdefault(run.name.rsplit("-s", 1)[0], []).append(cost)
    units = []
    for setting, outcomes in gains.items():
        gain, headroom = spread([o.gain for o in outcomes]), spread([o.gain + o.regret for o in outcomes])
        shows = gain.n > 1 and gain.mean > CLEAR_ERRORS * gain.sem
        values = {"gain": gain.mean, "±": gain.sem, "best epoch's gain": headroom.mean, "seeds": gain.n}
        units.append(Unit(setting, shows, values))
    return summarise("Test accuracy won by stopping, against training to the end", units, "gain")


def runtime(bench: "pd.DataFrame | None") -> Finding:
    """Measure F11: seconds of one NMF of a typical ImageNet batch's layer, by multiplicative updates as published."""
    if bench is None or "section" not in bench:
        return NO_RECORD
    rows = bench[(bench["section"] == "runtime") & (bench["solver"] == "dff_mu")]
    columns = (rows[name] for name in ("case", "wall_seconds", "device", "ranks"))
    units = [
        Unit(
            str(case), seconds < PRACTICAL_SECONDS, {"seconds": float(seconds), "device": str(device), "k": str(ranks)}
        )
        for case, seconds, device, ranks in zip(*columns, strict=True)
    ]
    return summarise(f"Seconds to convergence ({', '.join(sorted(set(rows['device'])))})", units, "seconds")


def _accuracy_at_rank_1(run: History) -> list[float | None]:
    return layer_mean([run.layer_values("nmf", layer, "first") for layer in run.layers])


def _interval_text(result: Correlation) -> str:
    if result.r is None or result.low is None or result.high is None:
        return f"undefined ({result.reason})"
    return f"{result.r:.2f} ({result.low:.2f} to {result.high:.2f})"
