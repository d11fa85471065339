"""What a training loop has logged of a run, by epoch."""

from collections.abc import Sequence

from nmfdiag.monitor.run_reader import Run, is_number

EpochValues = dict[int, float]


def label_noise_of(run: Run) -> float | None:
    """Return a run's p from its recipe or its log."""
    if run.recipe is not None:
        return run.recipe.label_noise
    values = [line.get(key) for line in run.epochs[:1] for key in ("p", "label_noise")]
    return next((p for p in values if p is not None and is_number(p) and 0 <= p <= 1), None)


def logged_values(run: Run, key: str) -> EpochValues:
    """Return a value of the training log by epoch."""
    return {int(line["epoch"]): line[key] for line in run.epochs if is_number(line.get(key))}


def log_names(runs: Sequence[Run], part: str) -> list[str]:
    """Return the keys of the logs that contain a part, such as ``"loss"``; those of training samples last."""
    names = dict.fromkeys(key for run in runs for line in run.epochs for key in line if part in key)
    return sorted((name for name in names if any(logged_values(run, name) for run in runs)), key=lambda n: "train" in n)
