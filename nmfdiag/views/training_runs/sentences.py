"""What monitored runs say about memorisation, in plain sentences."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nmfdiag.measures.stopping import PATIENCE
from nmfdiag.monitor.run_reader import MonitoredRun
from nmfdiag.monitor.trainer import QUIET_SECONDS
from nmfdiag.text import for_code, for_markdown
from nmfdiag.views.help_text import help_text
from nmfdiag.views.stopping.tables import ALL
from nmfdiag.views.training_runs.tables import Reading, logged

MOST_SENTENCES = 4
LEVEL = 0.01
"""A measure that lies less than this below its highest value is called level."""
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


def answers(readings: Sequence[Reading], chosen: Mapping[str, MonitoredRun], measure: str, layers: str) -> list[str]:
    """One sentence a run, in markdown; of more than four the rest is counted."""
    some = [answer(each, logged(chosen[each.label].run, "test_accuracy"), measure, layers) for each in readings]
    more = readings[MOST_SENTENCES:]
    if not more:
        return some
    words = f"{len(more)} more: {sum(each.stop is not None for each in more)} should have stopped. See the tab *Table*."
    return [*some[:MOST_SENTENCES], words]


def answer(reading: Reading, test: Mapping[int, float], measure: str, layers: str) -> str:
    """Whether a run should have stopped, where, and what the test accuracy says of that."""
    start, what = f"{for_markdown(reading.label)}, epoch {reading.epoch}", f"the {SUBJECTS[measure]}{_of(layers)}"
    start += {"under way": "", "quiet": f" (stopped: {QUIET})"}.get(reading.state, f" ({for_markdown(reading.state)})")
    best, values = reading.best, list(reading.looks.values())
    if not reading.epoch:
        return f"{start}: no epoch has ended yet."
    if best is None:
        return f"{start}: {what} has not been measured."
    top, last = reading.looks[best], values[-1]
    if reading.stop is None and reading.since == 0:
        seen = f"highest so far, {last:.3f}" if len(values) > 1 else f"first look, {last:.3f}"
        return f"{start}: {what} is still rising ({seen})."
    level = ", which is level rather than falling" if top - last < LEVEL else ""
    at = f"epoch {best}" + (", its first look" if best == next(iter(reading.looks)) else "")
    if reading.stop is None:
        return (
            f"{start}: {what} has not risen since {at} ({top:.3f}, now {last:.3f}{level}); "
            f"{_looks(reading.since)} of the {reading.patience} that it takes to stop."
        )
    words = f"{start}: {what} has not risen since {at} ({top:.3f}, now {last:.3f}{level}); training should have stopped there"
    if best in test and len(test) > 1:
        words += f". Test accuracy {test[best]:.3f} there, {list(test.values())[-1]:.3f} now"
    return f"{words}."


def rule_words(readings: Sequence[Reading], measure: str, layers: str) -> str:
    """The rule that the answer goes by."""
    patience = " or ".join(map(str, sorted({each.patience for each in readings})))
    return (
        f"Rule: stop once the {SUBJECTS[measure]}{_of(layers)} of training samples has not risen for {patience} looks, and keep "
        "the weights of its highest value; a later rise withdraws it."
    )


def following_words(growing: Sequence[str], training: str) -> str:
    """What is under way, and that the page follows it; empty if nothing is."""
    names = [for_markdown(label) for label in growing]
    if training and training not in growing:
        names.insert(0, f"{training} (starting)")
    return f"Under way: {', '.join(names)}. This page follows by itself." if names else ""


def empty_words(folder: Path) -> str:
    """What makes a run appear."""
    return (
        f"No run yet. The folder {for_code(str(folder.resolve()))} is watched (`$NMFDIAG_RUNS` names another). Three lines in a training loop "
        "make a run appear here, or train a small network now."
    )


def _of(layers: str) -> str:
    return ", mean over all layers," if layers == ALL else f" of {for_markdown(layers)}"


def _looks(n: int) -> str:
    return f"{n} look{'s' * (n != 1)}"
