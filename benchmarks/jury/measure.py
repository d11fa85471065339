"""Measure the controls of the jury's networks, from which the answers are made.

``NMFDIAG_DATA=... python benchmarks/jury/measure.py OUT [HALF]`` adds a line to ``OUT/measured.jsonl`` for each network (of a half) that ``train.py`` has made: what a user would
measure, nothing that needs a true label or a test sample, and beside it the truth.
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from open_network import opened
from recipe import HALVES, JuryNetwork, networks

import nmfdiag
from nmfdiag.diagnosis.answers import answers, code_of
from nmfdiag.diagnosis.expected_error import expected_error
from nmfdiag.measures.phases import Phases
from nmfdiag.provenance import provenance
from nmfdiag.zoo.measured_network import network_to_measure

NO_PHASES = Phases(reason="AuC was not measured")
"""The jury's answers need none."""


def row_of(folder: Path, network: JuryNetwork) -> dict[str, Any]:
    """Return a network's line."""
    model, inputs, labels, truth = opened(folder, network)
    model, remark = network_to_measure(model, inputs, labels)
    start = time.process_time()
    result = nmfdiag.suspects(model, inputs, labels)
    controls = result.controls
    rate, error = controls.noise_rate, expected_error(controls)
    answer_by_name = answers(controls, error, NO_PHASES)
    return {
        "name": network.name,
        "half": network.half,
        **asdict(network),
        **{key: float(value) for key, value in truth.items() if not value.ndim},
        "remark": remark,
        "rate": [rate.estimate, rate.low, rate.high, rate.reason],
        "code": code_of(answer_by_name),
        "answers": {
            key: [answer.code, answer.estimate, answer.low, answer.high] for key, answer in answer_by_name.items()
        },
        "expected_error": error and [error.estimate, error.low, error.high],
        "agreement": controls.agreement,
        "confirmed": controls.confirmed,
        "accuracies": dict(result.accuracies),
        "accuracy_by_layer": result.accuracy_by_layer,
        "layers": list(result.layers),
        "measured_in": time.process_time() - start,
        **provenance("nmfdiag", "torch", "date"),
    }


def main(folder: Path, halves: list[str]) -> None:
    """Measure what is trained and not measured yet."""
    path = folder / "measured.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = {json.loads(line)["name"] for line in lines}
    for network in networks():
        if (
            network.name in names
            or network.half not in (halves or HALVES)
            or not (folder / f"{network.name}.npz").exists()
        ):
            continue
        line = row_of(folder, network)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(network.name, line["measured_in"], flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2:])
