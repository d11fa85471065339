"""``report``: the diagnosis of a network as one HTML file, and as JSON."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nmfdiag.commands.diagnosis_command import add_diagnosis_command
from nmfdiag.commands.outcome import OK, Commands, Outcome

if TYPE_CHECKING:
    from nmfdiag.commands.target import Target
    from nmfdiag.diagnosis.diagnose import Diagnosis
    from nmfdiag.zoo.registry import ZooEntry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    report = add_diagnosis_command(
        commands, common, "report", "write the diagnosis of a network to one HTML file, and to JSON", _answer
    )
    report.add_argument("--html", type=Path, help="default: NAME.html")
    report.add_argument("--to-json", type=Path, metavar="FILE", help="also write the numbers to this file")


def _answer(arguments: argparse.Namespace, target: "Target | ZooEntry", diagnosis: "Diagnosis") -> Outcome:
    path = arguments.html or Path(f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', target.name).strip('-')}.html")
    diagnosis.to_html(path)
    if arguments.to_json:
        diagnosis.to_json(arguments.to_json)
    files = [str(file) for file in (path, arguments.to_json) if file]
    return OK, {**diagnosis.to_dict(), "files": files}, f"{diagnosis.verdict}\nWritten: {', '.join(files)}"
