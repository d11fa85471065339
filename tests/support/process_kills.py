"""Processes that are killed in the middle of their work, for the tests of reliability and for ``benchmarks/reliability/kill.py``.

They are forked from a process that has imported everything already (``forkserver``), so that a kill hits the work and not an import.
"""

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import torch
from timeouts import CEILING, wait_until

from nmfdiag.jobs import queue as queue_module
from nmfdiag.jobs import safe_disk
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.queue import Jobs
from nmfdiag.jobs.requests import CurveRequest, profile_requests
from nmfdiag.jobs.sweep import sweep
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.monitor.run_file import RUN_FILE
from nmfdiag.monitor.run_reader import append, monitored_runs
from nmfdiag.monitor.train_watched import train_watched
from nmfdiag.zoo.recipes import recipe
from nmfdiag.zoo.registry import lookup

Target = Callable[..., None]
PLANTED = CompressionCurve(
    "conv1_1", "nmf", [1, 2], [0.5, 1.0], [0.3, 0.0], [3.0, 0.0], [True, True], 1.0, 0.0, 0.1, 2, (10, 2), 5
)  # fmt: skip
LARGE = 40_000
"""Characters of a value that is large enough to be stored in a separate file."""

# With one thread, the curves of all processes are equal to the last bit.
torch.set_num_threads(1)
queue_module.worker_threads = lambda: 1


def context() -> ForkServerContext:
    """Return the context that processes are forked from."""
    fork_context = multiprocessing.get_context("forkserver")
    fork_context.set_forkserver_preload(
        [
            "nmfdiag.jobs.sweep",
            "nmfdiag.jobs.queue",
            "nmfdiag.monitor.train_watched",
            "nmfdiag.networks.checkpoints.meta",
            "sklearn.datasets",
            "llvmlite.binding",
        ]
    )
    return fork_context


def requests(n_classes: int = 10) -> list[CurveRequest]:
    """Return five small curves a class of a shipped network."""
    return profile_requests(lookup("digits-mlp-p0-s0"), classes=range(n_classes), per_class=10, grid="coarse")


def reference_curves(requests: list[CurveRequest], folder: Path) -> dict[str, CompressionCurve]:
    """Return the curves, by key, of a process that is not killed."""
    answers = dict(sweep(requests, CurveCache(folder), device="cpu"))
    return {request.key: curve for request, curve in answers.items() if isinstance(curve, CompressionCurve)}


def sweep_curves(folder: Path, key_file: Path, n_classes: int = 10) -> None:
    """Compute as the command line does; note each key once its curve is stored."""
    for request, _ in sweep(requests(n_classes), CurveCache(folder), device="cpu"):
        append_key(key_file, request.key)


def queue_curves(folder: Path, key_file: Path, n_classes: int = 10) -> None:
    """Compute as the dashboard does."""
    queue, curve_requests, known_keys = Jobs(CurveCache(folder), "cpu"), requests(n_classes), set[str]()
    queue.ask(curve_requests, "me")
    while True:
        busy, keys = queue.busy(curve_requests), {request.key for request in queue.results(curve_requests)}
        for key in keys - known_keys:
            append_key(key_file, key)
        known_keys |= keys
        if not busy:
            return
        time.sleep(0.01)


def put_large_values(folder: Path, key_file: Path) -> None:
    """Write results that are stored in separate files, again and again."""
    cache = CurveCache(folder)
    for i in range(100_000):
        cache.put(f"large-{i % 20}", large_curve(i))
        append_key(key_file, f"large-{i % 20}")


