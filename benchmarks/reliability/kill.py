"""Kill processes (-9) at random moments of their work, and check what they leave behind: ``python benchmarks/reliability/kill.py``.

Sweeps, the dashboard's queue, results in files of their own, watched trainings, and the dashboard's server with a reader take turns. Ends
with an error at the first thing that is wrong. ``--kills`` says how often (default 50 of each), ``--seed`` chooses the moments, ``--only``
one way of working.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

import process_kills
import server_restarts


def main() -> None:
    """Kill, check, and print a line for each way of working."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("sweep_all", "queue_all", "keep_large", "train", "serve"))
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ways = {
            "sweep_all": lambda: sweeps(process_kills.sweep_curves, arguments.kills, folder),
            "queue_all": lambda: sweeps(process_kills.queue_curves, arguments.kills, folder),
            "keep_large": lambda: large(arguments.kills, folder),
            "train": lambda: trainings(arguments.kills, folder / "runs"),
            "serve": lambda: serve(arguments.kills, folder / "serve"),
        }
        for way in [arguments.only] if arguments.only else ways:
            report(way, *ways[way]())


def sweeps(target: process_kills.Target, kills: int, folder: Path) -> tuple[int, str]:
    """Kill a sweep again and again, before and after its first curve; begin another one whenever it has come to its end."""
    fresh = process_kills.reference_curves(process_kills.requests(), folder / "fresh")
    hits, starts, complete, resumed = 0, 0, 0, 0
    cache, key_folder = folder / f"{target.__name__}-0", folder / f"told-{target.__name__}-0"
    while hits < kills:
        before = process_kills.check_after_kill(cache, key_folder, fresh) if cache.exists() else 0
        key_file = key_folder / str(starts)
        ready = cache.exists if starts % 2 else process_kills.has_lines(key_file, before)
        hits += process_kills.kill(target, cache, key_file, after=process_kills.random_seconds(1.0), ready=ready)
        starts += 1
        n_curves = process_kills.check_after_kill(cache, key_folder, fresh)
        assert n_curves >= before
        resumed += before > 0 and n_curves > before
        if n_curves == len(fresh):
            complete += 1
            cache, key_folder = (folder / f"{prefix}{target.__name__}-{complete}" for prefix in ("", "told-"))
    return (
        hits,
        f"{resumed} starts went on from what was there, {complete} sweeps of {len(fresh)} curves were completed",
    )


def large(kills: int, folder: Path) -> tuple[int, str]:
    """Kill a process that writes files."""
    orphans, key_folder = 0, folder / "told-large"
    for i in range(kills):
        options = {"after": process_kills.random_seconds(0.4), "ready": process_kills.has_lines(key_folder / str(i), 0)}
        assert process_kills.kill(process_kills.put_large_values, folder / "large", key_folder / str(i), **options)
        orphans += process_kills.check_large_after_kill(folder / "large", key_folder)
    return kills, f"{len(process_kills.finished_keys(key_folder))} values, and {orphans} files without a row were swept"


def trainings(kills: int, folder: Path) -> tuple[int, str]:
    """Kill trainings."""
    epochs, run = [], folder / "digits-mlp-p0.4-s0" / "run.jsonl"
    for i in range(kills):
        after, ready = process_kills.random_seconds(0.8), process_kills.has_lines(run, i % 4)
        assert process_kills.kill(process_kills.train_run, folder, after=after, ready=ready)
        epochs.append(process_kills.check_run_after_kill(folder))
        run.rename(run.with_name(f"run-{i}.jsonl"))
    return kills, f"{min(epochs)} to {max(epochs)} epochs were readable"


def serve(kills: int, folder: Path) -> tuple[int, str]:
    """Kill the server while a reader follows the overview, after its first curve or before; take a new cache when all curves are there.

    In every second cache each curve lies in a file of its own.
    """
    fresh, page = (
        process_kills.reference_curves(server_restarts.reader_choice().requests(), folder / "fresh"),
        server_restarts.complete_page(folder / "page"),
    )
    hits, amid, complete, resumed, swept = 0, 0, 0, 0, 0
    while hits < kills:
        lives = server_restarts.Lives(folder / str(complete), fresh, page, files=complete % 2 == 1)
        while len(lives.stored) < len(fresh) and hits < kills:
            before, computing = len(lives.stored), lives.lives % 3 < 2
            hit = lives.live(process_kills.random_seconds(2.0 if computing else 6.0), computing=computing)
            hits += hit
            amid += hit and 0 < len(lives.stored) < len(fresh)
            resumed += 0 < before < len(lives.stored)
        if len(lives.stored) == len(fresh):
            assert not lives.live(0)  # nothing is left to compute, and the page is there
            complete += 1
        swept += lives.swept
    return (
        hits,
        f"{amid} with a part of the curves there, {resumed} starts went on from it, "
        f"{complete} pages of {len(fresh)} curves were completed, {swept} files without a row were swept",
    )


def report(name: str, kills: int, text: str) -> None:
    """Print a line."""
    print(f"{time.strftime('%H:%M:%S')} {name:12} {kills} kills, nothing wrong: {text}", flush=True)


if __name__ == "__main__":
    main()
