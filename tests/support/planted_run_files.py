"""Files of monitored runs with a planted peak, for the tests of the page *Training runs*."""

import json
import os
import time
from pathlib import Path
from typing import Any

from nmfdiag.zoo.recipes import Recipe

HEAD = {
    "experiment": "monitor", "probe": {"per_class": 10, "patience": 5, "measure": "relative"},
    "provenance": {"nmfdiag": "0", "torch": "2", "date": "2026-01-01 12:00"},
}  # fmt: skip


def epoch_line(epoch: int, peak: int, layers: str = "ab", **logs: Any) -> dict[str, Any]:
    """Return an epoch: relative AuC is .9 at ``peak`` in every layer and falls by .02 an epoch away from it; AuC is half of that."""
    relative = 0.9 - 0.02 * abs(epoch - peak)
    values = {"relative": relative, "auc": relative / 2, "first": relative / 3, "sem": 0.01, "baseline": 0.5}
    random_values = {key: value / 2 for key, value in values.items()}
    curves = {"nmf": dict.fromkeys(layers, values), "random": dict.fromkeys(layers, random_values)}
    return {"epoch": epoch, **logs, "curves": curves, "seconds": 0.1, "should_stop": False}


def write_run(
    folder: Path, name: str = "mine", *, peak: int = 4, epochs: int = 12, p: float | None = None, seed: int = 0,
    logs: bool = True, end_line: dict[str, Any] | None = None, age: float = 3600, file: str = "run.jsonl", layers: str = "ab",
) -> Path:  # fmt: skip
    """Write a run into a folder named after it; its last line is ``age`` seconds old."""
    recipe = None if p is None else Recipe("digits", "mlp", p, seed, 100).to_dict()
    lines: list[dict[str, Any]] = [HEAD | {"name": name, "recipe": recipe}]
    for epoch in range(1, epochs + 1):
        logged_values = (
            {"train_loss": 2 / epoch, "test_loss": 1 + abs(epoch - 4) / 10, "test_accuracy": 0.8 - epoch / 100}
            if logs
            else {}
        )
        lines.append(epoch_line(epoch, peak, layers, **logged_values))
    lines += [end_line] if end_line else []
    path = folder / "".join(c if c.isalnum() or c in "-." else "_" for c in name) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    os.utime(path, (time.time() - age,) * 2)
    return path