def large_curve(i: int) -> CompressionCurve:
    return replace(PLANTED, n_samples=i + 1, provenance={"note": str(i) * (LARGE // len(str(i)))})


def train_run(folder: Path) -> None:
    """Train a small network with a monitor."""
    small = replace(recipe("digits-mlp-p0.4-s0"), n_train=200, max_epochs=200, arch_options={"width": 32, "depth": 3})
    train_watched(small, folder)


def hold_lock(folder: Path, ready: Path) -> None:
    """Begin a transaction and never end it."""
    connection = sqlite3.connect(folder / "cache.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    ready.touch()
    time.sleep(600)


def write_values(folder: Path, start: int, go: Path) -> None:
    """Write forty results, half of them in separate files, over those of the other processes."""
    go.with_suffix(f".{start}").touch()
    wait_until(go.exists, pause=0.001)
    cache = CurveCache(folder)
    for i in range(start, start + 40):
        cache.put(f"k{i % 50}", large_curve(i % 50) if i % 2 else PLANTED)
        assert cache.get(f"k{i % 50}") in (large_curve(i % 50), PLANTED), i
    assert cache.notice in ("", cache._moved), cache.notice


def fill_disk(folder: Path, notice_file: Path, max_bytes: int | None) -> None:
    """Write five hundred results to a disk that is soon full, or with a limit on the size of files; write the cache's notice."""
    cache = CurveCache(folder)
    if max_bytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
    curves = {f"k{i}": large_curve(i) for i in range(100)} | {f"s{i}": PLANTED for i in range(400)}
    for key, curve in curves.items():
        cache.put(key, curve)
    assert cache.get_many(curves) == curves, "a result is lost"
    notice_file.write_text(cache.notice)


def append_key(key_file: Path, key: str) -> None:
    key_file.parent.mkdir(exist_ok=True)
    with key_file.open("a") as file:
        file.write(key + "\n")


def kill(target: Target, *arguments: Path | int, after: float, ready: Callable[[], bool] = lambda: True) -> bool:
    """Start a process, kill it ``after`` seconds once ``ready`` is true, and return whether it was still working."""
    process: ForkServerProcess = context().Process(target=target, args=arguments, daemon=True)
    process.start()
    wait_until(lambda: ready() or not process.is_alive(), pause=0.002)
    process.join(after)
    alive = process.is_alive()
    if alive:
        os.kill(process.pid or 0, signal.SIGKILL)
    process.join(CEILING)
    assert process.exitcode in (-signal.SIGKILL, 0), f"it ended without a kill, with code {process.exitcode}"
    return alive


def has_lines(path: Path, n: int) -> Callable[[], bool]:
    """Return a check that a file exists and has more than n lines."""
    return lambda: path.exists() and path.read_bytes().count(b"\n") > n


def finished_keys(key_folder: Path) -> set[str]:
    """Return the keys that processes have noted in the files of a folder."""
    return {key for path in key_folder.glob("*") for key in path.read_text().split("\n")[:-1]}


def same_curve(first: CompressionCurve, second: CompressionCurve) -> bool:
    """Return whether two curves are equal apart from their provenance."""
    return replace(first, provenance={}) == replace(second, provenance={})


def check_after_kill(
    folder: Path, key_folder: Path, fresh: dict[str, CompressionCurve], other_keys: Collection[str] = ()
) -> int:
    """Check a cache after a kill, and return its number of curves; results of other kinds may be in it, too."""
    cache = CurveCache(folder)
    assert cache.notice == "", cache.notice
    report = cache.verify()
    assert report.sound, report
    stored = cache.get_many([*fresh, *other_keys])
    assert len(stored) == report.rows
    curves = {key: curve for key, curve in stored.items() if key in fresh}
    for key, curve in curves.items():
        assert same_curve(curve, fresh[key]), key
    assert finished_keys(key_folder) <= set(stored), "a finished curve is missing"
    cache.close()
    return len(curves)


def check_large_after_kill(folder: Path, key_folder: Path) -> int:
    """Check that no value is wrong and that files without a row are removed; return how many there were."""
    cache = CurveCache(folder)
    age, safe_disk.ORPHAN_SECONDS = safe_disk.ORPHAN_SECONDS, 0
    try:
        time.sleep(0.01)
        report = cache.verify(mend=True)
        assert report.sound, report
        assert cache.verify().orphans == 0
    finally:
        safe_disk.ORPHAN_SECONDS = age
    names = finished_keys(key_folder)
    stored = cache.get_many(names)
    assert set(stored) == names
    for key, curve in stored.items():
        assert curve == large_curve(curve.n_samples - 1) and (curve.n_samples - 1) % 20 == int(key.split("-")[1])
    assert len(list(folder.glob("??/??/*.val"))) == report.rows
    cache.close()
    return report.orphans


def check_run_after_kill(folder: Path) -> int:
    """Check that a killed run is readable, unfinished and can be continued; return its number of epochs."""
    runs, problems = monitored_runs(folder)
    assert problems == [] and runs, problems
    newest = next(run for run in runs if run.path.name == RUN_FILE)
    assert not newest.run.finished and newest.run.stopped == ""
    epochs = newest.run.series("epoch")
    assert epochs == list(range(1, len(epochs) + 1))
    append(newest.path, {"stopped": "killed"})
    reread = next(run for run in monitored_runs(folder)[0] if run.path == newest.path)
    assert reread.run.stopped == "killed" and reread.run.epochs == newest.run.epochs
    assert newest.path.read_bytes().endswith(b"\n")
    return len(epochs)


def random_seconds(longest: float) -> float:
    """Return a random number of seconds up to ``longest``, more often a short one."""
    return longest * random.random() ** 2
