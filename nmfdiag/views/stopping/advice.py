"""Whether stopping where a measure is highest helps, by label noise, from the recorded experiment: what *Training runs* says before it advises to stop."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from nmfdiag.evidence import records
from nmfdiag.text import join, label_kind, plural, signed
from nmfdiag.views.stopping.tables import outcomes, settings_of

EXPERIMENT = "early-stopping"
SUPPORTED, REFUTED, OPEN = "supported", "refuted", "open"
"""What the experiment says about stopping at a noise."""


@dataclass(frozen=True)
class RecordedGains:
    """Test accuracy that stopping won over training to the end, in the recorded runs of one network.

    Attributes:
        network: Data set and architecture.
        p: Share of random labels.
        gains: Of each run, in [-1, 1].
    """

    network: str
    p: float
    gains: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.gains)


def recorded_gains(rule: str) -> list[RecordedGains]:
    """Return what a rule of :data:`nmfdiag.measures.stopping.RULES` won in each recorded setting, by p."""
    settings = settings_of(EXPERIMENT, records.histories(EXPERIMENT))
    rows = [
        RecordedGains(title.rsplit(", p =", 1)[0], setting.label_noise, gains)
        for title, setting in settings.items()
        if (gains := tuple(outcome.gain for outcome in outcomes(setting, rule)))
    ]
    return sorted(rows, key=lambda row: row.p)


def finding(p: float | None, recorded: Sequence[RecordedGains]) -> str:
    """Return what the record says about stopping at a p: supported from the least p on from which every run gained, refuted up to the
    largest at which no run did, else open, as where p is unknown (None).
    """
    gained = [row.p for row in recorded if min(row.gains) > 0]
    mixed = [row.p for row in recorded if min(row.gains) <= 0]
    least = min((q for q in gained if q > max(mixed, default=-1)), default=None)
    if p is None:
        return OPEN
    if least is not None and p >= least:
        return SUPPORTED
    return REFUTED if p <= max((row.p for row in recorded if max(row.gains) <= 0), default=-1) else OPEN


def advice_text(p: float | None, best: int | None, recorded: Sequence[RecordedGains], subject: str) -> str:
    """Return whether to stop, in Markdown, and the recorded figures behind it.

    Args:
        p: Share of random labels of the training; None where it is unknown.
        best: Epoch with the highest value, if training should stop by the rule.
        recorded: From :func:`recorded_gains`.
        subject: What is highest: ``"relative AuC"``.
    """
    outcome_text = join(
        f"{_verb([row for row in recorded if row.p == q])} with {label_kind(q)}"
        for q in dict.fromkeys(row.p for row in recorded)
    )
    record = f"in the recorded experiment, stopping where {subject} is highest {outcome_text}."
    if not recorded:
        return f"**Advice only.** No run is recorded that could say whether stopping at the highest {subject} helps."
    code = finding(p, recorded)
    if code == SUPPORTED:
        call = (
            f"**Stop, and keep the weights of epoch {best}.**"
            if best is not None
            else "**Stopping by it is supported here.**"
        )
        return f"{call} This training has {label_kind(p or 0)}; {record}"
    if code == REFUTED:
        return f"**Advice only: don't stop by it.** This training has {label_kind(p or 0)}; {record}"
    reason = "How noisy these labels are is unknown" if p is None else f"Nothing is recorded for {label_kind(p)}"
    return f"**Advice only.** {reason}; {record}"


def gains_table(recorded: Sequence[RecordedGains]) -> str:
    """Return a Markdown table with a line for each noise and network: the points of test accuracy that stopping gains, and in how many runs."""
    lines = [
        ["training", "gain by stopping (points of test accuracy)", "runs better : worse"],
        ["---", "--:", "--:"],
        *(
            [
                f"{label_kind(row.p)}, {row.network}",
                f"{'+' if row.mean > 0 else ''}{signed(100 * row.mean, 1)}",
                f"{sum(g > 0 for g in row.gains)} : {sum(g < 0 for g in row.gains)}",
            ]
            for row in recorded
        ),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _verb(rows: Sequence[RecordedGains]) -> str:
    """Return whether the runs of one noise won or lost."""
    means, n_runs = [row.mean for row in rows], plural(sum(len(row.gains) for row in rows), "run")
    verb = (
        "won test accuracy"
        if min(means) > 0
        else "lost test accuracy"
        if max(means) < 0
        else "won and lost test accuracy"
    )
    return f"{verb} ({n_runs})"
