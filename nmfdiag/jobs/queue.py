"""Background work: one worker thread per device, one result at a time, each computed once however many request it."""

import atexit
import gc
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar

from nmfdiag.errors import Cancelled, NmfdiagError
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.memory_limits import memory_message, out_of_memory, release_memory
from nmfdiag.jobs.requests import CurveRequest, Request, RuntimeRequest, SupportRequest, SuspectsRequest, keys_of
from nmfdiag.jobs.shipped_results import shipped_curves

CLOSING_SECONDS = 3
"""Seconds to wait for the worker when a queue is closed."""
_COMPUTING = threading.Lock()
"""Lock of all queues of the process: memory and time of a computation are known only if it runs alone."""
R = TypeVar("R", CurveRequest, RuntimeRequest, SupportRequest, SuspectsRequest)

COMPUTED_BY = {
    "CurveRequest": ("nmfdiag.jobs.compute", "compute"),
    "RuntimeRequest": ("nmfdiag.jobs.time_nmf", "measure"),
    "SupportRequest": ("nmfdiag.jobs.cover_support", "cover"),
    "SuspectsRequest": ("nmfdiag.jobs.score_labels", "score"),
}
"""Module and function that answer a type of request. By name: only the worker imports them, because they import torch, and a
request is recognised even after Streamlit has reloaded its edited module."""


@dataclass
class _Task:
    """A requested result; it is dropped when its last owner cancels."""

    request: Request
    owners: set[str]
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Status:
    """Progress of a list of requests.

    ``running`` describes the one that is being computed; empty if none is. ``share`` is how much of that one is done, in [0, 1].
    """

    done: int
    total: int
    running: str
    failed: dict[str, str]
    share: float = 0.0

    @property
    def finished(self) -> bool:
        return self.done + len(self.failed) >= self.total


