"""The memory that a factorisation takes above its matrix, measured in a separate process."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nmfdiag.bench.bench_network import Say
from nmfdiag.bench.cases import Options, cases_of, grid, load_subject, rank_text
from nmfdiag.bench.peers import OURS
from nmfdiag.bench.table import Row, Section, results_folder
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import nmf
from nmfdiag.factorize.threads import subnormals
from nmfdiag.jobs.timer import Timing, once, threads

ROWS, QUICK_ROWS = 2_500_000, 100_000
NOISE = 0.02
"""Relative noise of the tiled values."""
GIB = 2**30
WARM_ROWS = 6000
"""Rows of the untimed first factorisation."""


def memory_section(options: Options, say: Say) -> Section:
    """Factorise 2.5 million rows, as many as VGG's conv1 has for 50 images at 224, and measure the resident memory."""
    subject = load_subject(options, say)
    case = max(cases_of(subject, options.quick), key=lambda case: case.shape[0])
    A, n_rows = case.A[0].cpu(), QUICK_ROWS if options.quick else ROWS
    ranks = grid(min(A.shape), options.quick)
    name = f"memory {n_rows}x{A.shape[1]}"
    say(f"{name}: the activations of {case.layer}, tiled, in a separate process")
    path = results_folder() / "memory.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"A": A.contiguous()}, path)
    try:
        measured_run = run_in_process(path, n_rows, ranks)
    finally:
        path.unlink(missing_ok=True)
    note = (
        f"{measured_run['above'] / GIB:.2f} GiB at most above A ({measured_run['matrix'] / GIB:.2f} GiB), of which the factors are "
        f"{measured_run['factors'] / GIB:.2f}; {case.name} tiled, with {NOISE:.0%} noise"
    )
    row = Row("memory", "cpu", name, n_rows, A.shape[1], len(ranks), rank_text(ranks), OURS, note=note)
    timing = Timing((measured_run["cpu"],), (measured_run["wall"],))
    return Section(
        [replace(row, mean_relative_error=measured_run["error"], **timing.columns())],
        {
            f"GiB above A: {name}": measured_run["above"] / GIB,
            f"GiB of A and factors: {name}": (measured_run["matrix"] + measured_run["factors"]) / GIB,
        },
    )


def run_in_process(path: Path, n_rows: int, ranks: Sequence[int]) -> dict[str, float]:
    """Run :func:`child` in a fresh interpreter with one thread; returns its measurements in bytes and seconds.

    Raises:
        NmfdiagError: If it failed, for example by lack of memory.
    """
    code = "import sys; from nmfdiag.bench.peak_memory import child; child(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(path), str(n_rows), json.dumps(list(ranks))]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        last = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise NmfdiagError(f"The memory run ended with code {process.returncode}: {last}")
    measurements: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return measurements


def child(path: str, n_rows: str, ranks: str) -> None:
    """Build the large matrix in place, factorise it, and print the measurements as JSON."""
    with threads(1), subnormals(keep=False):
        tile = load_file(path)["A"]
        nmf(tile[:WARM_ROWS], [1, 2])  # so that compilation isn't measured
        A = tiled(tile, int(n_rows))
        before = resident()
        solution, cpu, wall = once(lambda: nmf(A, json.loads(ranks)))
        bytes_above = peak() - before
    factors = sum(part.nbytes for k in solution.ranks for part in solution.factors(k))
    error = float(np.mean(solution.relative_error))
    print(
        json.dumps(
            {"above": bytes_above, "matrix": A.nbytes, "factors": factors, "cpu": cpu, "wall": wall, "error": error}
        )
    )


def tiled(tile: Tensor, n_rows: int) -> Tensor:
    """Repeat a matrix (rows, channels) to (n_rows, channels), each value scaled by 1 +- :data:`NOISE`, in place."""
    A = torch.empty((n_rows, tile.shape[1]), dtype=tile.dtype)
    random = torch.Generator().manual_seed(0)
    for begin in range(0, n_rows, len(tile)):
        part = A[begin : begin + len(tile)]
        part.uniform_(1 - NOISE, 1 + NOISE, generator=random)
        part.mul_(tile[: len(part)])
    return A


def peak() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    # Not getrusage where there is a choice: on Linux its peak is inherited from the parent process.
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident() -> int:
    """Return the resident memory in bytes; the peak so far on systems that don't report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return peak()
    import resource

    return pages * resource.getpagesize()
