"""Background jobs: each curve once, partial results, cancelling, failures that explain themselves."""

from pathlib import Path

import pytest
from timeouts import CEILING, wait_until

from nmfdiag.jobs import compute as compute_module
from nmfdiag.jobs import queue as queue_module
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.queue import Jobs, _Task
from nmfdiag.jobs.requests import CurveRequest, lookup, profile_requests


def wait(queue: Jobs, requests: list[CurveRequest]) -> None:
    wait_until(lambda: not queue.busy(requests))


def test_two_who_ask_share_one_computation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computations = []
    real = compute_module.compute

    def counted(request: CurveRequest, **options: object) -> object:
        computations.append(request)
        return real(request, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(compute_module, "compute", counted)
    queue = Jobs(CurveCache(tmp_path))
    requests = profile_requests(lookup("digits-mlp-p0-s0"), layers=["fc1", "fc5"], classes=[0, 1], per_class=10)
    queue.ask(requests, "one")
    queue.ask(requests, "two")
    wait(queue, requests)
    assert sorted(r.key for r in computations) == sorted(r.key for r in requests)
    assert set(queue.results(requests)) == set(requests)
    assert queue.status(requests).finished
    queue.ask(requests, "three")
    assert not queue.busy(requests)


def test_cancelling_drops_what_nobody_wants(tmp_path: Path) -> None:
    queue = Jobs(CurveCache(tmp_path))
    requests = profile_requests(lookup("digits-cnn-p1-s0"), per_class=30)  # not shipped
    with queue_module._COMPUTING:  # so that none has begun
        queue.ask(requests, "one")
        queue.ask(requests[-1:], "two")
        queue.cancel("one")
    wait(queue, requests)
    assert list(queue.results(requests)) == requests[-1:]


def test_a_failure_is_told_and_the_worker_lives(tmp_path: Path) -> None:
    queue = Jobs(CurveCache(tmp_path))
    bad = CurveRequest("digits-mlp-p0-s0", "fc77", 0)
    good = CurveRequest("digits-mlp-p0-s0", "fc5", 0, per_class=10)
    queue.ask([bad, good], "one")
    wait(queue, [bad, good])
    assert "Unknown layer 'fc77'" in next(iter(queue.status([bad, good]).failed.values()))
    assert list(queue.results([bad, good])) == [good]


def test_a_gpu_takes_the_classes_of_a_layer_along(tmp_path: Path) -> None:
    """Without a GPU at hand: what the worker takes for one, and what becomes of it."""
    queue = Jobs(CurveCache(tmp_path))
    requests = profile_requests(lookup("digits-mlp-p0-s0"), layers=["fc1", "fc2"], classes=[0, 1], per_class=10)
    nowhere = CurveRequest("digits-mlp-p0-s0", "fc1", 77, per_class=10)
    with queue._lock:
        queue._waiting = {request.key: _Task(request, {"me"}) for request in [*requests, nowhere]}
        group = queue._next(on_gpu=True)
        left = [task.request for task in queue._waiting.values()]
        queue._waiting = {}
    assert {(task.request.layer, task.request.class_idx) for task in group.values()} == {
        ("fc1", 0),
        ("fc1", 1),
        ("fc1", 77),
    }  # type: ignore[union-attr]
    assert {request.layer for request in left} == {"fc2"}
    queue._compute(group)
    assert {request.class_idx for request in queue.results(requests)} == {0, 1}
    assert "77" in queue.status([nowhere]).failed[nowhere.key]


def test_closing_stops_what_is_being_computed(tmp_path: Path) -> None:
    queue = Jobs(CurveCache(tmp_path))
    requests = profile_requests(lookup("digits-cnn-p1-s0"), per_class=50)
    queue.ask(requests, "one")
    wait_until(lambda: queue._running, pause=0.001)
    queue.close()
    queue._worker.join(CEILING)
    assert not queue._worker.is_alive() and len(queue.results(requests)) < len(requests)