class Jobs:
    """The queue of one device. Requesting is cheap and never blocks on a computation.

    The last request is computed first. Results go to the cache one by one: a killed process resumes where it was.
    """

    def __init__(self, cache: CurveCache, device: str = "auto"):
        self.cache = cache
        self.device = device
        self._lock = threading.Condition()
        self._waiting: dict[str, _Task] = {}
        self._running: dict[str, _Task] = {}
        self._activity, self._share = "", 0.0
        self._failed: dict[str, str] = {}
        self._computed_again: set[str] = set()
        self._closed = False
        self._worker = threading.Thread(target=self._work, name=f"nmfdiag-{device}", daemon=True)
        self._worker.start()
        atexit.register(self._at_exit)

    def close(self) -> None:
        """Drop what is queued, stop what is being computed, and end the worker, waiting for it for at most :data:`CLOSING_SECONDS`."""
        with self._lock:
            self._closed, self._waiting = True, {}
            for task in self._running.values():
                task.stop.set()
            self._lock.notify_all()
        self._worker.join(CLOSING_SECONDS)
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        """Close before the interpreter ends: a thread that still computes then would crash the process."""
        self.close()
        self.cache.close()
        gc.freeze()  # a last collection of all of torch's objects would take seconds, for nothing

    def ask(self, requests: Iterable[Request], owner: str) -> None:
        """Queue what is not cached yet, ahead of the rest; forget earlier failures of the same requests."""
        requests = list(requests)
        requests_by_key = dict(zip(keys_of(requests), requests, strict=True))
        cached = self._finished(requests_by_key)
        with self._lock:
            queued: dict[str, _Task] = {}
            for key, request in requests_by_key.items():
                if key in cached:
                    continue
                self._failed.pop(key, None)
                if key in self._running and not self._running[key].stop.is_set():
                    self._running[key].owners.add(owner)
                    continue
                task = self._waiting.pop(key, None) or _Task(request, set())
                task.owners.add(owner)
                queued[key] = task
            self._waiting = queued | self._waiting
            self._lock.notify_all()

    def cancel(self, owner: str) -> None:
        """Withdraw an owner: results that no other owner waits for are dropped, and stopped if they are being computed."""
        with self._lock:
            for task in [*self._waiting.values(), *self._running.values()]:
                task.owners.discard(owner)
            self._waiting = {key: task for key, task in self._waiting.items() if task.owners}
            for task in self._running.values():
                if not task.owners:
                    task.stop.set()

    def status(self, requests: Iterable[Request]) -> Status:
        """Return the progress of these requests; one that is neither cached, failed, queued nor running was cancelled or never queued."""
        keys = keys_of(requests)
        with self._lock:
            pending = self._waiting.keys() | self._running.keys()
            failed = {key: self._failed[key] for key in keys if key in self._failed}
            is_running = any(key in self._running for key in keys)
            running, share = (self._activity, self._share) if is_running else ("", 0.0)
            left = sum(key in pending for key in keys)
        return Status(len(keys) - left - len(failed), len(keys), running, failed, share)

    def busy(self, requests: Iterable[Request]) -> bool:
        """Return whether any of these is queued or being computed."""
        keys = set(keys_of(requests))
        with self._lock:
            return bool(keys & (self._waiting.keys() | self._running.keys()))

    def results(self, requests: Iterable[R]) -> dict[R, Any]:
        """Return the finished results."""
        requests = list(requests)
        by_key = dict(zip(keys_of(requests), requests, strict=True))
        finished = self._finished(by_key)
        return {request: finished[key] for key, request in by_key.items() if key in finished}

    def compute_again(self, requests: Iterable[Request], owner: str) -> None:
        """Drop results, those that came with nmfdiag too, and queue their requests."""
        requests = list(requests)
        keys = keys_of(requests)
        self._computed_again.update(keys)
        self.cache.drop(keys)
        self.ask(requests, owner)

    def _finished(self, by_key: dict[str, Any]) -> dict[str, Any]:
        """Return results by key: from the cache, else those that came with nmfdiag."""
        results = self.cache.get_many(by_key)
        missing = {k: request for k, request in by_key.items() if k not in results and k not in self._computed_again}
        return results | shipped_curves(missing) if missing else results

    def _work(self) -> None:
        on_gpu = None
        while True:
            with self._lock:
                while not self._waiting and not self._closed:
                    self._lock.wait()
                if self._closed:
                    return
            try:
                if on_gpu is None:
                    _limit_threads()
                    on_gpu = import_module("nmfdiag.jobs.compute").resolve(self.device) != "cpu"
            except Exception:  # the computation reports it too
                on_gpu = False
            with _COMPUTING:
                self._work_on(on_gpu)

    def _work_on(self, on_gpu: bool) -> None:
        """Compute the next task."""
        with self._lock:
            group = self._next(on_gpu)
            self._running = group
        short_of_memory = False
        try:
            self._compute(group)
        except Cancelled:
            pass
        except Exception as error:
            short_of_memory = out_of_memory(error)
            with self._lock:
                self._failed |= {key: _error_text(error, task.request, self.device) for key, task in group.items()}
        finally:
            with self._lock:
                self._running = {}
        if short_of_memory:  # only now the error is gone, which referred to the computed values
            release_memory()

    def _next(self, on_gpu: bool) -> dict[str, _Task]:
        """Take the next task from the queue; for a GPU with the same curve's other classes, which it computes in one call."""
        if not self._waiting:  # cancelled meanwhile
            return {}
        first, task = next(iter(self._waiting.items()))
        group = {first: task}
        if on_gpu and isinstance(task.request, CurveRequest):
            alike = task.request.alike
            group |= {
                key: waiting
                for key, waiting in self._waiting.items()
                if isinstance(waiting.request, CurveRequest) and waiting.request.alike == alike
            }
        for key in group:
            del self._waiting[key]
        self._activity, self._share = f"{task.request.layer} of {task.request.entry}", 0.0
        return group

    def _compute(self, group: dict[str, _Task]) -> None:
        cached = self.cache.get_many(group)  # another process may have been faster
        tasks = {key: task for key, task in group.items() if key not in cached}
        if not tasks:
            return
        request = next(iter(tasks.values())).request

        def report(share: float, text: str) -> None:
            if all(task.stop.is_set() for task in tasks.values()):
                raise Cancelled
            self._share = min(max(share, 0.0), 1.0)
            self._activity = f"{request.layer} of {request.entry}: {text}"

        if len(tasks) > 1:
            together = import_module("nmfdiag.jobs.compute").compute_together
            answers = together([task.request for task in tasks.values()], device=self.device, on_progress=report)
        else:
            module, function = COMPUTED_BY[type(request).__name__]
            answers = [getattr(import_module(module), function)(request, device=self.device, on_progress=report)]
        for key, answer in zip(tasks, answers, strict=True):
            if isinstance(answer, NmfdiagError):
                with self._lock:
                    self._failed[key] = str(answer)
            else:
                self.cache.put(key, answer)


def _error_text(error: Exception, request: Request, device: str) -> str:
    if isinstance(error, NmfdiagError):
        return str(error)
    return memory_message(error, request, device) if out_of_memory(error) else f"{type(error).__name__}: {error}"


def worker_threads() -> int:
    """Return the number of cores but one: the dashboard stays responsive, and small products don't compete for the last core."""
    return max(1, (os.cpu_count() or 2) - 1)


def _limit_threads() -> None:
    import torch

    torch.set_num_threads(worker_threads())
