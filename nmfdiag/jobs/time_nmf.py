"""What the factorisation costs on this machine: which points a plot asks for, and timing them (figure 11)."""

import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import CurveRequest, stamp
from nmfdiag.jobs.timing_request import KINDS, WHOLE_GRID, Machine, RuntimeRequest, RuntimeResult
from nmfdiag.zoo.registry import ZooEntry, lookup

if TYPE_CHECKING:
    from torch import Tensor

    from nmfdiag.factorize.progress import Progress

MIN_REPEATS, MAX_REPEATS, REPEAT_SECONDS = 3, 15, 0.15
SHARES = {
    "rows": tuple(1 / part for part in (1, 2, 4, 8, 16, 32, 64)),
    "channels": (1.0, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125),
}


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """This machine's devices; the threads are those that the dashboard's curves are computed with."""
    import torch

    from nmfdiag.jobs.compute import devices
    from nmfdiag.jobs.queue import worker_threads

    cpu = f"{processor_name()}, {os.cpu_count()} cores"
    found = tuple(devices())
    return Machine(found, worker_threads(), tuple(cpu if d == "cpu" else torch.cuda.get_device_name(d) for d in found))


def processor_name() -> str:
    """The processor's model as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


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
    """The points of one plot: ranks from the smallest on, sizes from the whole matrix down.

    Args:
        entry: The network.
        layer: Its layer.
        kind: What the plot is over, one of :data:`KINDS`; ``"rank"`` takes each rank of the default grid alone, and for
            HALS the whole grid in one call (multiplicative updates go rank by rank).
        class_idx: The given label of the batch, or :data:`nmfdiag.jobs.requests.MULTI_CLASS`.
        per_class: Samples in the batch.
        solvers: ``"hals"``, ``"mu"`` or both.
        ranks: Ranks of the other kinds.
        devices: Devices of this machine; default is all.

    Raises:
        NmfdiagError: If the kind or layer is unknown.
    """
    from nmfdiag.factorize import default_ranks

    if kind not in KINDS:
        raise NmfdiagError(f"Unknown kind of timing {kind!r}: accepted are {', '.join(KINDS)}.")
    if layer not in entry.layers:
        raise NmfdiagError(f"Unknown layer {layer!r}: {entry.name} has {', '.join(entry.layers)}.")
    here = this_machine()
    if kind == "rank":
        cells = [("rank", k, 1.0, s) for k in default_ranks(entry.layers[layer])[:-1] for s in solvers]
        cells += [("rank", WHOLE_GRID, 1.0, "hals")] if "hals" in solvers else []
    elif kind == "convergence":
        cells = [(kind, k, 1.0, s) for k in ranks for s in solvers]
    else:  # the whole matrix is the same point on every plot
        cells = [(kind if share < 1 else "rank", k, share, s) for share in SHARES[kind] for k in ranks for s in solvers]
    return [
        RuntimeRequest(entry.name, layer, class_idx, cell, k, solver, device, here.threads, name, share, per_class)
        for cell, k, share, solver in cells
        for device, name in zip(here.devices, here.names, strict=True)
        if devices is None or device in devices
    ]


def measure(request: RuntimeRequest, *, device: str = "auto", on_progress: "Progress | None" = None) -> RuntimeResult:
    """Time one NMF call: an untimed one that compiles and warms up, then at least three.

    Args:
        request: What to time; its device counts.
        device: Not used: the queue's device.
        on_progress: Called with the share done and a few words; may raise to cancel.

    Raises:
        NmfdiagError: If the network, layer, class or device is unknown, or the layer is dead on the batch.
    """
    import torch

    from nmfdiag.factorize import default_ranks, nmf

    began, report = time.perf_counter(), on_progress or (lambda done, words: None)
    digest = lookup(request.entry).digest
    A = _part_of(_activations(digest, replace(request, kind="", rank=0, share=1.0, solver="")), request)
    full_rank = min(A.shape)
    ranks = default_ranks(full_rank)[:-1] if request.rank == WHOLE_GRID else [request.rank]
    ranks = [k for k in ranks if k < full_rank]
    words = f"{request.solver.upper()}, {f'rank {request.rank}' if request.rank else 'all ranks in one call'}"
    if request.share < 1:
        words += f", {request.share:.2g} of the {request.kind}"
    walls: list[float] = []
    cpus: list[float] = []
    traces: list[list[tuple[float, float]]] = []
    threads = torch.get_num_threads()

    def tell(done: float, _words: str) -> None:
        report(done, f"{words}, repeat {len(walls) + 1}")

    options: dict[str, Any] = {"solver": request.solver, "tol": request.tol, "seed": request.seed}
    torch.set_num_threads(request.threads)
    try:
        if ranks:
            report(0.0, f"{words}, warming up")
            nmf(A, ranks, max_iter=2, **options)
        while ranks and (len(walls) < MIN_REPEATS or (sum(walls) < REPEAT_SECONDS and len(walls) < MAX_REPEATS)):
            _wait_for(A)
            wall, cpu = time.perf_counter(), time.process_time()
            solved = nmf(A, ranks, max_iter=request.max_iter, **options, on_progress=tell)
            _wait_for(A)
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
            traces.append(_best_so_far(solved.trace[ranks[0]]))
    finally:
        torch.set_num_threads(threads)
    return RuntimeResult(
        rows=A.shape[0],
        channels=A.shape[1],
        ranks=ranks,
        wall_seconds=walls,
        cpu_seconds=cpus,
        relative_error=solved.relative_error if ranks else [],
        n_iter=solved.n_iter if ranks else [],
        converged=solved.converged if ranks else [],
        trace=_over_repeats(traces) if request.kind == "convergence" else [],
        provenance={
            **stamp(request, digest),
            "torch": torch.__version__,
            "numpy": version("numpy"),
            "device": str(A.device),
            "threads": request.threads,
            "processor": request.machine,
            "date": time.strftime("%Y-%m-%d %H:%M"),
            "seconds": round(time.perf_counter() - began, 4),
        },
    )


def _best_so_far(trace: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The least error until each moment: HALS follows several starts at once, and MU may rise by a rounding."""
    best: dict[float, float] = {}
    least = float("inf")
    for seconds, error in trace:
        least = min(least, error)
        best[seconds] = least
    return list(best.items())


