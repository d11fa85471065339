"""Dask's workers: what they have is checked before they compute, and every way in which they fail is a sentence."""

import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import dask_cluster
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.requests import CurveRequest, stamp
from nmfdiag.jobs.sweep import sweep
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.zoo.registry import lookup

REQUEST = CurveRequest("digits-mlp-p1-s0", "fc1", 0, per_class=5, grid="coarse")
EXPECTED = stamp(REQUEST, lookup(REQUEST.entry).digest)


@pytest.mark.parametrize(
    ("asked_for", "reason"),
    [
        ({"nmfdiag": "0.0.1"}, "It has nmfdiag .*, expected 0.0.1"),
        ({"content": "0" * 64}, "Its network digits-mlp-p1-s0 is another one"),
        ({"schema": -1}, "computes other curves"),
        ({"key": "0" * 64}, "computes other curves"),
    ],
)
def test_a_worker_refuses_before_it_computes(
    asked_for: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmfdiag.jobs.compute.compute", lambda *_, **__: pytest.fail("it computed"))
    answer = dask_cluster.checked_record(asdict(REQUEST), EXPECTED | asked_for, "cpu")
    with pytest.raises(NmfdiagError, match=reason):
        raise NmfdiagError(answer["error"])


def test_whatever_a_worker_raises_goes_back_as_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("of a library")

    monkeypatch.setattr("nmfdiag.jobs.compute.compute", fails)
    assert dask_cluster.checked_record(asdict(REQUEST), EXPECTED, "cpu") == {"error": "ZeroDivisionError: of a library"}


@pytest.mark.parametrize("address", ["", "tcp://", "tcp://h", "tcp://h:0", "tcp://h:99999", "tcp://[::1", "tls://h:1", "u@h:1", "tcp://u@h:1", "tcp://h:1/x", "slurm"])  # fmt: skip
def test_an_address_that_is_none_is_told_at_once(address: str, tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match="Unknown scheduler"):
        list(sweep([REQUEST], CurveCache(tmp_path), scheduler=address))


def test_what_is_sent_needs_no_module_of_ours() -> None:
    pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    sent = pickle.dumps(dask_cluster._ByValue(dask_cluster.answer_on_worker))
    code = "import pickle, sys; sys.modules['nmfdiag'] = None; print(pickle.load(sys.stdin.buffer).__name__)"
    process = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    assert process.stdout.split() == [b"answer_on_worker"]


class Lost:
    """A future of a task that could not be finished."""

    def __init__(self, error: Exception):
        self.error = error

    def result(self, timeout: float) -> Any:
        raise self.error


def test_a_task_that_kills_its_workers_is_an_answer() -> None:
    killed = type("KilledWorker", (Exception,), {})("task, worker")
    for error, reason in ((killed, "have died"), (ValueError("odd\nlines"), "ValueError: odd")):
        answer = dask_cluster._curve("key", REQUEST, Lost(error))  # type: ignore[arg-type]
        assert isinstance(answer, NmfdiagError) and reason in str(answer) and "lines" not in str(answer)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Start a scheduler in this process, without a worker at first."""
    distributed = pytest.importorskip("dask.distributed", reason="dask[distributed] is not installed")
    with distributed.LocalCluster(
        n_workers=0, processes=False, threads_per_worker=1, dashboard_address=None, protocol="tcp"
    ) as started:
        yield started


def test_a_scheduler_without_a_worker_is_told(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(dask_cluster, "POLL_SECONDS", 0.05)
    with pytest.raises(NmfdiagError, match="has no worker; not computed: 1 curve\\."):
        list(sweep([REQUEST], CurveCache(tmp_path), scheduler=cluster.scheduler_address))


def test_a_worker_with_another_network_is_refused_and_nothing_is_kept(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.scale(1)
    main, true = threading.current_thread(), dask_cluster.lookup

    def network(name: str) -> Any:
        entry = true(name)
        return entry if threading.current_thread() is main else replace(entry, sha256={**entry.sha256, "weights": "0"})

    cache, address = CurveCache(tmp_path), cluster.scheduler_address
    with monkeypatch.context() as patch:
        patch.setattr(dask_cluster, "lookup", network)
        [(_, answer)] = sweep([REQUEST], cache, scheduler=address)
    assert isinstance(answer, NmfdiagError) and "Its network digits-mlp-p1-s0 is another one" in str(answer)
    assert cache.get(REQUEST.key) is None
    with monkeypatch.context() as patch:
        patch.delattr(dask_cluster, "checked_record")  # as in another version, or without the package
        [(_, answer)] = sweep([REQUEST], cache, scheduler=address)
    assert "can't load nmfdiag" in str(answer)
    [(_, curve)] = sweep([REQUEST], cache, scheduler=address)
    assert isinstance(curve, CompressionCurve) and cache.get(REQUEST.key) == curve
    assert curve.provenance["content"] == lookup(REQUEST.entry).digest
