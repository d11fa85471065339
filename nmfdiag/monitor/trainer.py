"""Runs under way: which ones still grow, and one that the dashboard trains itself in a separate process. Without torch."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.child_process import Child, ChildProcess
from nmfdiag.monitor.run_file import RUN_FILE
from nmfdiag.monitor.run_reader import MonitoredRun, append, monitored_runs
from nmfdiag.zoo.recipes import RECIPES, recipe

TRAINABLE = tuple(name for name, entry in RECIPES.items() if entry.dataset == "digits")
"""Recipes whose data comes with scikit-learn and that train in about a minute."""
QUIET_SECONDS = 600
"""Seconds without a new line after which an unfinished run counts as stopped."""

Command = Callable[[str, Path, Path], Sequence[str]]


def under_way(monitored: MonitoredRun, now: float) -> bool:
    """Return whether a run may still grow; one that a later run of its folder put aside does only if it went on after that."""
    epochs = monitored.run.epochs
    is_aside = monitored.path.name != RUN_FILE and not (epochs and epochs[-1].get("put_aside"))
    has_ended = monitored.run.finished or monitored.run.stopped or is_aside
    return not has_ended and now - monitored.changed < QUIET_SECONDS


def train_command(name: str, runs: Path, out: Path) -> list[str]:
    """Return the command that trains a network of the zoo and watches it."""
    return [
        sys.executable, "-m", "nmfdiag", "zoo", "train", name, "--watch", str(runs), "--out", str(out), "--device", "cpu",
    ]  # fmt: skip


class Trainer(ChildProcess):
    """Trains one network at a time; its weights are deleted with the process, its run stays.

    Args:
        command: Returns the command for a recipe's name, the folder of the runs and a folder for the weights; default
            :func:`train_command`.
    """

    verb = "trained"

    def __init__(self, command: Command | None = None):
        super().__init__()
        self._command = command or train_command
        self._run, self._began = Path(), 0.0

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

        def prepared(folder: Path) -> tuple[str, Sequence[str]]:
            self._run, self._began = runs.resolve() / name / RUN_FILE, time.time()
            return name, self._command(name, runs.resolve(), folder)

        self._start(prepared)

    def _take_up(self, child: Child, problem: str) -> str:
        """Note in the run of a process that was ended early that nothing more comes."""
        end = "cancelled" if child.cancelled else "failed" if problem else ""
        monitored, _ = monitored_runs(self._run.parent)
        written = [run for run in monitored if run.changed >= self._began and self._was_written_by(run, child)]
        if end and written and not written[0].run.finished:
            with suppress(OSError):
                append(written[0].path, {"stopped": end})
        return problem

    def _was_written_by(self, monitored: MonitoredRun, child: Child) -> bool:
        """Return whether a run is that of a process; where its header doesn't say, by the name of its file."""
        process = monitored.run.provenance.get("process")
        return monitored.path == self._run if process is None else process == child.process.pid
