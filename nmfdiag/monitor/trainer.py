"""Runs under way: which ones still grow, and one that the dashboard trains itself in a process of its own. Without torch."""

import atexit
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.queue import worker_threads
from nmfdiag.monitor.run_file import RUN_FILE
from nmfdiag.monitor.run_reader import MonitoredRun, append, monitored_runs
from nmfdiag.zoo.recipes import RECIPES, recipe

TRAINABLE = tuple(name for name, each in RECIPES.items() if each.dataset == "digits")
"""Recipes whose data comes with scikit-learn and that train in about a minute."""
QUIET_SECONDS = 600
"""A run without a result whose file has not grown for so long counts as stopped."""
PATIENT_SECONDS, LONGEST_WORDS = 5, 300
PACKAGE = Path(__file__).resolve().parents[2]

Command = Callable[[str, Path, Path], Sequence[str]]


def under_way(found: MonitoredRun, now: float) -> bool:
    """Whether a run may still grow; one that was put aside by a later run of its folder does only if it went on after that."""
    epochs = found.run.epochs
    is_aside = found.path.name != RUN_FILE and not (epochs and epochs[-1].get("put_aside"))
    ended = found.run.finished or found.run.stopped or is_aside
    return not ended and now - found.changed < QUIET_SECONDS


def train_command(name: str, runs: Path, out: Path) -> list[str]:
    """The command that trains a network of the zoo and watches it."""
    return [
        sys.executable, "-m", "nmfdiag", "zoo", "train", name, "--watch", str(runs), "--out", str(out), "--device", "cpu",
    ]  # fmt: skip


@dataclass(frozen=True)
class Training:
    """What the trainer does or did last. ``problem`` is the last line of a process that failed."""

    name: str = ""
    running: bool = False
    problem: str = ""


@dataclass(frozen=True)
class _Process:
    process: subprocess.Popen[bytes]
    told: Path
    weights: tempfile.TemporaryDirectory[str]
    run: Path
    since: float


class Trainer:
    """Trains one network at a time; its weights are thrown away with the process, its run stays.

    Args:
        command: From a recipe's name, the folder of the runs and a folder for the weights to what is executed; default
            :func:`train_command`.
    """

    def __init__(self, command: Command | None = None):
        self._command = command or train_command
        self._lock = threading.Lock()
        self._state = Training()
        self._now: _Process | None = None
        atexit.register(self.cancel)

    def start(self, name: str, runs: Path) -> None:
        """Start a training.

        Args:
            name: One of :data:`TRAINABLE`.
            runs: Folder of the runs.

        Raises:
            NmfdiagError: If one is under way, or no such network can be trained here.
        """
        if recipe(name).name not in TRAINABLE:
            raise NmfdiagError(f"{name} takes too long to be trained here: nmfdiag zoo train {name} --watch {runs}")
        with self._lock:
            self._look()
            if self._now is not None:
                raise NmfdiagError(f"{self._state.name} is being trained: one at a time.")
            paths = [str(PACKAGE), os.environ.get("PYTHONPATH", "")]
            environment = {"OMP_NUM_THREADS": str(worker_threads())} | os.environ
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
            since, weights = time.time(), tempfile.TemporaryDirectory(prefix="nmfdiag-")
            out, told = Path(weights.name), Path(weights.name) / "told"
            try:
                with told.open("wb") as errors:
                    process = subprocess.Popen(
                        list(self._command(name, runs.resolve(), out)), env=environment,
                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                    )  # fmt: skip
            except OSError as error:
                weights.cleanup()
                raise NmfdiagError(f"The training of {name} can't be started: {error}") from None
            self._now = _Process(process, told, weights, runs.resolve() / name / RUN_FILE, since)
            self._state = Training(name, running=True)

    def cancel(self) -> None:
        """End the training that is under way; what it has written stays."""
        with self._lock:
            self._look()
            if self._now is None:
                return
            process = self._now.process
            process.terminate()
            try:
                process.wait(PATIENT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._end("cancelled")
            self._state = Training(self._state.name)

    def state(self) -> Training:
        """What it does now."""
        with self._lock:
            self._look()
            return self._state

    def _look(self) -> None:
        if self._now is None or (code := self._now.process.poll()) is None:
            return
        problem = "" if code == 0 else _problem(code, self._now.told)
        self._end("failed" if problem else "")
        self._state = Training(self._state.name, problem=problem)

    def _end(self, why: str) -> None:
        """Clear up behind the process, and note in its run that nothing more comes."""
        assert self._now is not None
        ended, self._now = self._now, None
        with suppress(OSError):
            ended.weights.cleanup()
        runs, _ = monitored_runs(ended.run.parent)
        own = [each for each in runs if each.changed >= ended.since and _was_written_by(each, ended)]
        if why and own and not own[0].run.finished:
            with suppress(OSError):
                append(own[0].path, {"stopped": why})


def _was_written_by(monitored: MonitoredRun, ended: _Process) -> bool:
    """Whether a run is that of a process; where its header doesn't say, by the name of its file."""
    process = monitored.run.provenance.get("process")
    return monitored.path == ended.run if process is None else process == ended.process.pid


def _problem(code: int, told: Path) -> str:
    """Why a process failed: the last line that it wrote, where a carriage return begins a line anew."""
    if code < 0:
        return f"The process was ended by signal {-code}."
    lines = told.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").split("\n")
    last = next((line.strip()[:LONGEST_WORDS] for line in reversed(lines) if line.strip()), "")
    return last or f"The process ended with code {code}."
