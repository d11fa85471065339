"""Time the factorisation on this machine (figure 11): the points of a plot, and the measurement of each."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from statistics import median
from typing import TYPE_CHECKING

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import KINDS, WHOLE_GRID, CurveRequest, RuntimeRequest, RuntimeResult, stamp
from nmfdiag.jobs.timer import once, threads
from nmfdiag.provenance import processor_model, provenance
from nmfdiag.zoo.registry import ZooEntry, lookup

if TYPE_CHECKING:
    from torch import Tensor

    from nmfdiag.factorize import Factorization
    from nmfdiag.factorize.progress import Progress

MIN_REPEATS, MAX_REPEATS, REPEAT_SECONDS = 3, 15, 0.15
"""Repeats of a timing; after the minimum, it ends once this wall time is reached."""
SHARES = {
    "rows": tuple(1 / part for part in (1, 2, 4, 8, 16, 32, 64)),
    "channels": (1.0, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125),
}
"""Shares of the matrix, by kind of timing."""


@dataclass(frozen=True)
class Machine:
    """The machine that measures: its devices, the fastest first, threads on the CPU, and each device's model."""

    devices: tuple[str, ...]
    threads: int
    names: tuple[str, ...]


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """Return this machine's devices; the threads are those that the dashboard computes curves with."""
    from nmfdiag.jobs.compute import devices
    from nmfdiag.jobs.queue import worker_threads

    available = tuple(devices())
    models = (processor_model(d) + (f", {os.cpu_count()} cores" if d == "cpu" else "") for d in available)
    return Machine(available, worker_threads(), tuple(models))


def runtime_requests(
    entry: ZooEntry,
    layer: str,
    kind: str,
    *,
    class_idx: int,
    per_class: int = 20,
    solvers: Sequence[str] = ("hals", "mu"),
    ranks: Sequence[int] = (8,),
    devices: Iterable[str] | None = None,
) -> list[RuntimeRequest]:
    """Return the points of one plot: ranks from the smallest up, sizes from the whole matrix down.

    Args:
        entry: The network.
        layer: Its layer.
        kind: The plot's horizontal axis, one of :data:`KINDS`; ``"rank"`` times each rank of the default grid alone, and for
            HALS the whole grid in one call as well (multiplicative updates run rank by rank).
        class_idx: The given label of the batch, or :data:`nmfdiag.jobs.requests.MULTI_CLASS`.
        per_class: Samples in the batch.
        solvers: ``"hals"``, ``"mu"`` or both.
        ranks: Ranks for the other kinds.
        devices: Devices of this machine; default all.

    Raises:
        NmfdiagError: If the kind or layer is unknown.
    """
    from nmfdiag.factorize import default_ranks

    if kind not in KINDS:
        raise NmfdiagError(f"Unknown kind of timing {kind!r}: accepted are {', '.join(KINDS)}.")
    if layer not in entry.layers:
        raise NmfdiagError(f"Unknown layer {layer!r}: {entry.name} has {', '.join(entry.layers)}.")
    machine = this_machine()
    if kind == "rank":
        cells = [("rank", k, 1.0, s) for k in default_ranks(entry.layers[layer])[:-1] for s in solvers]
        cells += [("rank", WHOLE_GRID, 1.0, "hals")] if "hals" in solvers else []
    elif kind == "convergence":
        cells = [(kind, k, 1.0, s) for k in ranks for s in solvers]
    else:  # the whole matrix is the same point on every plot
        cells = [(kind if share < 1 else "rank", k, share, s) for share in SHARES[kind] for k in ranks for s in solvers]
    return [
        RuntimeRequest(entry.name, layer, class_idx, cell, k, solver, device, machine.threads, name, share, per_class)
        for cell, k, share, solver in cells
        for device, name in zip(machine.devices, machine.names, strict=True)
        if devices is None or device in devices
    ]


