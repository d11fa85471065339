"""Processes that are killed in the middle of their work, for the tests of reliability and for ``benchmarks/reliability/kill.py``.

They are forked from a process that has imported everything already (``forkserver``), so that a kill hits the work and not an import.
"""

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
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
"""Characters that make a value so large that it lies in a file of its own."""

# One thread everywhere: the curves of all processes are then the same to the last bit.
torch.set_num_threads(1)
queue_module.worker_threads = lambda: 1


def context() -> ForkServerContext:
    """Where the processes come from."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(
        [
            "nmfdiag.jobs.sweep",
            "nmfdiag.jobs.queue",
            "nmfdiag.monitor.train_watched",
            "nmfdiag.networks.checkpoints.meta",
            "sklearn.datasets",
            "llvmlite.binding",
        ]
    )
    return found


def requests(n_classes: int = 10) -> list[CurveRequest]:
    """Five small curves a class of a shipped network."""
    return profile_requests(lookup("digits-mlp-p0-s0"), classes=range(n_classes), per_class=10, grid="coarse")


def undisturbed(requests: list[CurveRequest], folder: Path) -> dict[str, CompressionCurve]:
    """What a process answers that nobody kills."""
    answers = dict(sweep(requests, CurveCache(folder), device="cpu"))
    return {request.key: curve for request, curve in answers.items() if isinstance(curve, CompressionCurve)}


def sweep_all(folder: Path, told: Path, n_classes: int = 10) -> None:
    """The command line's way; each key is told once its curve has been kept."""
    for request, _ in sweep(requests(n_classes), CurveCache(folder), device="cpu"):
        tell(told, request.key)


def queue_all(folder: Path, told: Path, n_classes: int = 10) -> None:
    """The dashboard's way."""
    queue, wanted, seen = Jobs(CurveCache(folder), "cpu"), requests(n_classes), set[str]()
    queue.ask(wanted, "me")
    while True:
        busy, found = queue.busy(wanted), {request.key for request in queue.results(wanted)}
        for key in found - seen:
            tell(told, key)
        seen |= found
        if not busy:
            return
        time.sleep(0.01)


def keep_large(folder: Path, told: Path) -> None:
    """Results that lie in files of their own, written over and over."""
    cache = CurveCache(folder)
    for i in range(100_000):
        cache.put(f"large-{i % 20}", large(i))
        tell(told, f"large-{i % 20}")


def large(i: int) -> CompressionCurve:
    return replace(PLANTED, n_samples=i + 1, provenance={"note": str(i) * (LARGE // len(str(i)))})


def train(folder: Path) -> None:
    """A small network, watched."""
    small = replace(recipe("digits-mlp-p0.4-s0"), n_train=200, max_epochs=200, arch_options={"width": 32, "depth": 3})
    train_watched(small, folder)


def hold(folder: Path, ready: Path) -> None:
    """Begin to write, and never end."""
    connection = sqlite3.connect(folder / "cache.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    ready.touch()
    time.sleep(600)


def write_many(folder: Path, start: int, go: Path) -> None:
    """Forty results, half of them in files of their own, over those of the other processes."""
    go.with_suffix(f".{start}").touch()
    wait_until(go.exists, pause=0.001)
    cache = CurveCache(folder)
    for i in range(start, start + 40):
        cache.put(f"k{i % 50}", large(i % 50) if i % 2 else PLANTED)
        assert cache.get(f"k{i % 50}") in (large(i % 50), PLANTED), i
    assert cache.notice in ("", cache._moved), cache.notice


def fill(folder: Path, told: Path, most: int | None) -> None:
    """Five hundred results where the disk is soon full, or, with that limit, files may not grow; tells the notice."""
    cache = CurveCache(folder)
    if most is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    curves = {f"k{i}": large(i) for i in range(100)} | {f"s{i}": PLANTED for i in range(400)}
    for key, curve in curves.items():
        cache.put(key, curve)
    assert cache.get_many(curves) == curves, "a result is lost"
    told.write_text(cache.notice)


def tell(told: Path, key: str) -> None:
    told.parent.mkdir(exist_ok=True)
    with told.open("a") as file:
        file.write(key + "\n")


def killed(target: Target, *arguments: Path | int, after: float, ready: Callable[[], bool] = lambda: True) -> bool:
    """Start a process and kill it so many seconds after ``ready`` has become true; whether it was still working."""
    process: ForkServerProcess = context().Process(target=target, args=arguments, daemon=True)
    process.start()
    wait_until(lambda: ready() or not process.is_alive(), pause=0.002)
    process.join(after)
    alive = process.is_alive()
    if alive:
        os.kill(process.pid or 0, signal.SIGKILL)
    process.join(CEILING)
    assert process.exitcode in (-signal.SIGKILL, 0), f"it ended by itself, with code {process.exitcode}"
    return alive


def has_lines(path: Path, n: int) -> Callable[[], bool]:
    """Whether a file is there and has more lines than that."""
    return lambda: path.exists() and path.read_bytes().count(b"\n") > n


def finished(told: Path) -> set[str]:
    """What processes have told in the files of a folder to have finished."""
    return {key for path in told.glob("*") for key in path.read_text().split("\n")[:-1]}


def same(one: CompressionCurve, other: CompressionCurve) -> bool:
    """Whether two curves say the same, wherever and whenever they were computed."""
    return replace(one, provenance={}) == replace(other, provenance={})


def check_after_kill(folder: Path, told: Path, fresh: dict[str, CompressionCurve]) -> int:
    """What must hold of a cache after a kill; returns how many curves are there."""
    cache = CurveCache(folder)
    assert cache.notice == "", cache.notice
    found = cache.verify()
    assert found.sound, found
    stored = cache.get_many(fresh)
    assert len(stored) == found.rows
    for key, curve in stored.items():
        assert same(curve, fresh[key]), key
    assert finished(told) <= set(stored), "a finished curve is missing"
    cache.close()
    return len(stored)


def check_large_after_kill(folder: Path, told: Path) -> int:
    """No value is wrong, and files without a row are swept; returns how many there were."""
    cache = CurveCache(folder)
    age, safe_disk.ORPHAN_SECONDS = safe_disk.ORPHAN_SECONDS, 0
    try:
        time.sleep(0.01)
        found = cache.verify(mend=True)
        assert found.sound, found
        assert cache.verify().orphans == 0
    finally:
        safe_disk.ORPHAN_SECONDS = age
    names = finished(told)
    stored = cache.get_many(names)
    assert set(stored) == names
    for key, curve in stored.items():
        assert curve == large(curve.n_samples - 1) and (curve.n_samples - 1) % 20 == int(key.split("-")[1])
    assert len(list(folder.glob("??/??/*.val"))) == found.rows
    cache.close()
    return found.orphans


def check_run_after_kill(folder: Path) -> int:
    """A killed run is readable, unfinished and can be written on; returns its epochs."""
    found, problems = monitored_runs(folder)
    assert problems == [] and found, problems
    newest = next(each for each in found if each.path.name == RUN_FILE)
    assert not newest.run.finished and newest.run.stopped == ""
    epochs = newest.run.series("epoch")
    assert epochs == list(range(1, len(epochs) + 1))
    append(newest.path, {"stopped": "killed"})
    again = next(each for each in monitored_runs(folder)[0] if each.path == newest.path)
    assert again.run.stopped == "killed" and again.run.epochs == newest.run.epochs
    assert newest.path.read_bytes().endswith(b"\n")
    return len(epochs)


def moment(most: float) -> float:
    """A random number of seconds; short ones are as likely as long ones."""
    return most * random.random() ** 2
