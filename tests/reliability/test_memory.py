"""A request that would not fit is refused before it starts; one that runs out of memory ends alone, explained, and the queue continues."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import memory_use
import process_kills
import pytest
import torch
from timeouts import CEILING, wait_until

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import default_ranks
from nmfdiag.factorize.memory import factorization_bytes
from nmfdiag.jobs import compute as compute_module
from nmfdiag.jobs import memory_limits
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.compute import compute, compute_together
from nmfdiag.jobs.memory_limits import available_bytes, curve_bytes, out_of_memory
from nmfdiag.jobs.queue import Jobs
from nmfdiag.jobs.requests import CurveRequest, SupportRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.networks.evaluation import evaluating
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.zoo.registry import lookup

GIB = 2**30
SMALL = CurveRequest("digits-mlp-p0-s0", "fc5", 0, per_class=10, grid="coarse")
LARGE = CurveRequest("digits-cnn-p0-s0", "conv1_1", 0, per_class=50)
ALLOCATORS = {
    "python": MemoryError(),
    "numpy": MemoryError("Unable to allocate 2.00 GiB for an array with shape (16384, 16384) and data type float64"),
    "torch": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4294967296 "
        "bytes. Error code 12 (Cannot allocate memory)"
    ),
    "windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4294967296 bytes."),
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
}

DIFFERENT = ("numpy", "torch")
"""Allocators in the fast suite; the others are recognised by the same code."""


def written(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\n"
VERSION_2 = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/user/me\n"}
VERSION_1 = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "9:cpu:/\n4:memory:/job/7\n0::/\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/meminfo": MEMINFO}, 8 * GIB),
        (VERSION_2 | {"sys/fs/cgroup/user/memory.max": "max", "sys/fs/cgroup/user/memory.current": "5"}, 8 * GIB),
        (
            VERSION_2 | {
                "sys/fs/cgroup/user/memory.max": str(4 * GIB), "sys/fs/cgroup/user/memory.current": str(3 * GIB),
                "sys/fs/cgroup/user/memory.stat": f"anon 5\ninactive_file {GIB}\n",
            },
            2 * GIB,
        ),
        (
            VERSION_1 | {
                "sys/fs/cgroup/memory/job/7/memory.limit_in_bytes": str(3 * GIB),
                "sys/fs/cgroup/memory/job/7/memory.usage_in_bytes": str(2 * GIB),
                "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**63 - 4096), "sys/fs/cgroup/memory/memory.usage_in_bytes": "7",
            },
            GIB,
        ),
        ({}, None),
    ],
    ids=["no group", "no limit", "version 2", "version 1", "nothing said"],
)  # fmt: skip
def test_what_is_free_is_the_least_of_what_system_and_containers_leave(
    tmp_path: Path, files: dict[str, str], expected: int | None
) -> None:
    assert available_bytes("cpu", written(tmp_path, files)) == expected
    free = available_bytes()
    assert free is None or 0 < free < 2**50


def by_another_process(target: Callable[..., None], *arguments: Any) -> list[Any]:
    """Return the report of a separate process, in the file that is its last argument; nothing else uses memory there."""
    process = process_kills.context().Process(target=target, args=arguments, daemon=True)
    process.start()
    process.join(CEILING)
    assert process.exitcode == 0
    return list(json.loads(arguments[-1].read_text()))


SHAPES = (("mu", 50_000, 64), ("pca", 100_000, 64), ("hals", 200, 2048), ("hals", 60_000, 64))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak can be reset on Linux only")
def test_the_estimate_is_what_a_factorisation_takes(tmp_path: Path) -> None:
    peaks = by_another_process(memory_use.measure_factorizations, SHAPES, tmp_path / "told")
    for (method, rows, channels), peak in zip(SHAPES, peaks, strict=True):
        options: dict[str, Any] = {"method": "pca"} if method == "pca" else {"solver": method, "n_starts": 2}
        estimate = factorization_bytes(rows, channels, default_ranks(min(rows, channels)), **options)
        assert 0.6 * peak < estimate < 2 * peak + 40 * 2**20, (method, estimate / 2**20, peak / 2**20)


def test_the_estimate_grows_with_what_it_is_asked_for() -> None:
    base = factorization_bytes(100_000, 64, [1, 8, 32])
    assert factorization_bytes(200_000, 64, [1, 8, 32]) > 1.8 * base
    assert factorization_bytes(100_000, 64, [1, 8, 32, 48]) > base and factorization_bytes(100, 64, [64]) == 0
    assert factorization_bytes(100_000, 64, [1, 8, 32], method="signed") > base
    assert factorization_bytes(100_000, 64, [64], method="random") > 100_000 * 64 * 4
    with pytest.raises(NmfdiagError, match="Unknown method"):
        factorization_bytes(10, 10, [1], method="svd")
    entry = lookup(LARGE.entry)
    network = SplitNetwork(entry.load_model(), entry.load_pool().inputs[:2])
    small, large = (curve_bytes(network, LARGE, n, default_ranks) for n in (10, 40))
    assert 2 * small < large < 5 * small


def test_what_would_not_fit_is_refused_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was begun")

    monkeypatch.setattr(memory_limits, "available_bytes", lambda device: 2 * 2**20)
    monkeypatch.setattr(compute_module, "compression_curves", never)
    with pytest.raises(NmfdiagError) as refused:
        compute(LARGE, device="cpu")
    message = str(refused.value)
    assert (
        "conv1_1 of digits-cnn-p0-s0 needs about" in message and "2 MiB are free" in message and "not begun" in message
    )
    assert "samples a batch (now 50)" in message and "coarse rank grid" in message and "deeper layer" in message


@pytest.mark.parametrize(
    "error",
    [pytest.param(e, id=name, marks=() if name in DIFFERENT else pytest.mark.soak) for name, e in ALLOCATORS.items()],
)
def test_an_allocation_that_fails_ends_its_job_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real = compute_module.compression_curves

    def sometimes(network: SplitNetwork, layer: str, *arguments: Any, **options: Any) -> Any:
        if layer == LARGE.layer:
            raise error
        return real(network, layer, *arguments, **options)

    monkeypatch.setattr(compute_module, "compression_curves", sometimes)
    message = failure_of(Jobs(CurveCache(tmp_path), "cpu"))
    assert (
        "not enough memory for conv1_1 of digits-cnn-p0-s0" in message
        and "at most 25 samples a batch (now 50)" in message
    )
    assert str(error)[:40] in message


def failure_of(queue: Jobs) -> str:
    """Return the message about the large curve; the small one after it must be computed."""
    queue.ask([SMALL], "me")
    queue.ask([LARGE], "me")  # what is asked for last comes first
    wait_until(lambda: not queue.busy([SMALL, LARGE]))
    assert list(queue.results([SMALL, LARGE])) == [SMALL]
    [message] = queue.status([SMALL, LARGE]).failed.values()
    queue.close()
    return message


def test_memory_that_runs_out_in_a_networks_own_code_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any error of a network is reported as an input that it can't take, except this one."""
    cut = SplitNetwork.cut

    def full(self: SplitNetwork, layer: str, inputs: torch.Tensor) -> Any:
        if layer == LARGE.layer:
            with evaluating(self.model, inputs):
                raise ALLOCATORS["torch"]
        return cut(self, layer, inputs)

    monkeypatch.setattr(SplitNetwork, "cut", full)
    assert "not enough memory for conv1_1" in failure_of(Jobs(CurveCache(tmp_path), "cpu"))


