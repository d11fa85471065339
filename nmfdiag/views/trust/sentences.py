"""Sentences of the page *How far can you trust this?*"""

import pandas as pd

from nmfdiag.diagnosis.reliability import (
    NOISY_FROM,
    RIGHT_UP_TO,
    Quantity,
    reliability,
    whole_per_cent,
)
from nmfdiag.evidence.jury_records import HALVES
from nmfdiag.measures.memorised import MEMORISED
from nmfdiag.text import percent, plural
from nmfdiag.views.help_text import help_text

NOTHING = "No network of the jury is recorded here yet. `benchmarks/jury` trains and measures them."
OPTIMISTIC = "Thresholds were chosen on these networks, so expect it to be right less often on yours. The judged half says how often."
WHERE_UNJUDGED = "*Where* a network memorises is not judged: nobody knows the true layer."
BRACKETS = "In brackets: how many of how many, and the exact 95 % interval."


def subject(table: pd.DataFrame, half: str) -> str:
    """Return which networks are shown."""
    sizes = f"{table['n'].min():,} to {table['n'].max():,} training samples"
    datasets, architectures = table["dataset"].nunique(), table["arch"].nunique()
    return (
        f"{half} half · {plural(len(table), 'network')} · {plural(datasets, 'data set')} · "
        f"{plural(architectures, 'architecture')} · {sizes}"
    )


def headline(table: pd.DataFrame) -> str:
    """Return how often wrong labels are seen, the one number that says most."""
    noisy = reliability(table).noisy
    if not noisy.total:
        return f"No network with at least {whole_per_cent(NOISY_FROM)} wrong labels is among these."
    return (
        f"Of networks with at least {whole_per_cent(NOISY_FROM)} wrong labels, {percent(noisy.share)} are called noisy."
    )


def missing_text(table: pd.DataFrame, quantity: Quantity) -> str:
    """Return how many networks are not drawn; empty for none."""
    n = int(table[quantity.column].isna().sum())
    return f"{plural(n, 'network')} without an estimate {'is' if n == 1 else 'are'} not drawn." if n else ""


def how_to_read() -> str:
    """Return the page's text on how to read it."""
    return help_text(
        "trust",
        noisy_from=whole_per_cent(NOISY_FROM),
        right_up_to=whole_per_cent(RIGHT_UP_TO),
        memorised=percent(MEMORISED),
    )


def settings(table: pd.DataFrame) -> dict[str, str]:
    """Return what the page's numbers are made from."""
    counts = table["half"].value_counts()
    return {
        "networks": ", ".join(f"{counts[half]} {half}" for half in HALVES if half in counts),
        "halves": "a pair of data set and architecture belongs to one half only",
        "record": "shipped with nmfdiag; benchmarks/jury declares, trains and measures the networks again",
        "interval of a count": "exact binomial (Clopper and Pearson), 95 %",
        "rank correlation": "Spearman's",
    }
