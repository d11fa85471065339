"""How much memory a factorisation takes above its matrix: measured in a process of its own."""

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
from nmfdiag.bench.cases import Options, cases, grid, subject, words
from nmfdiag.bench.peers import OURS
from nmfdiag.bench.table import Row, Section, kept_folder
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import nmf
from nmfdiag.factorize.threads import subnormals
from nmfdiag.jobs.timer import Timing, once, threads

ROWS, QUICK_ROWS = 2_500_000, 100_000
NOISE = 0.02
GIB = 2**30
WARM_ROWS = 6000


def memory_section(options: Options, say: Say) -> Section:
    """Factorise 2.5 million rows, as many as VGG's conv1 has for 50 images at 224, and watch the resident memory."""
    of = subject(options, say)
    case = max(cases(of, options.quick), key=lambda case: case.shape[0])
    A, n_rows = case.A[0].cpu(), QUICK_ROWS if options.quick else ROWS
    ranks = grid(min(A.shape), options.quick)
    name = f"memory {n_rows}x{A.shape[1]}"
    say(f"{name}: the activations of {case.layer}, tiled, in a process of its own")
    path = kept_folder() / "memory.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"A": A.contiguous()}, path)
    try:
        found = in_a_process(path, n_rows, ranks)
    finally:
        path.unlink(missing_ok=True)
    note = (
        f"{found['above'] / GIB:.2f} GiB at most above A ({found['matrix'] / GIB:.2f} GiB), of which the factors are "
        f"{found['factors'] / GIB:.2f}; {case.name} tiled, with {NOISE:.0%} noise"
    )
    row = Row("memory", "cpu", name, n_rows, A.shape[1], len(ranks), words(ranks), OURS, note=note)
    timing = Timing((found["cpu"],), (found["wall"],))
    return Section(
        [replace(row, mean_relative_error=found["error"], **timing.columns())],
        {
            f"GiB above A: {name}": found["above"] / GIB,
            f"GiB of A and factors: {name}": (found["matrix"] + found["factors"]) / GIB,
        },
    )


def in_a_process(path: Path, n_rows: int, ranks: Sequence[int]) -> dict[str, float]:
    """Run :func:`child` in a fresh interpreter with one thread; returns what it measured (bytes and seconds).

    Raises:
        NmfdiagError: If it failed, such as for want of memory.
    """
    code = "import sys; from nmfdiag.bench.peak_memory import child; child(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(path), str(n_rows), json.dumps(list(ranks))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise NmfdiagError(f"The memory run ended with code {done.returncode}: {last}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(path: str, n_rows: str, ranks: str) -> None:
    """Build the large matrix in place, factorise it, and print the measurements as JSON."""
    with threads(1), subnormals(keep=False):
        tile = load_file(path)["A"]
        nmf(tile[:WARM_ROWS], [1, 2])  # code and compiler are no part of what is measured
        A = tiled(tile, int(n_rows))
        before = resident()
        solved, cpu, wall = once(lambda: nmf(A, json.loads(ranks)))
        above = peak() - before
    factors = sum(part.nbytes for k in solved.ranks for part in solved.factors(k))
    error = float(np.mean(solved.relative_error))
    print(
        json.dumps({"above": above, "matrix": A.nbytes, "factors": factors, "cpu": cpu, "wall": wall, "error": error})
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
    """Largest resident memory that this process has had, bytes."""
    # Not getrusage where there is a choice: on Linux its peak is inherited from the parent process.
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident() -> int:
    """Resident memory now, bytes; where the system does not say, the largest there has been."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return peak()
    import resource

    return pages * resource.getpagesize()
