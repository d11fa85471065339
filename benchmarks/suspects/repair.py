"""Train again without the suspects, with their suggested labels, and without as many samples drawn at random.

``NMFDIAG_DATA=... python benchmarks/suspects/repair.py OUT [NAME ...]`` adds rows to ``repair.csv`` here. As many suspects are taken as labels are wrong.
"""

import csv
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from measure import HERE, add, opened
from recipe import CLEAN, DATA, settings
from train import fit

import nmfdiag
from nmfdiag.data.datasets import load
from nmfdiag.data.normalization import Normalization
from nmfdiag.provenance import processor_model, provenance
from nmfdiag.zoo.training import predict

TABLE = HERE / "repair.csv"


def main(folder: Path, names: list[str]) -> None:
    """Train what is not in the table."""
    repaired_names = set()
    if TABLE.exists():
        with TABLE.open() as file:
            repaired_names = {row["name"] for row in csv.DictReader(file)}
    for setting in settings():
        if (
            setting.kind == CLEAN
            or setting.share < 0.2
            or setting.name in repaired_names
            or (names and setting.name not in names)
        ):
            continue
        if not (folder / f"{setting.name}.npz").exists():
            continue
        data = DATA[setting.dataset]
        train, test = load(setting.dataset, "train"), load(setting.dataset, "test")
        model, inputs, saved = opened(folder, setting)
        result = nmfdiag.suspects(model, inputs, torch.from_numpy(saved["given"]))
        n_wrong = int((saved["given"] != saved["true"]).sum())
        suspects = result.order[:n_wrong]
        random_rows = np.random.default_rng(setting.seed).permutation(len(inputs))[:n_wrong]
        all_rows = np.arange(len(inputs))
        trainings = {
            "suspects removed": (np.setdiff1d(all_rows, suspects), saved["given"]),
            "suspects relabelled": (all_rows, result.relabelled(suspects)),
            "as many removed at random": (np.setdiff1d(all_rows, random_rows), saved["given"]),
        }
        scaled = Normalization.measure(train.inputs[torch.from_numpy(saved["index"])])(test.inputs)
        accuracies = {"as given": round(float(saved["test_accuracy"]), 4)}
        for name, (rows, labels) in trainings.items():
            again, _ = fit(
                data, inputs[rows], torch.from_numpy(labels[rows]), train, setting.seed, augmented=setting.augmented
            )
            accuracies[name] = round(float((predict(again, scaled).argmax(1) == test.labels).float().mean()), 4)
        row = {
            "name": setting.name,
            **asdict(setting),
            **accuracies,
            **provenance("nmfdiag", "torch", "date", machine=processor_model()),
        }
        add(TABLE, [row])
        print(setting.name, accuracies, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2:])
