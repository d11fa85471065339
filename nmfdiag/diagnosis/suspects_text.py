"""What suspects say, in sentences."""

import numpy as np

from nmfdiag.measures.suspects.ranking_quality import RankingQuality
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.text import join, percent, plural

CHANCE = 0.05
"""Probability, shared by all classes, below which a class's excess of suspects is more than chance."""
MOST_GROUPS = 5
"""Groups of samples with the same input, and samples of a group, that are named."""


def n_look_wrong(suspects: Suspects) -> int:
    """Return how many labels look wrong by the rate; 0 where it is not clearly above zero, or can't be told."""
    return len(suspects.given) - len(suspects.cleaned())


def most_suspicious_class(suspects: Suspects) -> tuple[int, int, int] | None:
    """Return the given class with clearly more than its share of the labels that look wrong, how many look wrong, and how many it has.

    None where no class stands out, or no label looks wrong: hypergeometric test, corrected for the number of classes. A class that is hard
    to tell from another stands out, too: of 17 networks whose errors fall on all classes alike it named Fashion-MNIST's shirts for three.
    """
    from scipy.stats import hypergeom

    n, n_wrong = len(suspects.given), n_look_wrong(suspects)
    sizes = np.bincount(suspects.given)
    counts = np.bincount(suspects.given[suspects.order[:n_wrong]], minlength=len(sizes))
    surprise = hypergeom.sf(counts - 1, n, n_wrong, sizes)
    c = int(surprise.argmin())
    if not n_wrong or surprise[c] * (sizes > 0).sum() > CHANCE:
        return None
    return c, int(counts[c]), int(sizes[c])


def class_sentence(suspects: Suspects) -> str:
    """Return the most suspicious class, or that none stands out; empty where no label looks wrong."""
    n, n_wrong = len(suspects.given), n_look_wrong(suspects)
    if not n_wrong:
        return ""
    worst = most_suspicious_class(suspects)
    if worst is None:
        return f"No class has clearly more than its share of the {n_wrong:,} most suspicious labels."
    c, count, size = worst
    return (
        f"Most suspicious class: {suspects.class_name(c)}, with {count:,} of its {size:,} labels among the {n_wrong:,} most suspicious "
        f"({percent(count / size)}; of all labels {percent(n_wrong / n)}). More of them are wrong, or they are harder to tell from another class's."
    )


def expected_sentence(suspects: Suspects, n: int) -> str:
    """Return how many of the n most suspicious labels are expected to be wrong; empty where no label looks wrong."""
    if not n_look_wrong(suspects) or not n:
        return ""
    expected = percent(suspects.expected_precision(n))
    return f"If the errors are labels swapped at random, about {expected} or more of the {n:,} most suspicious labels are wrong."


def truth_sentence(suspects: Suspects, truth: np.ndarray, quality: RankingQuality | None) -> str:
    """Return how many labels are wrong in truth, how well the score finds them, and how often the suggestion is the true label.

    Args:
        suspects: The suspects.
        truth: The true labels (n,).
        quality: The score's; None where all labels are right, or all wrong.
    """
    wrong = suspects.given != truth
    n, n_wrong = len(wrong), int(wrong.sum())
    if quality is None:
        state = "all wrong: there is nothing to tell apart" if n_wrong else "all right: there is nothing to find"
        return f"The true labels are known here: these {n:,} given labels are {state}."
    right = float((suspects.suggested == truth)[wrong].mean())
    return (
        f"The true labels are known here: {n_wrong:,} of {n:,} are wrong ({percent(n_wrong / n)}). Of a wrong and a right label the score puts the "
        f"wrong one first in {percent(quality.auroc)} of all pairs (AUROC {quality.auroc:.2f}, 95 %: {quality.low:.2f} to {quality.high:.2f}); of the "
        f"{n_wrong:,} most suspicious {percent(quality.precision_at_number)} are wrong; the suggestion is the true label for {percent(right)} of the "
        "wrong ones."
    )


def repeat_sentences(suspects: Suspects) -> list[str]:
    """Return which samples have the very same input: those with several labels, then those with the same one."""
    contradictions: list[str] = []
    repeats: list[str] = []
    for group in suspects.duplicates:
        labels = suspects.given[suspects.rows(group)]
        several = len(set(labels.tolist())) > 1
        members = [
            f"{index} ({suspects.class_name(label)})" if several else str(index)
            for index, label in zip(group[:MOST_GROUPS], labels.tolist(), strict=False)
        ]
        (contradictions if several else repeats).append(join([*members, *["others"] * (len(group) > MOST_GROUPS)]))
    return [
        f"{plural(len(groups), 'input')} {'occurs' if len(groups) == 1 else 'occur'} more than once, {labels}: samples "
        f"{'; '.join(groups[:MOST_GROUPS])}{'; and so on' if len(groups) > MOST_GROUPS else ''}."
        for groups, labels in (
            (contradictions, "with different labels, of which at most one is right"),
            (repeats, "with the same label"),
        )
        if groups
    ]
