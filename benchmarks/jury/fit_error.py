"""Fit the line of the expected error on networks whose test accuracy is known; its weights stand in ``nmfdiag/diagnosis/expected_error.py``.

``NMFDIAG_DATA=... python benchmarks/jury/fit_error.py OUT`` reads ``measure.py``'s lines of the development half and measures the zoo's networks, whose lines it keeps
in ``OUT/zoo.jsonl``; the judged half is not read. What it prints as error and coverage is of networks predicted from those of other data sets.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recipe import HALVES
from scipy.stats import spearmanr

from nmfdiag.diagnosis.expected_error import (
    HALF_WIDTH,
    HALF_WIDTH_PER_LOG_ODDS,
    LARGEST,
    SMALLEST,
)
from nmfdiag.jobs.requests import SuspectsRequest
from nmfdiag.jobs.score_labels import score
from nmfdiag.measures.suspects.controls import INPUTS
from nmfdiag.zoo.registry import entries

ZOO_WEIGHT, RIDGE = 0.5, 0.3
"""Weight of a zoo network beside one of the jury's, and penalty on the slopes."""


def zoo_lines(path: Path) -> list[dict[str, Any]]:
    """Return the zoo's lines, those that are missing measured now."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    names = {line["name"] for line in lines}
    for name, entry in entries().items():
        if name in names or entry.test_accuracy is None:
            continue
        controls = score(SuspectsRequest(name)).controls
        if not controls.noise_rate.is_known:
            continue
        line = {
            "name": name,
            "dataset": entry.recipe.dataset,
            "agreement": controls.agreement,
            "confirmed": controls.confirmed,
            "accuracies": dict(controls.accuracies),
            "test_accuracy": entry.test_accuracy,
        }
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(name, flush=True)
        lines.append(line)
    return lines


def jury_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the development half whose noise rate is known."""
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [
        line | {"test_accuracy": line["test_accuracy_restored" if line["remark"] else "test_accuracy"]}
        for line in lines
        if line["half"] == HALVES[0] and line["expected_error"]
    ]


def log_odds(shares: Any) -> np.ndarray:
    """Return the log odds of shares (n,)."""
    clipped = np.clip(np.asarray(shares, float), SMALLEST, LARGEST)
    return np.log(clipped / (1 - clipped))


def fitted_weights(design: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return intercept and slopes (c,) of a weighted ridge regression on a design (n, c)."""
    penalty = RIDGE * np.eye(design.shape[1])
    penalty[0, 0] = 0
    weighted = design.T * weights
    return np.linalg.solve(weighted @ design + penalty, weighted @ target)


def main(folder: Path) -> None:
    """Print the weights, and how well networks of one data set are predicted from those of the others."""
    jury, zoo = jury_lines(folder / "measured.jsonl"), zoo_lines(folder / "zoo.jsonl")
    lines = [*jury, *zoo]
    confirmed = np.array([line["confirmed"] for line in lines])
    explained = np.array([max(line["agreement"], line["accuracies"][INPUTS]) for line in lines])
    truth = np.array([line["test_accuracy"] for line in lines])
    datasets = np.array([line["dataset"] for line in lines])
    weights = np.repeat([1.0, ZOO_WEIGHT], [len(jury), len(zoo)])
    design = np.stack([np.ones(len(lines)), log_odds(np.minimum(confirmed, explained)), log_odds(confirmed)], 1)
    target = log_odds(truth)
    print(f"{len(jury)} of the jury, {len(zoo)} of the zoo")
    print("intercept, agreement, confirmed:", fitted_weights(design, target, weights).round(3).tolist())
    predicted = np.zeros(len(lines))
    for dataset in np.unique(datasets):
        is_other = datasets != dataset
        predicted[~is_other] = design[~is_other] @ fitted_weights(design[is_other], target[is_other], weights[is_other])
    half = HALF_WIDTH + HALF_WIDTH_PER_LOG_ODDS * np.maximum(0, predicted)
    shares, low, high = (1 / (1 + np.exp(-(predicted + shift))) for shift in (0.0, -half, half))
    for title, rows in (("all", slice(None)), ("jury", slice(len(jury))), ("zoo", slice(len(jury), None))):
        is_held = (truth >= low) & (truth <= high)
        print(
            f"{title}: mean absolute error {np.abs(shares - truth)[rows].mean():.3f}, "
            f"Spearman {spearmanr(shares[rows], truth[rows]).statistic:.2f}, interval holds {is_held[rows].mean():.2f}"
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
