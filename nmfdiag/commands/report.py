"""``report``: the diagnosis of a network as one HTML file, and as JSON."""

import argparse
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nmfdiag.commands.diagnosis_command import add_diagnosis_command
from nmfdiag.commands.outcome import OK, Commands, Outcome
from nmfdiag.commands.result_cache import result_cache
from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from nmfdiag.commands.target import Target
    from nmfdiag.diagnosis.diagnose import Diagnosis
    from nmfdiag.diagnosis.suspects_section import SuspectsSection
    from nmfdiag.zoo.registry import ZooEntry

MOST_SCORED, MOST_VALUES = 3000, 3000 * 32 * 32 * 3
"""Samples, and numbers in their inputs, whose labels the report judges by default: about half a minute."""
FEWEST_PER_CLASS, MOST_TIMES = 20, 4
"""Samples of each class that are judged at least, and how many times :data:`MOST_VALUES` they may have; else none are."""


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    report = add_diagnosis_command(
        commands, common, "report", "write the diagnosis of a network to one HTML file, and to JSON", _answer
    )
    report.add_argument("--html", type=Path, help="default: NAME.html")
    report.add_argument("--to-json", type=Path, metavar="FILE", help="also write the numbers to this file")
    report.add_argument(
        "--suspects",
        type=int,
        metavar="N",
        help="samples of each class among which the HTML lists the 50 with the most suspicious labels (default: as many as take half a minute; 0 for none)",
    )


def _answer(arguments: argparse.Namespace, target: "Target | ZooEntry", diagnosis: "Diagnosis") -> Outcome:
    path = arguments.html or Path(f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', target.name).strip('-')}.html")
    diagnosis.to_html(path, _suspects(arguments, target, diagnosis))
    if arguments.to_json:
        diagnosis.to_json(arguments.to_json)
    files = [str(file) for file in (path, arguments.to_json) if file]
    return OK, {**diagnosis.to_dict(), "files": files}, f"{diagnosis.verdict}\nWritten: {', '.join(files)}"


def _extent(target: "Target | ZooEntry") -> tuple[int, int]:
    """Return the number of classes with samples, and of values in a sample."""
    from nmfdiag.commands.target import Target

    if isinstance(target, Target):
        return len(target.labels.unique()), target.inputs[0].numel()
    return len(target.classes), math.prod(target.input_shape)


def _affordable(n_classes: int, n_values: int) -> int:
    """Return how many samples of each class are judged by default; 0 for none."""
    per_class = min(MOST_SCORED, MOST_VALUES // n_values) // n_classes
    if per_class >= FEWEST_PER_CLASS:
        return per_class
    n = FEWEST_PER_CLASS * n_classes
    return FEWEST_PER_CLASS if n <= MOST_SCORED and n * n_values <= MOST_TIMES * MOST_VALUES else 0


def _suspects(
    arguments: argparse.Namespace, target: "Target | ZooEntry", diagnosis: "Diagnosis"
) -> "SuspectsSection | None":
    """Return the section on suspects, or on why there are none; None if none was asked for."""
    from nmfdiag.commands.labelled_network import load_labelled, score_labels
    from nmfdiag.commands.target import Target
    from nmfdiag.diagnosis.suspects_section import SuspectsSection, listed_suspects, suspects_section, zoo_section
    from nmfdiag.jobs.compute import resolve

    if arguments.suspects == 0:
        return None
    if arguments.suspects is None and diagnosis.suspects is not None and not isinstance(target, Target):
        return zoo_section(target, diagnosis.suspects)
    n_classes, n_values = _extent(target)
    per_class = arguments.suspects or _affordable(n_classes, n_values)
    if not per_class:
        return SuspectsSection(
            f"Not looked for: {n_classes:,} classes of samples of {n_values:,} values take long. Ask nmfdiag suspects, or give --suspects N."
        )
    try:
        network = load_labelled(arguments, per_class)
        with result_cache(arguments) as cache:
            scored = score_labels(network, cache, device=resolve(arguments.device), per_class=per_class)
    except NmfdiagError as error:
        return SuspectsSection(f"Not looked for: {error}")
    rows = listed_suspects(scored.suspects)
    return suspects_section(
        scored.suspects, network.stored[scored.places[rows]], scored.pictures(rows), per_class=per_class
    )
