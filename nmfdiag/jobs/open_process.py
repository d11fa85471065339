"""Open your network from the dashboard: a separate process reads the files, checks them, and adds the network to the user's zoo.

Uploads lie in a private folder under names that the server chooses, and are deleted as soon as that process has ended. Without torch.
"""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.browse import WEIGHTS
from nmfdiag.jobs.child_process import OUTPUT, Child, ChildProcess
from nmfdiag.zoo.registry import ZooEntry, entries, lookup

LONGEST_SECONDS = 1800
"""Seconds that opening may take."""
CHECK_FILE = "check.json"
LARGEST = 10**18
"""Upper bound of every number in a check."""
EXAMPLE = "digits-cnn-p0.6-s0"
"""The shipped network that the example opens as if it were a stranger's."""
EXAMPLE_NAME = "example"


@dataclass(frozen=True)
class Opening:
    """A network to be opened: weights and training samples, or raw activations.

    Attributes:
        name: The network's name in the user's zoo.
        weights: A checkpoint.
        data: A data set's name, or the path of a folder, a zip or an ``.npz``.
        arch: An architecture's name, or ``"auto"``.
        normalization: How inputs were prepared in training, or ``"auto"``.
        size: Height and width to which images are resized, such as ``"224"`` or ``"128x173"``; empty for none.
        signed: Whether layers are all activations, measured by signed NMF, rather than ReLUs where the network has some.
        replaces: Whether it replaces a network of that name.
        train_size: Number of samples that the network was trained on; None if it is not known.
        weights_key: Key of the set of weights in a checkpoint that holds several; empty for the usual one.
        activations: An ``.npz`` of activations, labels and the last layer's weights, in place of all those.
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
    train_size: int | None = None


Prepare = Callable[[Path], Opening]
"""Returns the network to be opened, given a private folder for files that only the opening needs."""


def open_command(opening: Opening) -> list[str]:
    """Return the command that opens a network, checks it, and adds it to the user's zoo."""
    command = [sys.executable, "-m", "nmfdiag", "zoo", "open", opening.name, "--json"]
    command += [flag for flag, is_set in (("--signed", opening.signed), ("--replace", opening.replaces)) if is_set]
    if opening.activations is not None:
        return [*command, "--activations", str(opening.activations)]
    return [
        *command, "--arch", opening.arch, "--weights", str(opening.weights), "--data", opening.data,
        f"--normalization={opening.normalization}", *([f"--size={opening.size}"] if opening.size else []),
        *([f"--weights-key={opening.weights_key}"] if opening.weights_key else []),
        *([f"--train-size={opening.train_size}"] if opening.train_size else []),
    ]  # fmt: skip


class Opener(ChildProcess):
    """Opens one network at a time.

    Args:
        command: Returns the command for a network to be opened; default :func:`open_command`.
        longest: Seconds after which the process is ended.
    """

    verb, is_limited = "opened", True

    def __init__(self, command: Callable[[Opening], Sequence[str]] | None = None, longest: float = LONGEST_SECONDS):
        super().__init__(longest)
        self._command = command or open_command

    def start(self, prepare: Prepare) -> None:
        """Start to open a network.

        Args:
            prepare: Returns the network; gets a folder that is removed when the process has ended.

        Raises:
            NmfdiagError: If one is being opened, the name is taken, or the process can't be started.
        """

        def prepared(folder: Path) -> tuple[str, Sequence[str]]:
            opening = prepare(folder)
            if opening.name in entries() and not opening.replaces:
                raise NmfdiagError(f"The name {opening.name} is taken: choose another, or remove that network.")
            return opening.name, self._command(opening)

        self._start(prepared)

    def _take_up(self, child: Child, problem: str) -> str:
        """Keep the check beside the network."""
        if child.late:
            return f"Opening took longer than {(self._longest or 0) / 60:.0f} minutes and was ended: fewer or smaller samples take less."
        if problem or child.cancelled:
            return problem
        try:
            answer = json.loads((child.path / OUTPUT).read_text(encoding="utf-8"))
            check = {name: answer[name] for name in ("preflight", "problems", "provenance")}
            check |= {"other_weights": answer["other_weights"]} if answer.get("other_weights") else {}
            (lookup(child.name).folder / CHECK_FILE).write_text(json.dumps(check) + "\n", encoding="utf-8")
        except (OSError, ValueError, KeyError, NmfdiagError) as error:
            return f"The answer of the opening process can't be read: {error}"
        return ""


def check_of(entry: ZooEntry) -> dict[str, Any]:
    """Return the check that was made when this network was opened: ``preflight``, ``problems``, ``provenance``; empty if opened elsewhere."""
    try:
        record = json.loads((entry.folder / CHECK_FILE).read_text(encoding="utf-8"))
        json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair can't be encoded
        return record if _is_check(record, entry.n_classes) else {}
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return {}


def _is_check(record: dict[str, Any], n_classes: int) -> bool:
    """Return whether a record's values have the types that were written, so that tables can be made of it."""
    preflight = record["preflight"]
    batches, accuracies, layers = (
        preflight.get(name, kind()) for name, kind in (("batches", dict), ("accuracy_by_class", dict), ("layers", list))
    )
    numbers = [*batches.values(), *accuracies.values()]
    numbers += [preflight.get(name, 0) for name in ("accuracy", "seconds", "label_seconds", "bytes")]
    texts = [*record["provenance"].values(), *preflight.get("skipped", {}).values(), *preflight.get("remarks", [])]
    texts += [preflight.get("better", ""), *record.get("other_weights", [])]
    cells = [value for layer in layers for value in layer.values()]
    return (
        all(isinstance(number, int | float) and abs(number) < LARGEST for number in numbers)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(cell, str) or abs(cell) < LARGEST for cell in cells)
        and {*batches, *accuracies} <= set(map(str, range(n_classes)))
    )


def opened_networks() -> dict[str, ZooEntry]:
    """Return the user's networks in the zoo, the last opened ones first."""

    def written(entry: ZooEntry) -> float:
        with suppress(OSError):
            return (entry.folder / "entry.json").stat().st_mtime
        return 0.0

    users = [entry for entry in entries().values() if entry.called]
    return {entry.name: entry for entry in sorted(users, key=written, reverse=True)}


def copied_from(entry: ZooEntry) -> tuple[str, ...]:
    """Return the shipped network that a network is a copy of: the example's. It must not be compared with that."""
    return (EXAMPLE,) if entry.name == EXAMPLE_NAME else ()


def example(folder: Path) -> Opening:
    """Export a shipped network's weights and training samples into a folder, as a stranger would bring them."""
    import numpy as np
    from safetensors.numpy import load_file

    entry = lookup(EXAMPLE)
    weights, samples = folder / f"weights{WEIGHTS[0]}", folder / "samples.npz"
    weights.write_bytes(entry.files["weights"].read_bytes())
    inputs, labels = load_file(entry.files["pool"])["inputs"], load_file(entry.files["labels"])["given"]
    np.savez(samples, x=inputs, y=labels.astype(np.int64))
    return Opening(EXAMPLE_NAME, weights=weights, data=str(samples))
