"""``diagnose``: three answers on a network, AuC by layer and phases."""

import argparse
from typing import TYPE_CHECKING

from nmfdiag.commands.diagnosis_command import add_diagnosis_command
from nmfdiag.commands.outcome import OK, Commands, Outcome
from nmfdiag.text import span

if TYPE_CHECKING:
    from nmfdiag.commands.target import Target
    from nmfdiag.diagnosis.diagnose import Diagnosis
    from nmfdiag.zoo.registry import ZooEntry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    add_diagnosis_command(
        commands, common, "diagnose", "print the verdict on a network, three answers, and AuC by layer", _answer
    )


def _answer(_: argparse.Namespace, target: "Target | ZooEntry", diagnosis: "Diagnosis") -> Outcome:
    profile = diagnosis.profile
    methods = dict.fromkeys([diagnosis.method, *(m.curve.method for m in profile.measured)])
    rows = [(method, layer, s) for method in methods for layer, s in profile.auc_by_layer(method).items()]
    contents = diagnosis.to_dict()
    record = {
        "name": target.name,
        "train_accuracy": target.train_accuracy,
        "test_accuracy": target.test_accuracy,
        **{key: contents[key] for key in ("code", "verdict", "answers", "expected_error", "second_opinion")},
        "layers": [
            {"layer": layer, "auc": s.mean, "standard_error": s.sem, "batches": s.n, "method": method}
            for method, layer, s in rows
        ],
        "remarks": list(diagnosis.remarks),
        "comparison": contents["comparison"],
        "training_set": contents["training_set"],
        "skipped": profile.skipped,
    }
    sizes = {
        method: span(sorted(m.curve.n_samples for m in profile.measured if m.curve.method == method))
        for method in methods
    }
    lines = [
        f"{f'{method:8}' * (len(methods) > 1)}{layer:12} AuC {s}  ({s.n} single-class batches of {sizes[method]})"
        for method, layer, s in rows
    ]
    texts = [answer.text for answer in diagnosis.answers.values()] if diagnosis.controls else []
    sentences = dict.fromkeys([diagnosis.verdict, *texts, diagnosis.second_opinion])
    return OK, record, "\n".join([*lines, *sentences, *diagnosis.remarks])
