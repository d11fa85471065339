"""Sentences of the page *Training runs* on what monitored runs say about memorisation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nmfdiag.measures.stopping import PATIENCE
from nmfdiag.monitor.run_reader import MonitoredRun
from nmfdiag.monitor.trainer import QUIET_SECONDS
from nmfdiag.text import for_code, for_markdown, plural
from nmfdiag.views.epochs import ALL
from nmfdiag.views.help_text import help_text
from nmfdiag.views.training_runs.tables import Reading, logged_values

MOST_SENTENCES = 4
LEVEL = 0.01
"""Distance below the highest value within which a measure is called level."""
SUBJECTS = {"relative": "relative AuC", "absolute": "AuC", "k = 1 accuracy": "k = 1 accuracy"}
QUIET = f"no line for more than {QUIET_SECONDS // 60} minutes"

THREE_LINES = """
from nmfdiag import MemorizationMonitor

monitor = MemorizationMonitor(x_train[:500], y_train[:500], folder="{folder}/first")
for epoch in range(1, 101):
    train_one_epoch(model)
    monitor.on_epoch_end(model, epoch, train_loss=loss)
""".strip()


def how_to_read() -> str:
    """Return the page's text on how to read it."""
    return help_text("training_runs", patience=PATIENCE, quiet=QUIET)


def answers(readings: Sequence[Reading], runs: Mapping[str, MonitoredRun], measure: str, layers: str) -> list[str]:
    """Return one sentence per run, in Markdown; of more than four runs the rest is counted."""
    sentences = [answer(run, logged_values(runs[run.label].run, "test_accuracy"), measure, layers) for run in readings]
    further_runs = readings[MOST_SENTENCES:]
    if not further_runs:
        return sentences
    count = f"{len(further_runs)} more: {sum(run.stop is not None for run in further_runs)} should have stopped. See the tab *Table*."
    return [*sentences[:MOST_SENTENCES], count]


def answer(reading: Reading, test: Mapping[int, float], measure: str, layers: str) -> str:
    """Return whether a run should have stopped, at which epoch, and its test accuracy there and now."""
    start, subject = f"{for_markdown(reading.label)}, epoch {reading.epoch}", _subject(measure, layers)
    start += {"under way": "", "quiet": f" (stopped: {QUIET})"}.get(reading.state, f" ({for_markdown(reading.state)})")
    best, values = reading.best, list(reading.values.values())
    if not reading.epoch:
        return f"{start}: no epoch has ended yet."
    if best is None:
        return f"{start}: {subject} has not been measured."
    top, last = reading.values[best], values[-1]
    if reading.stop is None and reading.since == 0:
        value = f"highest so far, {last:.3f}" if len(values) > 1 else f"first look, {last:.3f}"
        return f"{start}: {subject} is still rising ({value})."
    level = ", which is level rather than falling" if top - last < LEVEL else ""
    epoch = f"epoch {best}" + (", its first look" if best == next(iter(reading.values)) else "")
    sentence = f"{start}: {subject} has not risen since {epoch} ({top:.3f}, now {last:.3f}{level}); "
    if reading.stop is None:
        return f"{sentence}{plural(reading.since, 'look')} of the {reading.patience} that it takes to stop."
    sentence += "training should have stopped there"
    if best in test and len(test) > 1:
        sentence += f". Test accuracy {test[best]:.3f} there, {list(test.values())[-1]:.3f} now"
    return f"{sentence}."


def rule_text(readings: Sequence[Reading], measure: str, layers: str) -> str:
    """Return the rule behind the answer."""
    patience = " or ".join(map(str, sorted({run.patience for run in readings})))
    return (
        f"Rule: stop once {_subject(measure, layers)} of training samples has not risen for {patience} looks, and keep "
        "the weights of its highest value; a later rise withdraws it."
    )


def following_text(growing: Sequence[str], training: str) -> str:
    """Return which runs are under way and that the page follows them; empty without any."""
    names = [for_markdown(label) for label in growing]
    if training and training not in growing:
        names.insert(0, f"{training} (starting)")
    return f"Under way: {', '.join(names)}. This page follows by itself." if names else ""


def empty_text(folder: Path) -> str:
    """Return how to make a run appear."""
    return (
        f"No run yet. The folder {for_code(str(folder.resolve()))} is watched (`$NMFDIAG_RUNS` names another). Three lines in a training loop "
        "make a run appear here, or train a small network now."
    )


def _subject(measure: str, layers: str) -> str:
    return f"the {SUBJECTS[measure]}" + (", mean over all layers," if layers == ALL else f" of {for_markdown(layers)}")
