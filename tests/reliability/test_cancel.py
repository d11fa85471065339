"""Cancelling takes effect at the next report of progress, whatever the worker does, and a server ends when it is asked to."""

import asyncio
import signal
import time
from pathlib import Path

import process_kills
import pytest
import server_restarts
import visitors
from dashboard_server import serve
from timeouts import CEILING, wait_until

from nmfdiag.jobs import compute
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.queue import CLOSING_SECONDS, Jobs
from nmfdiag.jobs.requests import CurveRequest

PATIENCE, CLOSING = 2.0, 5.0
"""Seconds of the processor from the click to the end of what is computed, and of the clock for a queue that is closed."""
LAYER = ("cifar10-cnn-p0-s0", "conv1_1", 1)
STAGES = [
    ("loading", "nmf", "compress"), ("activations", "pca", "compress"), ("iteration", "nmf", "compress"),
    ("accuracy at rank", "nmf", "compress"), ("accuracy at rank", "random", "ablate"),
]  # fmt: skip


class Cancelling(Jobs):
    """A queue whose reader cancels at the moment when the worker reports a stage; it records the reports."""

    def __init__(self, folder: Path, stage: str):
        self.stage, self.reports = stage, list[str]()
        super().__init__(CurveCache(folder), "cpu")

    @property
    def _activity(self) -> str:
        return self.reports[-1] if self.reports else ""

    @_activity.setter
    def _activity(self, text: str) -> None:
        self.reports.append(text)
        if self.stage in text:
            self.used = time.process_time()
            self.cancel("me")


def cancelled_at(folder: Path, stage: str, method: str, operation: str) -> float:
    """Cancel at a stage; return the CPU seconds until the worker stopped."""
    compute._loaded.clear()  # so that the network is loaded
    queue = Cancelling(folder, stage)
    request = CurveRequest(*LAYER, method=method, per_class=50, operation=operation)
    queue.ask([request], "me")
    wait_until(lambda: not queue.busy([request]), pause=0.001)
    spent = time.process_time() - queue.used
    assert stage in queue.reports[-1]  # it has reported nothing after that
    assert queue.results([request]) == {} and queue.status([request]).failed == {}
    queue.close()
    return spent


@pytest.mark.parametrize(("stage", "method", "operation"), STAGES)
def test_cancel_is_heard_at_every_stage(tmp_path: Path, stage: str, method: str, operation: str) -> None:
    cancelled_at(tmp_path, stage, method, operation)


@pytest.mark.soak
@pytest.mark.parametrize(("stage", "method", "operation"), STAGES)
def test_cancel_is_heard_soon(tmp_path: Path, stage: str, method: str, operation: str) -> None:
    assert min(cancelled_at(tmp_path / str(i), stage, method, operation) for i in range(3)) < PATIENCE


def test_a_server_that_computes_ends_when_it_is_told_to(tmp_path: Path) -> None:
    results = tmp_path / "kept"
    with serve(
        tmp_path, server_restarts.REPRODUCIBLE | {visitors.STORED_KEY_FILE_VARIABLE: str(results)}, visitors.PROGRAM
    ) as (base, process):
        reader = server_restarts.Reader(base, server_restarts.reader_choice())
        was_killed = server_restarts.follow_until_killed(
            reader, process, process_kills.has_lines(results, 0), 0, signal.SIGTERM
        )
        assert asyncio.run(was_killed)
        code = process.wait(CEILING)
    assert code in (0, -signal.SIGTERM), code
    assert CLOSING_SECONDS < CLOSING  # what is being computed is not waited for any longer
    assert "Traceback" not in (tmp_path / "server.log").read_text()
    verification = CurveCache(tmp_path).verify()
    assert verification.sound and verification.rows >= 1 and not list(tmp_path.glob("damaged-*"))


def test_a_queue_that_is_closed_leaves_no_half_result(tmp_path: Path) -> None:
    queue, requests = Jobs(CurveCache(tmp_path), "cpu"), process_kills.requests()
    queue.ask(requests, "me")
    wait_until(lambda: len(queue.results(requests)) >= 3)
    queue.close()
    queue._worker.join(CEILING)
    assert not queue._worker.is_alive() and not queue.busy(requests)
    verification = CurveCache(tmp_path).verify()
    assert verification.sound and verification.rows >= 3