def _over_repeats(traces: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float, float, float]]:
    """The same course, timed several times: median, least and most seconds of each step, and its error."""
    rows = []
    for repeats in zip(*traces, strict=False):
        seconds = [t for t, _ in repeats]
        rows.append((median(seconds), min(seconds), max(seconds), median(error for _, error in repeats)))
    return rows


@lru_cache(maxsize=1)
def _activations(digest: str, request: RuntimeRequest) -> "Tensor":
    """The layer's activation matrix, kept until another one is asked for: the points of a plot share it."""
    from nmfdiag.factorize import activation_matrix
    from nmfdiag.factorize.signed import has_negative, parts_of
    from nmfdiag.jobs.compute import probe_batch, resolve
    from nmfdiag.networks import SplitNetwork, fold

    entry, device = lookup(request.entry), resolve(request.device)
    if entry.digest != digest:
        raise NmfdiagError(f"{entry.name} was replaced while it was being read: ask again.")
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
    """A random share of the rows or channels; a smaller share is part of a larger one, and the largest one is in all of them."""
    import torch

    if request.share == 1:
        return A
    axis = 0 if request.kind == "rows" else 1
    order = torch.randperm(A.shape[axis], generator=torch.Generator().manual_seed(request.seed)).to(A.device)
    largest = int(A.square().sum(dim=1 - axis).argmax())  # so that no part is all zero
    order = torch.cat([order[order == largest], order[order != largest]])
    return A.index_select(axis, order[: max(1, round(request.share * A.shape[axis]))].sort().values).contiguous()


def _wait_for(A: "Tensor") -> None:
    """Work on a GPU goes on after the call that began it has returned."""
    import torch

    if A.device.type == "cuda":
        torch.cuda.synchronize(A.device)
