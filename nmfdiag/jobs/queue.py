"""Background work: one worker thread a device, one result at a time, each computed once whoever asks for it."""

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
from nmfdiag.jobs.memory_limits import give_back, memory_words, out_of_memory
from nmfdiag.jobs.requests import CurveRequest, Request, RuntimeRequest, SupportRequest

CLOSING_SECONDS = 3
_COMPUTING = threading.Lock()
"""Of all queues of the process: what a computation may take of the memory, and how long it takes, is known for one alone."""
R = TypeVar("R", CurveRequest, RuntimeRequest, SupportRequest)

COMPUTED_BY = {
    "CurveRequest": ("nmfdiag.jobs.compute", "compute"),
    "RuntimeRequest": ("nmfdiag.jobs.time_nmf", "measure"),
    "SupportRequest": ("nmfdiag.jobs.cover_support", "cover"),
}
"""Module and function that answer a type of request. By name: the worker alone imports them, since they take torch along, and a
request is known even after Streamlit has loaded its edited module anew."""


@dataclass
class _Task:
    """A result that somebody waits for; it is dropped when its last owner cancels."""

    request: Request
    owners: set[str]
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Status:
    """How far a list of requests is. ``running`` is what the worker does now, in words; empty if nothing of it."""

    done: int
    total: int
    running: str
    failed: dict[str, str]

    @property
    def finished(self) -> bool:
        return self.done + len(self.failed) >= self.total


class Jobs:
    """The queue of one device. Asking is cheap and never blocks on a computation.

    What was asked for last is computed first. Results go to the cache one by one: a killed process resumes where it was.
    """

    def __init__(self, cache: CurveCache, device: str = "auto"):
        self.cache = cache
        self.device = device
        self._lock = threading.Condition()
        self._waiting: dict[str, _Task] = {}
        self._running: dict[str, _Task] = {}
        self._words = ""
        self._failed: dict[str, str] = {}
        self._closed = False
        self._worker = threading.Thread(target=self._work, name=f"nmfdiag-{device}", daemon=True)
        self._worker.start()
        atexit.register(self._at_exit)

    def close(self) -> None:
        """Drop what waits, stop what is being computed, and end the worker (within seconds; it is not waited for longer)."""
        with self._lock:
            self._closed, self._waiting = True, {}
            for task in self._running.values():
                task.stop.set()
            self._lock.notify_all()
        self._worker.join(CLOSING_SECONDS)
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        """A thread that still computes while the interpreter goes down takes the process along."""
        self.close()
        self.cache.close()
        gc.freeze()  # looking through all that torch brought along would take seconds, and is of no use any more

    def ask(self, requests: Iterable[Request], owner: str) -> None:
        """Queue what is not cached yet, ahead of what is queued; forgets earlier failures of the same requests."""
        wanted = {request.key: request for request in requests}
        cached = self.cache.get_many(wanted)
        with self._lock:
            fresh: dict[str, _Task] = {}
            for key, request in wanted.items():
                if key in cached:
                    continue
                self._failed.pop(key, None)
                if key in self._running and not self._running[key].stop.is_set():
                    self._running[key].owners.add(owner)
                    continue
                task = self._waiting.pop(key, None) or _Task(request, set())
                task.owners.add(owner)
                fresh[key] = task
            self._waiting = fresh | self._waiting
            self._lock.notify_all()

    def cancel(self, owner: str) -> None:
        """Withdraw an owner: what nobody else waits for is dropped, and stopped if it is being computed."""
        with self._lock:
            for task in [*self._waiting.values(), *self._running.values()]:
                task.owners.discard(owner)
            self._waiting = {key: task for key, task in self._waiting.items() if task.owners}
            for task in self._running.values():
                if not task.owners:
                    task.stop.set()

    def status(self, requests: Iterable[Request]) -> Status:
        """How far these requests are; what is neither cached, failed, waiting nor running was cancelled or not asked for."""
        keys = [request.key for request in requests]
        with self._lock:
            pending = self._waiting.keys() | self._running.keys()
            failed = {key: self._failed[key] for key in keys if key in self._failed}
            running = self._words if any(key in self._running for key in keys) else ""
            left = sum(key in pending for key in keys)
        return Status(len(keys) - left - len(failed), len(keys), running, failed)

    def busy(self, requests: Iterable[Request]) -> bool:
        """Whether any of these is waiting or being computed."""
        keys = {request.key for request in requests}
        with self._lock:
            return bool(keys & (self._waiting.keys() | self._running.keys()))

    def results(self, requests: Iterable[R]) -> dict[R, Any]:
        """The results that are finished."""
        by_key = {request.key: request for request in requests}
        return {by_key[key]: result for key, result in self.cache.get_many(by_key).items()}

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
            except Exception:  # the computation says so too, to whoever waits for it
                on_gpu = False
            with _COMPUTING:
                self._work_on(on_gpu)

    def _work_on(self, on_gpu: bool) -> None:
        """Compute what is next."""
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
                self._failed |= {key: _words(error, task.request, self.device) for key, task in group.items()}
        finally:
            with self._lock:
                self._running = {}
        if short_of_memory:  # only now is the error gone, which held on to what was computed
            give_back()

    def _next(self, on_gpu: bool) -> dict[str, _Task]:
        """Take the next task from the queue; a GPU takes the same curve's other classes along, which it computes in one call."""
        if not self._waiting:  # cancelled meanwhile
            return {}
        first, task = next(iter(self._waiting.items()))
        group = {first: task}
        if on_gpu and isinstance(task.request, CurveRequest):
            alike = task.request.alike
            group |= {
                key: other
                for key, other in self._waiting.items()
                if isinstance(other.request, CurveRequest) and other.request.alike == alike
            }
        for key in group:
            del self._waiting[key]
        self._words = f"{task.request.layer} of {task.request.entry}"
        return group

    def _compute(self, group: dict[str, _Task]) -> None:
        known = self.cache.get_many(group)  # another process may have been faster
        tasks = {key: task for key, task in group.items() if key not in known}
        if not tasks:
            return
        request = next(iter(tasks.values())).request

        def report(_done: float, words: str) -> None:
            if all(task.stop.is_set() for task in tasks.values()):
                raise Cancelled
            self._words = f"{request.layer} of {request.entry}: {words}"

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


def _words(error: Exception, request: Request, device: str) -> str:
    if isinstance(error, NmfdiagError):
        return str(error)
    return memory_words(error, request, device) if out_of_memory(error) else f"{type(error).__name__}: {error}"


def worker_threads() -> int:
    """All cores but one: the dashboard stays quick, and small products don't fight for the last core."""
    return max(1, (os.cpu_count() or 2) - 1)


def _limit_threads() -> None:
    import torch

    torch.set_num_threads(worker_threads())
