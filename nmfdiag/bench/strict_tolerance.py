"""The error of the default tolerance: AuC of zoo curves compared with that at a far stricter tolerance."""

from dataclasses import dataclass, replace
from functools import partial

from nmfdiag.bench.bench_network import Say
from nmfdiag.bench.cases import Options
from nmfdiag.bench.peers import OURS, warm_up
from nmfdiag.bench.table import Row, Section
from nmfdiag.data.probe import single_class_batch
from nmfdiag.jobs.timer import Timing, once
from nmfdiag.measures.compression import compression_curve
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.zoo.registry import lookup

NETWORKS = (
    "fashion_mnist-cnn-p0-s0",
    "fashion_mnist-cnn-p1-s0",
    "fashion_mnist-mlp-p0.4-s0",
    "digits-cnn-p0-s0",
    "digits-cnn-p1-s0",
    "digits-mlp-p0.6-s0",
)
CLASSES, QUICK_CLASSES = (0, 1), (0,)
PER_CLASS = 50
STRICT_TOL, STRICT_MAX_ITER = 1e-6, 2000
DEFAULT, STRICT = "default tol", f"tol {STRICT_TOL:g}"


@dataclass(frozen=True)
class Difference:
    """One curve's AuC at the default tolerance minus that at the strict one, and whether every rank converged there."""

    layer: str
    class_idx: int
    auc: float
    by: float
    converged: bool


def truth_section(options: Options, say: Say) -> Section:
    """Measure a row per network and tolerance; the notes have the largest and the mean difference of AuC."""
    warm_up((OURS,), options.device)
    rows: list[Row] = []
    facts = {}
    for name in NETWORKS[-1:] if options.quick else NETWORKS:
        say(f"truth: {name} at the {DEFAULT} and at {STRICT}")
        curve_differences, timings = differences(name, QUICK_CLASSES if options.quick else CLASSES, options.device)
        sizes = [abs(d.by) for d in curve_differences]
        worst = max(curve_differences, key=lambda d: abs(d.by))
        unconverged = sum(not d.converged for d in curve_differences)
        note = (
            f"|dAuC| {max(sizes):.5f} at most ({worst.layer}, class {worst.class_idx}, AuC {worst.auc:.3f}), "
            f"{sum(sizes) / len(sizes):.5f} in the mean of {len(curve_differences)} curves of {PER_CLASS} samples at most; "
            f"{unconverged} of them had ranks that did not reach {STRICT} in {STRICT_MAX_ITER} iterations"
        )
        row = Row("truth", options.device, f"truth {name}", note=note)
        rows += [replace(row, solver=solver, **timing.columns()) for solver, timing in timings.items()]
        facts[f"AuC against {STRICT}: {name}"] = max(sizes)
    return Section(rows, facts)


def differences(name: str, classes: tuple[int, ...], device: str) -> tuple[list[Difference], dict[str, Timing]]:
    """Compute AuC of every layer on single-class batches of a zoo network at both tolerances, and the times of each."""
    entry = lookup(name)
    pool = entry.load_pool()
    network = SplitNetwork(entry.load_model().to(device), pool.inputs[:2].to(device))
    curve_differences = []
    total: dict[str, Timing] = {}
    for class_idx in classes:
        batch = single_class_batch(
            pool.inputs, pool.given_labels, class_idx, size=PER_CLASS, true_labels=pool.true_labels
        )
        inputs, labels = batch.inputs.to(device), batch.given_labels
        for layer in network.layers:
            ways = {
                DEFAULT: partial(compression_curve, network, layer.name, inputs, labels),
                STRICT: partial(
                    compression_curve, network, layer.name, inputs, labels, tol=STRICT_TOL, max_iter=STRICT_MAX_ITER
                ),
            }
            curves = {}
            for way, compute in ways.items():
                curves[way], cpu, wall = once(compute, device)
                total[way] = total.get(way, Timing((0.0,), (0.0,))) + Timing((cpu,), (wall,))
            default, strict = curves[DEFAULT], curves[STRICT]
            curve_differences.append(
                Difference(layer.name, class_idx, strict.auc, default.auc - strict.auc, all(strict.converged))
            )
    return curve_differences, total
