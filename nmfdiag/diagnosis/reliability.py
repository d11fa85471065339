"""How often the answers on the jury's networks are right, as counts with exact intervals, and how far its estimates are off."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from nmfdiag.diagnosis.answers import INCONCLUSIVE, MEMORISES, NOISY_LABELS
from nmfdiag.evidence.jury_records import DEVELOPMENT, JUDGED, jury_table
from nmfdiag.evidence.suspects_records import LOOK_ALIKE
from nmfdiag.measures.memorised import MEMORISED
from nmfdiag.measures.stats.correlation import Correlation, correlation
from nmfdiag.text import join, percent, plural

NOISY_FROM, RIGHT_UP_TO, FIFTH = 0.35, 0.05, 0.2
"""True share of wrong labels from which on a network must be called noisy, and up to which it must not; p that must be called noisy, too."""
ROUNDING = 1e-6
RARE, USUAL = 1 / 3, 0.8
"""Shares of look-alike errors seen, below which they are hardly seen, and from which on as others are."""


@dataclass(frozen=True)
class Count:
    """``n`` of ``total`` networks, with the exact 95 % interval of their share (Clopper and Pearson's)."""

    n: int
    total: int

    @property
    def share(self) -> float:
        """The share; NaN of no networks."""
        return self.n / self.total if self.total else float("nan")

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Ends of the interval; 0 and 1 of no networks.

        >>> [round(end, 3) for end in Count(9, 10).interval]
        [0.555, 0.997]
        """
        from scipy.stats import binomtest

        if not self.total:
            return 0.0, 1.0
        low, high = binomtest(self.n, self.total).proportion_ci(0.95, method="exact")
        return float(low), float(high)

    @property
    def text(self) -> str:
        """Share, count and interval.

        >>> Count(9, 10).text, Count(0, 0).text
        ('90 % (9 of 10; 55 to 100 %)', '–')
        """
        if not self.total:
            return "–"
        low, high = self.interval
        return f"{percent(self.share)} ({self.n} of {self.total}; {100 * low:.0f} to {100 * high:.0f} %)"


def count(is_so: pd.Series) -> Count:
    """Return how many of the networks are so."""
    return Count(int(is_so.sum()), len(is_so))


def called_noisy(table: pd.DataFrame) -> Count:
    """Return how many are called noisy; those that it can't tell of are not."""
    return count(table["code"] == NOISY_LABELS)


@dataclass(frozen=True)
class Reliability:
    """How often wrong labels are told right.

    Attributes:
        noisy: Called noisy, of those with at least :data:`NOISY_FROM` wrong labels.
        look_alike: Of these with errors between look-alike classes, and p = :data:`FIFTH` among them.
        fifth: Called noisy, of those with p = :data:`FIFTH`.
        right: Neither called noisy nor "can't tell", of those with at most :data:`RIGHT_UP_TO` wrong labels.
        false_alarms: Called noisy, of the same.
        unknown: "Can't tell", of all.
    """

    noisy: Count
    look_alike: Count
    fifth: Count
    right: Count
    false_alarms: Count
    unknown: Count


def reliability(table: pd.DataFrame) -> Reliability:
    """Return how often the labels of a table's networks are told right."""
    is_noisy = table["wrong"] >= NOISY_FROM - ROUNDING
    is_fifth = (table["p"] - FIFTH).abs() < ROUNDING
    noisy, right = table[is_noisy], table[table["wrong"] <= RIGHT_UP_TO + ROUNDING]
    return Reliability(
        noisy=called_noisy(noisy),
        look_alike=called_noisy(table[(is_noisy | is_fifth) & (table["kind"] == LOOK_ALIKE)]),
        fifth=called_noisy(table[is_fifth]),
        right=count(~right["code"].isin((NOISY_LABELS, INCONCLUSIVE))),
        false_alarms=called_noisy(right),
        unknown=count(table["code"] == INCONCLUSIVE),
    )


def true_error(table: pd.DataFrame) -> pd.Series:
    """Return the error on test samples, whose labels are right."""
    return 1 - table["test_accuracy"]


def truly_memorised(table: pd.DataFrame) -> pd.Series:
    """Return the share of memorised answers by the true share of wrong labels and the test accuracy, as :func:`~nmfdiag.measures.memorised.memorised_share` of one network."""
    return (table["train_accuracy"] - (1 - table["wrong"]) * table["test_accuracy"]).clip(0, 1)


@dataclass(frozen=True)
class Quantity:
    """What an answer estimates.

    Attributes:
        column: Of the estimate.
        title: In words.
        level: Per cent of truths that the interval is meant to hold.
        truth: Returns the true values of a table's networks.
        truth_title: In words.
    """

    column: str
    title: str
    level: int
    truth: Callable[[pd.DataFrame], pd.Series]
    truth_title: str


QUANTITIES = {
    "wrong labels": Quantity(
        "noise", "estimated share of wrong labels", 95, lambda table: table["wrong"], "true share of wrong labels"
    ),
    "expected error": Quantity("error", "expected error", 90, true_error, "error on test samples"),
    "memorised": Quantity(
        "memorised", "estimated share of memorised answers", 95, truly_memorised, "share by test accuracy and true labels"
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Agreement:
    """How far estimates are from the truth.

    Attributes:
        held: How many intervals hold the truth.
        mean_error: Mean absolute difference of estimate and truth; NaN without networks.
        rank: Spearman's correlation of both.
    """

    held: Count
    mean_error: float
    rank: Correlation


def calibration(table: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """Return name, kind, p, truth, estimate, low and high of the networks whose estimate is known."""
    name = quantity.column
    columns = {name: "estimate", f"{name}_low": "low", f"{name}_high": "high"}
    truths = table.assign(truth=quantity.truth(table)).rename(columns=columns)
    return truths[["name", "kind", "p", "truth", *columns.values()]].dropna(subset=["estimate"])


def agreement(points: pd.DataFrame) -> Agreement:
    """Return how far the estimates of :func:`calibration` are from the truth."""
    is_held = points["truth"].between(points["low"] - ROUNDING, points["high"] + ROUNDING)
    mean_error = float((points["estimate"] - points["truth"]).abs().mean())
    rank = correlation(points["estimate"].tolist(), points["truth"].tolist(), method="spearman")
    return Agreement(count(is_held), mean_error, rank)


def memorising_right(table: pd.DataFrame) -> Count:
    """Return how often the answer whether a network memorises is that of its true share; unknown answers are left out."""
    points = calibration(table, QUANTITIES["memorised"])
    return count((points["estimate"] >= MEMORISED) == (points["truth"] >= MEMORISED))


def trust_answer(table: pd.DataFrame, half: str) -> str:
    """Return how often the answers on labels are correct, with counts and intervals."""
    counts = reliability(table)
    owner = "that thresholds were chosen on" if half == DEVELOPMENT else "that no threshold was chosen on"
    parts = [
        f"calls {counts.noisy.text} of those with at least {whole_per_cent(NOISY_FROM)} wrong labels noisy",
        f"finds few or no wrong labels in {counts.right.text} of those with at most {whole_per_cent(RIGHT_UP_TO)}",
    ]
    answers = [part for part, total in zip(parts, (counts.noisy.total, counts.right.total), strict=True) if total]
    opening = f"Of {plural(len(table), 'network')} {owner}, "
    correct_text = f"nmfdiag {join(answers)}; " if answers else ""
    return f"{opening}{correct_text}it can't tell for {counts.unknown.text}."


def whole_per_cent(share: float) -> str:
    """Return a share in whole per cent, as text."""
    return f"{100 * share:.0f} %"


def weakness_text(table: pd.DataFrame) -> str:
    """Return how often errors between look-alike classes are seen; empty where there are none."""
    look_alike = reliability(table).look_alike
    if not look_alike.total:
        return ""
    visibility = (
        "are hardly seen"
        if look_alike.share < RARE
        else "are often missed"
        if look_alike.share < USUAL
        else "are seen here, though elsewhere they may be missed"
    )
    opening = f"Errors between look-alike classes {visibility}: {look_alike.text} of the networks with at least {whole_per_cent(FIFTH)} of them are called noisy."
    is_missed = (table["kind"] == LOOK_ALIKE) & (table["p"] > FIFTH - ROUNDING) & (table["code"] != NOISY_LABELS)
    n_missed, n_memorising = int(is_missed.sum()), int((table["code"][is_missed] == MEMORISES).sum())
    if not n_missed:
        return opening
    return f"{opening} Where they are missed, the labels look right; of the {n_missed} missed, {n_memorising} are said to memorise."


def trust_text() -> str:
    """Return how far the answers on any network can be trusted, by the judged half of the jury; empty without its record."""
    record = jury_table()
    table = record[record["half"] == JUDGED]
    return "" if table.empty else f"{trust_answer(table, JUDGED)} {weakness_text(table)}".rstrip()
