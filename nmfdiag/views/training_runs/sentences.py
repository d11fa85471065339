"""Sentences of the page *Training runs* on what monitored runs say about memorisation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from nmfdiag.evidence.records import run_state_counts
from nmfdiag.measures.memorised import MEMORISED
from nmfdiag.measures.stopping import PATIENCE
from nmfdiag.monitor.run_logs import label_noise_of
from nmfdiag.monitor.run_reader import MonitoredRun, Run, is_number, layer_means
from nmfdiag.monitor.run_state import (
    FEWEST_MEASUREMENTS,
    FIRST_PASSES,
    LOW_AUC,
    MEMORISING,
    NOT_YET,
    TOO_FEW,
    UNKNOWN,
    RunState,
    run_state,
    test_accuracies,
)
from nmfdiag.monitor.trainer import QUIET_SECONDS
from nmfdiag.text import for_code, for_markdown, percent, plural
from nmfdiag.views.epochs import ALL
from nmfdiag.views.help_text import help_text
from nmfdiag.views.stopping.advice import OPEN, REFUTED, SUPPORTED, RecordedGains, advice_text, finding
from nmfdiag.views.training_runs.tables import Reading, reading_table

LEAST_LEARNT = 0.3
"""Share of the probe's labels that must be right at a peak for it to be called the best stop: before, a network has learnt too little."""
SUBJECTS = {"relative": "relative AuC", "absolute": "AuC", "k = 1 accuracy": "k = 1 accuracy"}
QUIET = f"no line for more than {QUIET_SECONDS // 60} minutes"
GROWING_TEXTS = {
    MEMORISING: "Memorising since epoch {since}{or_earlier}", NOT_YET: "Not yet", TOO_FEW: "Too few measurements: {n}", UNKNOWN: "Can't tell",
}  # fmt: skip
ENDED_TEXTS = {
    MEMORISING: "memorising since epoch {since}{or_earlier}", NOT_YET: "not memorising", TOO_FEW: "too few measurements: {n}",
    UNKNOWN: "can't tell whether it memorises",
}  # fmt: skip

THREE_LINES = """
from nmfdiag import MemorizationMonitor

monitor = MemorizationMonitor(inputs[:500], labels[:500], folder="{folder}/first")
for epoch in range(1, 101):
    train_one_epoch(model)
    monitor.on_epoch_end(model, epoch)
monitor.finish(model)
""".strip()
"""README has the same. Without a comment: Streamlit's are too pale to be read."""


def how_to_read() -> str:
    """Return the page's text on how to read it, with how often a state without test accuracy is right in the recorded runs."""
    counts = run_state_counts()
    (n_right, n_memorising), (n_right_not_yet, n_not_yet) = counts[MEMORISING], counts[NOT_YET]
    n = sum(n_state for _, n_state in counts.values())
    return help_text(
        "training_runs", patience=PATIENCE, quiet=QUIET, share=percent(MEMORISED), low_auc=LOW_AUC, passes=FIRST_PASSES, memorising=f"{n_right} of {n_memorising}",
        not_yet=f"{n_right_not_yet} of {n_not_yet}", unknown=f"{counts[UNKNOWN][1]} of {n}",
    )  # fmt: skip


def state_lines(readings: Sequence[Reading], runs: Mapping[str, MonitoredRun]) -> list[str]:
    """Return the state of each run, in Markdown; of several runs each line has its name."""
    names = [f"{for_markdown(reading.label)}: " if len(readings) > 1 else "" for reading in readings]
    states = [state_text(run_state(runs[reading.label].run), reading.state) for reading in readings]
    return [name + state for name, state in zip(names, states, strict=True)]


def state_text(state: RunState, progress: str) -> str:
    """Return a state in a few words; ``progress`` as in :class:`Reading`."""
    is_growing = progress == "under way"
    texts, or_earlier = GROWING_TEXTS if is_growing else ENDED_TEXTS, "" if state.is_exact else " or earlier"
    text = texts[state.code].format(since=state.since, n=state.n_measured, or_earlier=or_earlier)
    return (
        text if is_growing else f"{'Stopped' if progress == 'quiet' else for_markdown(progress).capitalize()}: {text}"
    )


def explanation(reading: Reading, run: Run, measure: str, layers: str, recorded: Sequence[RecordedGains]) -> str:
    """Return why a run has its state, how much of it was measured, and where the drawn measure was highest, in Markdown."""
    state = run_state(run)
    if not reading.epoch:
        return f"{for_markdown(reading.label)}: no epoch has ended yet."
    parts = [f"{for_markdown(reading.label)}, epoch {reading.epoch}.", state.reason, measured_text(run, state)]
    if state.code in (UNKNOWN, TOO_FEW) and not test_accuracies(run):
        parts.append("A logged `test_accuracy=` would tell.")
    if reading.state == "quiet":
        parts.append(f"It counts as stopped: {QUIET}.")
    code = finding(label_noise_of(run), recorded) if layers == ALL else OPEN
    return " ".join(filter(None, [*parts, peak_text(reading, run, subject_of(measure, layers), code)]))


