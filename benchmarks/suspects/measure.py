"""Measure how well wrong labels are found on the networks that ``train.py`` made.

``NMFDIAG_DATA=... python benchmarks/suspects/measure.py OUT`` adds the rows of each network that has none yet (cleanlab has to be installed where folds were trained) to ``results.csv`` and ``rates.csv`` here.
"""

import csv
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from recipe import DATA, FOLDS, Setting, settings
from torch import Tensor, nn

import nmfdiag
from nmfdiag.data.datasets import load
from nmfdiag.data.normalization import Normalization
from nmfdiag.measures.suspects.joint_scores import ranks
from nmfdiag.measures.suspects.ranking_quality import ranking_quality
from nmfdiag.measures.suspects.suspects import combined_score
from nmfdiag.networks.architectures import build
from nmfdiag.provenance import processor_model, provenance

HERE = Path(__file__).parent
RESULTS, RATES = HERE / "results.csv", HERE / "rates.csv"
NEIGHBOURS = 20
PIXEL_SIDE = 16


def opened(folder: Path, setting: Setting) -> tuple[nn.Module, Tensor, dict[str, np.ndarray]]:
    """Return a network, its training samples and what was saved with it."""
    data, train = DATA[setting.dataset], load(setting.dataset, "train")
    with np.load(folder / f"{setting.name}.npz") as file:
        saved = dict(file)
    images = train.inputs[torch.from_numpy(saved["index"])]
    model = build(data.arch, train.input_shape, train.n_classes, seed=0, width=data.width)
    model.load_state_dict(torch.load(folder / f"{setting.name}.pth", weights_only=True))
    return model.eval(), Normalization.measure(images)(images), saved


def pixel_disagreement(inputs: Tensor, labels: np.ndarray) -> np.ndarray:
    """Return the share (n,) of each sample's nearest neighbours in pixels that have another given label."""
    from sklearn.neighbors import NearestNeighbors

    small = (
        torch.nn.functional.adaptive_avg_pool2d(inputs, PIXEL_SIDE) if min(inputs.shape[2:]) > PIXEL_SIDE else inputs
    )
    pixels = small.flatten(1).numpy()
    neighbours = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(pixels).kneighbors(pixels, return_distance=False)
    return (labels[neighbours[:, 1:]] != labels[:, None]).mean(1)


def layer_ranks(result: nmfdiag.Suspects) -> np.ndarray:
    """Return the rule of the trial (n,): mean rank of each layer's own probe, and of the margin on moved copies (today's, not the trial's five)."""
    from scipy.stats import rankdata

    n = len(result.given)
    probe = np.mean([rankdata(result.against_by_layer[name]) / n for name in result.layers], 0)
    return (probe + result.components["shift"]) / 2 if "shift" in result.components else probe


def timed(function: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """Return a result and its CPU seconds."""
    start = time.process_time()
    return function(), time.process_time() - start


def scores(
    folder: Path, setting: Setting
) -> tuple[dict[str, tuple[np.ndarray, float]], nmfdiag.Suspects, dict[str, np.ndarray]]:
    """Return each score (n,) with its CPU seconds, by name; the result of ours; and what was saved."""
    model, inputs, saved = opened(folder, setting)
    labels = torch.from_numpy(saved["given"])
    with_ratio = setting.seed == 0 and not setting.augmented and setting.share == 0.2
    times: dict[float, float] = {}

    def note(share: float, _: str) -> None:
        times.setdefault(0.9 if share >= 0.9 else 0.8 if share >= 0.8 else 0.0, time.process_time())

    start = time.process_time()
    result = nmfdiag.suspects(model, inputs, labels, nmf_ratio=with_ratio, on_progress=note)
    ratio_seconds = times[0.9] - times[0.8] if with_ratio else 0.0
    own_seconds = time.process_time() - start - ratio_seconds
    aum = -saved["margin"].astype(float).mean(0)
    parts = {name: result.components[name] for name in ("probe", "shift") if name in result.components}
    by_name = {
        "suspects": (result.score, own_seconds),
        "probe": (result.components["probe"], own_seconds),
        "rule of the trial": (layer_ranks(result), own_seconds),
        "final loss": (result.components["loss"], 0.0),
        "suspects with history": (combined_score(parts | {"history": ranks(aum)}), own_seconds),
        "AUM": (aum, float(saved["cpu_seconds"])),
        "confidence in training": (-saved["confidence"].astype(float).mean(0), float(saved["cpu_seconds"])),
        "pixels' neighbours": timed(lambda: pixel_disagreement(inputs, saved["given"])),
    }
    if "shift" in result.components:
        by_name["shift"] = (result.components["shift"], own_seconds)
    if "nmf_ratio" in result.components:
        by_name["NMF ratio"] = (result.components["nmf_ratio"], ratio_seconds)
    folds = folder / f"{setting.name}-folds.npz"
    if folds.exists():
        from cleanlab.rank import get_label_quality_scores

        with np.load(folds) as file:
            for method in ("self_confidence", "normalized_margin"):
                quality = get_label_quality_scores(saved["given"], file["probabilities"].astype(float), method=method)
                by_name[f"cleanlab, {method.replace('_', ' ')}, {FOLDS} folds"] = (-quality, float(file["cpu_seconds"]))
    return by_name, result, saved


def rows_of(folder: Path, setting: Setting) -> tuple[list[dict[str, object]], dict[str, object]]:
    """Return a network's rows of both tables."""
    by_name, result, saved = scores(folder, setting)
    wrong = saved["given"] != saved["true"]
    origin = provenance("nmfdiag", "torch", "numpy", "date", machine=processor_model())
    network: dict[str, object] = {
        **asdict(setting),
        "n": len(wrong),
        "fitted": round(float(saved["fitted"]), 4),
        "test_accuracy": round(float(saved["test_accuracy"]), 4),
    }
    is_right = saved["true"] == result.suggested
    rate = result.noise_rate
    rates = network | {
        "wrong": round(float(wrong.mean()), 4),
        "estimate": round(rate.estimate, 4),
        "low": round(rate.low, 4),
        "high": round(rate.high, 4),
        "suggestion_right": round(float(is_right[wrong].mean()), 4) if wrong.any() else "",
        "moves": result.provenance["moves"],
        **origin,
    }
    rows = []
    for name, (score, seconds) in by_name.items():
        quality = ranking_quality(score, wrong)
        if quality is not None:
            numbers = {key: round(value, 4) for key, value in asdict(quality).items()}
            rows.append(network | {"score": name, **numbers, "cpu_seconds": round(seconds, 1), **origin})
    return rows, rates


def add(path: Path, rows: list[dict[str, object]]) -> None:
    """Add rows to a table."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


def main(folder: Path) -> None:
    """Measure what is not in the tables."""
    measured_keys = set()
    if RATES.exists():
        with RATES.open() as file:
            measured_keys = {
                (r["dataset"], r["kind"], float(r["share"]), int(r["seed"]), r["augmented"] == "True")
                for r in csv.DictReader(file)
            }
    for setting in settings():
        if not (folder / f"{setting.name}.npz").exists() or tuple(asdict(setting).values()) in measured_keys:
            continue
        rows, rates = rows_of(folder, setting)
        if rows:
            add(RESULTS, rows)
        add(RATES, [rates])
        print(
            setting.name,
            {row["score"]: row["auroc"] for row in rows},
            rates["estimate"],
            rates["suggestion_right"],
            flush=True,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
