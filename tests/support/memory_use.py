"""Programs that measure memory in a separate process, for the tests of reliability; each writes its results into a file of JSON."""

import ctypes
import gc
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from nmfdiag.bench.peak_memory import peak, resident
from nmfdiag.factorize import default_ranks, nmf, pca
from nmfdiag.jobs import compute as module
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.queue import Jobs
from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest
from nmfdiag.zoo.registry import lookup

torch.set_num_threads(1)


def measure_factorizations(shapes: Sequence[tuple[str, int, int]], result_file: Path) -> None:
    """Write the peak memory of factorisations of these shapes, above the memory before."""
    A, peaks = torch.rand(3000, 64), []
    nmf(A, [2, 3], max_iter=3), pca(A, [2])
    for method, rows, channels in shapes:
        A, increases = torch.rand(rows, channels), []
        for _ in range(2):  # the first may read libraries into memory
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
            before, ranks = resident(), default_ranks(min(A.shape))
            pca(A, ranks) if method == "pca" else nmf(A, ranks, n_starts=2, max_iter=2, solver=method)
            increases.append(peak() - before)
        peaks.append(min(increases))
    result_file.write_text(json.dumps(peaks))


def compute_without_memory(folder: Path, result_file: Path) -> None:
    """Request a small curve and a large one, twice; write the messages about the large one."""
    import resource

    threading.stack_size(2**20)
    large = CurveRequest("cifar10-cnn-p0-s0", "conv1_1", MULTI_CLASS, per_class=500)
    small = [CurveRequest("digits-mlp-p0-s0", "fc5", c, per_class=10, grid="coarse") for c in range(3)]
    module.compute(small.pop(), device="cpu")
    module.loaded(lookup(large.entry), "cpu")
    queue, messages = Jobs(CurveCache(folder), "cpu"), list[str]()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 48 * 2**20, -1))
    for request in small:
        queue.ask([request], "me")
        queue.ask([large], "me")
        while queue.busy([request, large]):
            time.sleep(0.02)
        assert list(queue.results([request, large])) == [request]
        messages += queue.status([request, large]).failed.values()
        module.check_memory = lambda *_: None  # the second time, the computation starts
    queue.close()
    result_file.write_text(json.dumps(messages))