def advice(
    readings: Sequence[Reading], runs: Mapping[str, MonitoredRun], measure: str, recorded: Sequence[RecordedGains]
) -> list[str]:
    """Return whether to stop by a measure (mean over all layers), once for each p of the runs, in Markdown."""
    by_noise = {label_noise_of(runs[reading.label].run): reading for reading in readings}
    return [
        advice_text(
            p, best_stop(reading, runs[reading.label].run) if len(readings) == 1 else None, recorded, SUBJECTS[measure]
        )
        for p, reading in by_noise.items()
    ]


def state_table(readings: Sequence[Reading], runs: Mapping[str, MonitoredRun]) -> pd.DataFrame:
    """Return the state of every run, the stopping rule's reading, and test accuracies."""
    table = reading_table(readings, runs)
    states = [state_text(run_state(runs[reading.label].run), reading.state) for reading in readings]
    table.insert(1, "memorises", states)
    return table


def measured_text(run: Run, state: RunState) -> str:
    """Return how many epochs were measured, where some were not."""
    n_measured = state.n_measured
    if n_measured >= len(run.epochs):
        return ""
    overhead = run.probe.get("overhead")
    now = f" (now {overhead:g})" if is_number(overhead) else ""
    return f"{n_measured} of {plural(len(run.epochs), 'epoch')} measured; `overhead=`{now} raises it."


def subject_of(measure: str, layers: str) -> str:
    """Return the name of the drawn measure, in Markdown."""
    return SUBJECTS[measure] + ("" if layers == ALL else f" of {for_markdown(layers)}")


def best_stop(reading: Reading, run: Run) -> int | None:
    """Return the epoch with the highest value, unless the network had learnt too little there or training should go on."""
    baselines = layer_means(run.epochs, str(run.probe.get("method", "nmf")), "baseline")
    return None if reading.stop is None or baselines.get(reading.stop, 1) < LEAST_LEARNT else reading.stop


def peak_text(reading: Reading, run: Run, subject: str, code: str) -> str:
    """Return where the drawn measure was highest, and how long ago; empty with too few measurements.

    Args:
        reading: The run as the stopping rule reads it.
        run: The run.
        subject: From :func:`subject_of`.
        code: What the record says about stopping there, from :func:`nmfdiag.views.stopping.advice.finding`.
    """
    best, values = reading.best, list(reading.values.values())
    if best is None or len(values) < FEWEST_MEASUREMENTS:
        return ""
    subject = subject[0].upper() + subject[1:]
    if not reading.since:
        return f"{subject} is highest now ({values[-1]:.2f})."
    numbers = f"({reading.values[best]:.2f}, now {values[-1]:.2f})"
    checks = "" if reading.stop else f" {reading.since} of {reading.patience} checks without a rise."
    baseline = layer_means(run.epochs, str(run.probe.get("method", "nmf")), "baseline").get(best)
    if baseline is not None and baseline < LEAST_LEARNT:
        return f"{subject} was highest at epoch {best} {numbers}, with only {100 * baseline:.0f} % of the labels right: no epoch to stop at."
    if code == REFUTED:
        return f"{subject} peaked at epoch {best} {numbers}.{checks}"
    condition = "" if code == SUPPORTED else ", if labels are noisy"
    test = test_accuracies(run)
    accuracy = (
        f" Test accuracy {test[best]:.2f} there, {next(reversed(test.values())):.2f} now." if best in test else ""
    )
    return f"Best stop{condition}: epoch {best}. {subject} peaked there {numbers}.{checks}{accuracy}"


def following_text(growing: Sequence[str], training: str) -> str:
    """Return which runs are under way, and that the page looks by itself."""
    names = [for_markdown(label) for label in growing]
    if training and training not in growing:
        names.insert(0, f"{training} (starting)")
    return f"Under way: {', '.join(names)}." if names else "No active run. Checking every 5 s."


def watched_text(folder: Path) -> str:
    """Return how to make a run of one's own appear."""
    return (
        f"**Or watch your own training** with three lines in its loop. The folder {for_code(str(folder.resolve()))} is watched (`$NMFDIAG_RUNS` names another): the run appears "
        "here automatically. If you have test samples, add `test_accuracy=...` after `epoch`: then the state rests on it."
    )
