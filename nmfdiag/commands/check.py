"""``check``: whether a network's lowest single-class AuC is below a threshold, as an exit code."""

import argparse
from typing import TYPE_CHECKING

from nmfdiag.commands.diagnosis_command import add_diagnosis_command
from nmfdiag.commands.outcome import OK, WRONG, Commands, Outcome

if TYPE_CHECKING:
    from nmfdiag.commands.target import Target
    from nmfdiag.diagnosis.diagnose import Diagnosis
    from nmfdiag.zoo.registry import ZooEntry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    check = add_diagnosis_command(
        commands,
        common,
        "check",
        "exit with code 1 if a network's lowest single-class AuC is below a threshold",
        _answer,
    )
    check.add_argument("--below", type=float, required=True, metavar="AUC", help="the threshold, between 0 and 1")


def _answer(arguments: argparse.Namespace, _: "Target | ZooEntry", diagnosis: "Diagnosis") -> Outcome:
    layer, auc = diagnosis.lowest
    memorises = auc.mean < arguments.below
    text = f"{layer} has the lowest AuC, {auc}: {'under' if memorises else 'not under'} {arguments.below:g}."
    record = {
        "layer": layer, "auc": auc.mean, "standard_error": auc.sem, "below": arguments.below, "memorises": memorises,
    }  # fmt: skip
    return WRONG if memorises else OK, record, "\n".join([text, *diagnosis.remarks])