def measure(request: RuntimeRequest, *, device: str = "auto", on_progress: "Progress | None" = None) -> RuntimeResult:
    """Time one NMF call: an untimed one that compiles and warms up, then at least :data:`MIN_REPEATS`.

    Args:
        request: The call to time; the device is the request's.
        device: The queue's device, which is ignored.
        on_progress: Called with the share done and a short text; may raise to cancel.

    Raises:
        NmfdiagError: If the network, layer, class or device is unknown, or the layer is dead on the batch.
    """
    from nmfdiag.factorize import default_ranks, nmf

    began, report = time.perf_counter(), on_progress or (lambda share, text: None)
    digest = lookup(request.entry).digest
    A = _part_of(_activations(digest, replace(request, kind="", rank=0, share=1.0, solver="")), request)
    ranks = default_ranks(min(A.shape))[:-1] if request.rank == WHOLE_GRID else [request.rank]
    ranks = [k for k in ranks if k < min(A.shape)]
    title = f"{request.solver.upper()}, {f'rank {request.rank}' if request.rank else 'all ranks in one call'}"
    if request.share < 1:
        title += f", {request.share:.2g} of the {request.kind}"
    factorise = partial(nmf, A, ranks, solver=request.solver, tol=request.tol, seed=request.seed)
    runs: list[tuple[Factorization, float, float]] = []

    def report_repeat(share: float, _text: str) -> None:
        report(share, f"{title}, repeat {len(runs) + 1}")

    def is_enough() -> bool:
        seconds = sum(wall for _, _, wall in runs)
        return len(runs) >= MIN_REPEATS and (seconds >= REPEAT_SECONDS or len(runs) >= MAX_REPEATS)

    with threads(request.threads):
        if ranks:
            report(0.0, f"{title}, warming up")
            factorise(max_iter=2)
        while ranks and not is_enough():
            task = partial(factorise, max_iter=request.max_iter, on_progress=report_repeat)
            runs.append(once(task, str(A.device)))
    solved = runs[-1][0] if runs else None
    traces = [_best_so_far(factors.trace[ranks[0]]) for factors, _, _ in runs]
    return RuntimeResult(
        rows=A.shape[0],
        channels=A.shape[1],
        ranks=ranks,
        wall_seconds=[wall for _, _, wall in runs],
        cpu_seconds=[cpu for _, cpu, _ in runs],
        relative_error=solved.relative_error if solved else [],
        n_iter=solved.n_iter if solved else [],
        converged=solved.converged if solved else [],
        trace=_over_repeats(traces) if request.kind == "convergence" else [],
        provenance=stamp(request, digest)
        | provenance(
            "torch", "numpy", "date", began=began, device=str(A.device), threads=request.threads,
            processor=request.machine,  # the model, where other records have the architecture
        ),
    )  # fmt: skip


def _best_so_far(trace: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the least error up to each moment: HALS runs several starts at once, and MU may rise by rounding."""
    best: dict[float, float] = {}
    least = float("inf")
    for seconds, error in trace:
        least = min(least, error)
        best[seconds] = least
    return list(best.items())


def _over_repeats(traces: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float, float, float]]:
    """Return the median, least and most seconds of each step over the repeats, and the step's error."""
    rows = []
    for repeats in zip(*traces, strict=False):
        seconds = [t for t, _ in repeats]
        rows.append((median(seconds), min(seconds), max(seconds), median(error for _, error in repeats)))
    return rows


@lru_cache(maxsize=1)
def _activations(digest: str, request: RuntimeRequest) -> "Tensor":
    """Return the layer's activation matrix, cached until another one is needed: the points of a plot share it."""
    from nmfdiag.factorize import activation_matrix
    from nmfdiag.factorize.signed import has_negative, parts_of
    from nmfdiag.jobs.compute import probe_batch, resolve
    from nmfdiag.networks.matrix_fold import fold
    from nmfdiag.networks.split import SplitNetwork

    entry, device = lookup(request.entry), resolve(request.device)
    if entry.digest != digest:
        raise NmfdiagError(f"{entry.name} was replaced while it was being read: try again.")
    pool = entry.load_pool()
    curve = CurveRequest(
        request.entry, request.layer, request.class_idx, per_class=request.per_class, seed=request.seed
    )
    inputs = probe_batch(pool, curve).inputs.to(device)
    network = SplitNetwork(entry.load_model().to(device), inputs[:2], entry.activations)
    activation = network.cut(request.layer, inputs).activation
    try:
        A = activation_matrix(fold(activation, network.layer(request.layer).channel_dim))
        return parts_of(A) if has_negative(A) else A  # what signed NMF factorises
    except NmfdiagError as error:
        raise NmfdiagError(f"Layer {request.layer!r}: {error}") from None


def _part_of(A: "Tensor", request: RuntimeRequest) -> "Tensor":
    """Return a random share of the rows or channels: a smaller share is part of a larger one, and all include the largest row or channel."""
    import torch

    if request.share == 1:
        return A
    axis = 0 if request.kind == "rows" else 1
    order = torch.randperm(A.shape[axis], generator=torch.Generator().manual_seed(request.seed)).to(A.device)
    largest = int(A.square().sum(dim=1 - axis).argmax())  # so that no part is all zero
    order = torch.cat([order[order == largest], order[order != largest]])
    return A.index_select(axis, order[: max(1, round(request.share * A.shape[axis]))].sort().values).contiguous()
