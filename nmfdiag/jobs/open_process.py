"""Opening somebody's network from the dashboard: a process of its own reads the files, checks, and puts it into the user's zoo.

What was uploaded lies in a private folder under names that the server makes, and is gone as soon as that process has ended.
Without torch.
"""

import atexit
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.browse import WEIGHTS
from nmfdiag.jobs.memory_limits import keep_within
from nmfdiag.jobs.queue import worker_threads
from nmfdiag.zoo.registry import ZooEntry, entries, lookup

PACKAGE = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 1800
PATIENT_SECONDS, LONGEST_WORDS = 5, 600
TOLD, ANSWERED = "told", "answered"
CHECK_FILE = "check.json"
LARGEST = 10**18
"""No number of a check is larger."""
EXAMPLE = "digits-cnn-p0.6-s0"
"""The shipped network that is opened as if it were a stranger's."""
EXAMPLE_NAME = "example"
BAR = re.compile(r"\s*(\d+)%\s*\|[^|]*\|\s*[\d:?]*\s*(.*)")
"""A line of the command's progress bar: per cent, bar, time, words."""


@dataclass(frozen=True)
class Opening:
    """What is to be opened: weights and training samples, or raw activations.

    Attributes:
        name: Of the network in the user's zoo.
        weights: A checkpoint.
        data: A data set's name, or the path of a folder, a zip or an ``.npz``.
        arch: An architecture's name, or ``"auto"``.
        normalization: How inputs were prepared in training, or ``"auto"``.
        size: Height and width to which images are resized, such as ``"224"`` or ``"128x173"``; empty for none.
        signed: Whether layers are all activations, measured by signed NMF, rather than ReLUs where there are some.
        replaces: Whether a network of that name gives way.
        weights_key: Which set of weights of a checkpoint that holds several; empty for the usual one.
        activations: An ``.npz`` of activations, labels and the last layer's weights, in the place of all those.
    """

    name: str
    weights: Path | None = None
    data: str = ""
    arch: str = "auto"
    normalization: str = "auto"
    size: str = ""
    signed: bool = False
    replaces: bool = False
    activations: Path | None = None
    weights_key: str = ""


Prepare = Callable[[Path], Opening]
"""Says what is to be opened, given a private folder for files that only that needs."""


@dataclass(frozen=True)
class State:
    """What the opener does or did last.

    Attributes:
        name: The network.
        running: Whether it is being opened.
        share: How far, from 0 to 1.
        words: What is being done.
        problem: Why it was not opened; empty if it was, or has been cancelled.
        opened: Whether it was.
    """

    name: str = ""
    running: bool = False
    share: float = 0.0
    words: str = ""
    problem: str = ""
    opened: bool = False

    @property
    def cancelled(self) -> bool:
        """Whether the last one was."""
        return bool(self.name) and not (self.running or self.problem or self.opened)


def open_command(opening: Opening) -> list[str]:
    """The command that opens a network, checks it, and puts it into the user's zoo."""
    command = [sys.executable, "-m", "nmfdiag", "zoo", "open", opening.name, "--json"]
    command += [option for option, there in (("--signed", opening.signed), ("--replace", opening.replaces)) if there]
    if opening.activations is not None:
        return [*command, "--activations", str(opening.activations)]
    return [
        *command, "--arch", opening.arch, "--weights", str(opening.weights), "--data", opening.data,
        f"--normalization={opening.normalization}", *([f"--size={opening.size}"] if opening.size else []),
        *([f"--weights-key={opening.weights_key}"] if opening.weights_key else []),
    ]  # fmt: skip


@dataclass
class _Process:
    process: subprocess.Popen[bytes]
    folder: tempfile.TemporaryDirectory[str]
    cancelled: bool = False
    follower: threading.Thread = field(default_factory=threading.Thread)

    @property
    def told(self) -> Path:
        return Path(self.folder.name) / TOLD


