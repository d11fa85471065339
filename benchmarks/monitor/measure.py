"""What watching a training costs: two recipes of the zoo, trained with and without the monitor, in turns.

``NMFDIAG_DATA=... python benchmarks/monitor/measure.py OUT.csv`` writes a line an epoch of each run: processor seconds of the epoch
and of the monitor in it. At the end it prints for each recipe the monitor's share of the epochs' time, the difference between
watched and unwatched runs, and whether the weights are the same to the last bit. Processor time, for a busy machine stretches
the clock; one thread.
"""

import csv
import hashlib
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from nmfdiag import MemorizationMonitor
from nmfdiag.data.datasets import load
from nmfdiag.zoo.recipes import Recipe, recipe
from nmfdiag.zoo.training import train, training_set

RUNS = {"fashion_mnist-cnn-p0-s0": (10, 3), "cifar10-cnn-p0-s0": (4, 2)}
"""Epochs, and how often each is trained either way."""
PROBES = 500
COLUMNS = "network watched repeat epoch seconds monitor looked processor torch".split()


def run(run_recipe: Recipe, watched: bool, repeat: int) -> tuple[str, list[dict[str, Any]]]:
    """Train once; return the weights' hash and a line for each epoch."""
    monitor = None
    if watched:
        samples = training_set(run_recipe, load(run_recipe.dataset, "train"))
        monitor = MemorizationMonitor(samples.normalization(samples.inputs[:PROBES]), samples.labels.given[:PROBES])
    lines: list[dict[str, Any]] = []
    times = {"began": 0.0}

    def watch(model: nn.Module) -> dict[str, float]:
        before = time.process_time()
        if monitor is not None:
            monitor.on_epoch_end(model, len(lines) + 1)
        return {"monitor": time.process_time() - before}

    def on_epoch(line: dict[str, Any]) -> None:
        lines.append(
            {
                "network": run_recipe.name, "watched": int(watched), "repeat": repeat, "epoch": line["epoch"],
                "seconds": time.process_time() - times["began"], "monitor": line["monitor"],
                "looked": int(bool(monitor and monitor.history[-1]["curves"])),
                "processor": platform.processor() or platform.machine(), "torch": torch.__version__,
            }
        )  # fmt: skip
        times["began"] = time.process_time()

    times["began"] = time.process_time()
    trained = train(run_recipe, on_epoch=on_epoch, watch=watch, tested=0)
    weights = hashlib.sha256()
    for name, value in trained.model.state_dict().items():
        weights.update(name.encode() + value.contiguous().numpy().tobytes())
    return weights.hexdigest(), lines


def main(out: Path) -> None:
    """Train all in turns, and print what it cost."""
    torch.set_num_threads(1)
    with out.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for name, (epochs, repeats) in RUNS.items():
            run_recipe = replace(recipe(name), max_epochs=epochs, fitted_at=2.0, cool_down=1)
            all_lines, hashes = [], set()
            for repeat in range(repeats):
                for watched in (False, True) if repeat % 2 == 0 else (True, False):
                    digest, lines = run(run_recipe, watched, repeat)
                    hashes.add(digest)
                    all_lines += lines
                    table.writerows(
                        line | {key: f"{line[key]:.3f}" for key in ("seconds", "monitor")} for line in lines
                    )
                    file.flush()
            print(f"{name}: {summary(all_lines)}; weights {'the same' if len(hashes) == 1 else 'DIFFER'}", flush=True)


def summary(lines: list[dict[str, Any]]) -> str:
    """Return the shares as text."""
    later = [line for line in lines if line["epoch"] > 1]  # the first one reads the data, imports and compiles
    watched_lines = [line for line in later if line["watched"]]
    own = sum(line["monitor"] for line in watched_lines) / sum(
        line["seconds"] - line["monitor"] for line in watched_lines
    )
    all_lines = [line for line in lines if line["watched"]]
    alone = median(line["seconds"] for line in later if not line["watched"])
    whole = sum(line["monitor"] for line in all_lines) / (alone * len(all_lines))
    measure_seconds = [line["monitor"] for line in watched_lines if line["looked"]]
    return (
        f"an epoch takes {alone:.1f} s, one look {median(measure_seconds) if measure_seconds else float('nan'):.2f} s; the monitor's share is {own:.1%} "
        f"after the first epoch, {whole:.1%} with it; looked at {len(measure_seconds)} of {len(watched_lines)} epochs after the first; a watched "
        f"epoch without its look takes {median(line['seconds'] - line['monitor'] for line in watched_lines) / alone - 1:+.1%} longer"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