def test_results_of_other_kinds_are_told_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nmfdiag.jobs import cover_support

    def full(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(cover_support, "support_cover", full)
    request, queue = SupportRequest("digits-mlp-p0-s0", "fc2", 1), Jobs(CurveCache(tmp_path), "cpu")
    queue.ask([request], "me")
    wait_until(lambda: not queue.busy([request]))
    [message] = queue.status([request]).failed.values()
    assert message == "There was not enough memory for fc2 of digits-mlp-p0-s0. Take at most 10 samples a batch (now 20), or a deeper layer, which has fewer rows."  # fmt: skip
    queue.close()


def test_what_does_not_fit_together_is_computed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute several classes of a layer together, as on a GPU."""
    real, sizes = compute_module.compression_curves, []

    def together(network: SplitNetwork, layer: str, batches: list, **options: Any) -> Any:
        sizes.append(len(batches))
        if len(batches) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(network, layer, batches, **options)

    monkeypatch.setattr(compute_module, "compression_curves", together)
    requests = [CurveRequest("digits-mlp-p0-s0", "fc5", c, per_class=10, grid="coarse") for c in (0, 1, 77)]
    answers = compute_together(requests, device="cpu")
    assert sizes == [2, 1, 1, 0] and [type(answer) for answer in answers] == [
        CompressionCurve,
        CompressionCurve,
        NmfdiagError,
    ]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        *((lambda error=error: error, True) for error in ALLOCATORS.values()),
        (lambda: raised_from(NmfdiagError("it can't take inputs"), ALLOCATORS["python"]), True),
        (lambda: RuntimeError("size mismatch"), False),
        (lambda: raised_from(RuntimeError("b"), ValueError("a")), False),
        (lambda: None, False),
    ],
)
def test_errors_for_want_of_memory_are_known(make: Callable[[], Exception | None], expected: bool) -> None:
    assert out_of_memory(make()) == expected


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space is limited on Linux only")
def test_a_process_that_may_not_grow_says_so_and_goes_on(tmp_path: Path) -> None:
    refused, ran_out = by_another_process(memory_use.compute_without_memory, tmp_path / "cache", tmp_path / "told")
    assert "it was not begun" in refused and ran_out.startswith("There was not enough memory")
    assert all(
        "conv1_1 of cifar10-cnn-p0-s0" in message and "samples a batch" in message for message in (refused, ran_out)
    )
