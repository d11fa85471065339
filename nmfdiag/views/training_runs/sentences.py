"""What monitored runs say about memorisation, in plain sentences."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nmfdiag.measures.stopping import PATIENCE
from nmfdiag.monitor.run_reader import MonitoredRun
from nmfdiag.monitor.trainer import QUIET_SECONDS
from nmfdiag.text import for_code, for_markdown
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

HOW_TO_READ = f"""
**The first line** goes by one rule, the monitor's own: training should stop once the measure, taken from training samples and their
given labels alone, has not risen for so many looks (the monitor's `patience`, {PATIENCE} if you give none), and the weights to keep are those of its highest
value. A later rise withdraws it. It is taken from raw values, whatever is smoothed on the plot.

**The panels** share the epochs: losses and accuracies where the loop logs them (test solid, training dashed), and the measure of
single-class batches (NMF, or signed NMF where the monitor watched activations that can be negative, solid; random ablation dotted). A dot and a thin upright line mark where a run should have stopped; there is none while
the run should go on. Runs are told apart by marker and name. Colour means p, from blue (0) to red (1); a run whose p is unknown is teal or grey.
With *mean and band* runs whose names differ in the seed at their end alone become one line with a band of one standard error.
A monitor that keeps to its share of the time leaves epochs out: the line joins those that it looked at.

**The map** has the measure of each layer at each epoch of one run; dots mark where each layer is highest. Click a layer to draw it alone.

**What it cannot tell.** *Absolute AuC* rises with the accuracy on the given labels, noisy ones included, so it seldom peaks before they are
fitted. *Relative AuC* divides that away; it can be highest at the very first epochs, when a network gets little right. A measure that stays level
after its highest value has saturated, which is no sign of memorisation by itself. One run says nothing about the next seed. How well such rules do on recorded
runs is on the page *Early stopping*.

**Runs under way** are followed by themselves. A run without a result and with {QUIET} counts as stopped, though it may only be slow:
the page then no longer looks by itself. `monitor.finish()` after the loop writes the result and says that nothing more comes."""


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
