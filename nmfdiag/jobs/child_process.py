"""One child process at a time: its output in a private folder, its progress, its end, and the end of all that it has started."""

import atexit
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.memory_limits import keep_within
from nmfdiag.jobs.queue import worker_threads

PACKAGE = Path(__file__).resolve().parents[2]
GRACE_SECONDS = 5
"""Seconds that a process gets to end after it was asked to."""
PROBLEM_LENGTH = 600
"""Characters of the text that says why a process failed."""
OUTPUT, ERRORS = "output", "errors"
"""Files of the private folder that standard output and standard error go to."""
BAR = re.compile(r"\s*(\d+)%\s*\|[^|]*\|\s*[\d:?]*\s*(.*)")
"""A line of a command's progress bar: per cent, bar, time, text."""


@dataclass(frozen=True)
class State:
    """The task of a child process that runs or ran last.

    Attributes:
        name: The task; empty before the first one.
        running: Whether it is running.
        problem: Why it failed; empty if it succeeded or was cancelled.
        succeeded: Whether it succeeded.
    """

    name: str = ""
    running: bool = False
    problem: str = ""
    succeeded: bool = False

    @property
    def cancelled(self) -> bool:
        """Whether the task was cancelled."""
        return bool(self.name) and not (self.running or self.problem or self.succeeded)


@dataclass
class Child:
    """A process that runs, or has just ended."""

    name: str
    process: subprocess.Popen[bytes]
    folder: tempfile.TemporaryDirectory[str]
    cancelled: bool = False
    late: bool = False
    follower: threading.Thread = field(default_factory=threading.Thread)
    progress: tuple[float, str] = (0.0, "starting")

    @property
    def path(self) -> Path:
        """The private folder."""
        return Path(self.folder.name)

    def lines(self) -> list[str]:
        """Return what the process has written to standard error, where a carriage return begins a line again."""
        with suppress(OSError):
            text = (self.path / ERRORS).read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
            return [line.strip() for line in text.split("\n") if line.strip()]
        return []


class ChildProcess:
    """Runs one child process at a time, in a separate session; its folder is removed when it has ended.

    Args:
        longest: Seconds after which a process is ended; None for no limit.
    """

    verb: ClassVar[str]
    """What happens to a task, for sentences such as "... is being opened"."""
    is_limited: ClassVar[bool] = False
    """Whether the process may have no more memory than is free when it starts."""

    def __init__(self, longest: float | None = None):
        self._longest = longest
        self._lock = threading.Lock()
        self._state = State()
        self._child: Child | None = None
        atexit.register(self.cancel)

    def cancel(self) -> None:
        """End what is running, with all that it has started."""
        with self._lock:
            child = self._child
            if child is None:
                return
            child.cancelled = True
            _end(child.process)
        child.follower.join(GRACE_SECONDS)

    def state(self) -> State:
        """Return what is running, or how the last process ended."""
        with self._lock:
            return self._state

    def progress(self) -> tuple[float, str]:
        """Return the share done, from 0 to 1, and what is being done now."""
        with self._lock:
            if self._child is None:
                return 0.0, ""
            bars = filter(None, map(BAR.fullmatch, reversed(self._child.lines())))
            if bar := next(bars, None):
                share, text = self._child.progress
                self._child.progress = max(share, int(bar[1]) / 100), bar[2].strip() or text
            return self._child.progress

    def dismiss(self) -> None:
        """Forget how the last process ended."""
        with self._lock:
            if self._child is None:
                self._state = State()

    def _start(self, prepare: Callable[[Path], tuple[str, Sequence[str]]]) -> None:
        """Start a process.

        Args:
            prepare: Returns the task's name and the command, given the private folder.

        Raises:
            NmfdiagError: If one is running, or the process can't be started.
        """
        with self._lock:
            if self._child is not None:
                raise NmfdiagError(f"{self._state.name} is being {self.verb}: one at a time.")
            folder = tempfile.TemporaryDirectory(prefix="nmfdiag-")  # mode 0700
            try:
                name, command = prepare(Path(folder.name))
                process = self._process(name, command, Path(folder.name))
            except BaseException:
                folder.cleanup()
                raise
            self._child = child = Child(name, process, folder)
            self._state = State(name, running=True)
            child.follower = threading.Thread(target=self._follow, args=(child,), daemon=True)
            child.follower.start()

    def _process(self, name: str, command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
        paths = [str(PACKAGE), os.environ.get("PYTHONPATH", "")]
        environment = {"OMP_NUM_THREADS": str(worker_threads())} | os.environ
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        try:
            with (folder / ERRORS).open("wb") as errors, (folder / OUTPUT).open("wb") as output:
                process = subprocess.Popen(
                    list(command), env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                    start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise NmfdiagError(f"{name} can't be {self.verb}: {error}") from None
        if self.is_limited:
            keep_within(process.pid)
        return process

    def _follow(self, child: Child) -> None:
        """Wait for the process, take up its results, and clean up."""
        try:
            child.process.wait(self._longest)
        except subprocess.TimeoutExpired:
            child.late = True
            _end(child.process)
        code = child.process.wait()
        problem = self._take_up(child, "" if child.cancelled or not code else _problem(code, child.lines()))
        succeeded = not (code or problem or child.cancelled)
        with self._lock:
            with suppress(OSError):
                child.folder.cleanup()
            self._child, self._state = None, State(child.name, problem=problem, succeeded=succeeded)

    def _take_up(self, child: Child, problem: str) -> str:
        """Use what an ended process has left in its folder; return why the task failed, empty if it didn't."""
        return problem


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it has started."""
    if not hasattr(os, "killpg"):  # Windows: there this kills at once
        process.terminate()
        process.wait()
        return
    for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def _problem(code: int, lines: Sequence[str]) -> str:
    """Return why a process failed: the error that it wrote as JSON, else its last line."""
    if code < 0:
        hint = ": it may have needed too much memory" if code == -9 else ""
        return f"The process was ended by signal {-code}{hint}."
    text = lines[-1] if lines else ""
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["error"])
    return text[:PROBLEM_LENGTH] or f"The process ended with code {code}."