class Opener:
    """Opens one network at a time.

    Args:
        command: From what is to be opened to what is executed; default :func:`open_command`.
        longest: Seconds after which the process is ended.
    """

    def __init__(self, command: Callable[[Opening], Sequence[str]] | None = None, longest: float = LONGEST_SECONDS):
        self._command, self._longest = command or open_command, longest
        self._lock = threading.Lock()
        self._state = State()
        self._now: _Process | None = None
        atexit.register(self.cancel)

    def start(self, prepare: Prepare) -> None:
        """Start to open a network.

        Args:
            prepare: Says what is opened; gets a folder that is removed when the process has ended.

        Raises:
            NmfdiagError: If one is being opened, the name is taken, or the process can't be started.
        """
        with self._lock:
            if self._now is not None:
                raise NmfdiagError(f"{self._state.name} is being opened: one at a time.")
            folder = tempfile.TemporaryDirectory(prefix="nmfdiag-")  # mode 0700
            try:
                opening = prepare(Path(folder.name))
                if opening.name in entries() and not opening.replaces:
                    raise NmfdiagError(f"The name {opening.name} is taken: choose another, or remove that network.")
                process = self._started(opening, Path(folder.name))
            except BaseException:
                folder.cleanup()
                raise
            self._now = _Process(process, folder)
            self._state = State(opening.name, running=True, words="starting")
            self._now.follower = threading.Thread(target=self._follow, args=(self._now,), daemon=True)
            self._now.follower.start()

    def cancel(self) -> None:
        """End what is under way, with all that it has started."""
        with self._lock:
            now = self._now
            if now is None:
                return
            now.cancelled = True
            _end(now.process)
        now.follower.join(PATIENT_SECONDS)

    def state(self) -> State:
        """What it does now."""
        with self._lock:
            now, state = self._now, self._state
            if now is None:
                return state
            share, words = _progress(now.told)
            self._state = replace(state, share=max(share, state.share), words=words or state.words)
            return self._state

    def dismiss(self) -> None:
        """Forget how the last one ended."""
        with self._lock:
            if self._now is None:
                self._state = State()

    def _started(self, opening: Opening, folder: Path) -> subprocess.Popen[bytes]:
        paths = [str(PACKAGE), os.environ.get("PYTHONPATH", "")]
        environment = {"OMP_NUM_THREADS": str(worker_threads())} | os.environ
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        try:
            with (folder / TOLD).open("wb") as told, (folder / ANSWERED).open("wb") as answered:
                process = subprocess.Popen(
                    list(self._command(opening)), env=environment, stdin=subprocess.DEVNULL, stdout=answered,
                    stderr=told, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise NmfdiagError(f"{opening.name} can't be opened: {error}") from None
        keep_within(process.pid)
        return process

    def _follow(self, now: _Process) -> None:
        """Wait for the process, keep what it found, and clear up behind it."""
        late = False
        try:
            now.process.wait(self._longest)
        except subprocess.TimeoutExpired:
            late = True
            _end(now.process)
        code, name = now.process.wait(), self._state.name
        problem = ""
        if late:
            problem = f"Opening took longer than {self._longest / 60:.0f} minutes and was ended: fewer or smaller samples take less."
        elif code and not now.cancelled:
            problem = _problem(code, now.told)
        opened = not code and not problem and not now.cancelled
        if opened:
            try:
                _keep_check(name, Path(now.folder.name) / ANSWERED)
            except (OSError, ValueError, KeyError, NmfdiagError) as error:
                opened, problem = False, f"The answer of the opening process can't be read: {error}"
        with self._lock:
            with suppress(OSError):
                now.folder.cleanup()
            self._now, self._state = None, State(name, problem=problem, opened=opened)


def check_of(entry: ZooEntry) -> dict[str, Any]:
    """What was found when this network was opened: ``preflight``, ``problems``, ``provenance``; empty if it was opened elsewhere."""
    try:
        record = json.loads((entry.folder / CHECK_FILE).read_text(encoding="utf-8"))
        json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair is no text
        return record if _is_check(record, entry.n_classes) else {}
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return {}


def _is_check(record: dict[str, Any], n_classes: int) -> bool:
    """Whether what a record has is as it was written, so that tables can be made of it."""
    found, told = record["preflight"], record["provenance"]
    batches, right, layers = found.get("batches", {}), found.get("accuracy_by_class", {}), found.get("layers", [])
    numbers = [*batches.values(), *right.values(), *(found.get(name, 0) for name in ("accuracy", "seconds", "bytes"))]
    texts = [*told.values(), *found.get("skipped", {}).values(), *found.get("remarks", []), found.get("better", "")]
    texts += record.get("other_weights", [])
    cells = [value for layer in layers for value in layer.values()]
    return (
        all(isinstance(number, int | float) and abs(number) < LARGEST for number in numbers)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(cell, str) or abs(cell) < LARGEST for cell in cells)
        and {*batches, *right} <= set(map(str, range(n_classes)))
    )


def opened_networks() -> dict[str, ZooEntry]:
    """The user's own networks of the zoo, those opened last first."""
    own = [entry for entry in entries().values() if entry.called]
    return {entry.name: entry for entry in sorted(own, key=_written, reverse=True)}


def example(folder: Path) -> Opening:
    """Export a shipped network's weights and training samples into a folder, as a stranger would bring them."""
    import numpy as np
    from safetensors.numpy import load_file

    entry = lookup(EXAMPLE)
    weights, samples = folder / f"weights{WEIGHTS[0]}", folder / "samples.npz"
    weights.write_bytes(entry.files["weights"].read_bytes())
    inputs, given = load_file(entry.files["pool"])["inputs"], load_file(entry.files["labels"])["given"]
    np.savez(samples, x=inputs, y=given.astype(np.int64))
    return Opening(EXAMPLE_NAME, weights=weights, data=str(samples))


def _written(entry: ZooEntry) -> float:
    with suppress(OSError):
        return (entry.folder / "entry.json").stat().st_mtime
    return 0.0


def _keep_check(name: str, answered: Path) -> None:
    found = json.loads(answered.read_text(encoding="utf-8"))
    kept = {"preflight": found["preflight"], "problems": found["problems"], "provenance": found["provenance"]}
    kept |= {"other_weights": found["other_weights"]} if found.get("other_weights") else {}
    (lookup(name).folder / CHECK_FILE).write_text(json.dumps(kept) + "\n", encoding="utf-8")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it has started."""
    if not hasattr(os, "killpg"):  # Windows: there this kills at once
        process.terminate()
        process.wait()
        return
    for number, seconds in ((signal.SIGTERM, PATIENT_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def _lines(told: Path) -> list[str]:
    """What a process has said, line by line, where a carriage return begins a line anew."""
    with suppress(OSError):
        text = told.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
        return [line.strip() for line in text.split("\n") if line.strip()]
    return []


def _progress(told: Path) -> tuple[float, str]:
    for line in reversed(_lines(told)):
        if at := BAR.fullmatch(line):
            return int(at[1]) / 100, at[2].strip()
    return 0.0, ""


def _problem(code: int, told: Path) -> str:
    """Why a process failed: the error that it wrote as JSON, else its last line."""
    if code < 0:
        return f"The process was ended by signal {-code}" + (
            ": it may have needed too much memory." if code == -9 else "."
        )
    last = next(reversed(_lines(told)), "")
    with suppress(ValueError, KeyError, TypeError):
        last = str(json.loads(last)["error"])
    return last[:LONGEST_WORDS] or f"The process ended with code {code}."
