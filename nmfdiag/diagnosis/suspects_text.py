"""What suspects say, in sentences."""

import numpy as np

from nmfdiag.measures.suspects.exports import class_name
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.text import join, plural

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
        f"Most suspicious class: {class_name(suspects, c)}, with {count:,} of its {size:,} labels among the {n_wrong:,} most suspicious "
        f"({percent(count / size)}; of all labels {percent(n_wrong / n)}). More of them are wrong, or they are harder to tell from another class's."
    )


def expected_sentence(suspects: Suspects, n: int) -> str:
    """Return how many of the n most suspicious labels are expected to be wrong; empty where no label looks wrong."""
    if not n_look_wrong(suspects) or not n:
        return ""
    expected = percent(suspects.expected_precision(n))
    return f"If the errors are labels swapped at random, about {expected} or more of the {n:,} most suspicious labels are wrong."


def repeat_sentences(suspects: Suspects) -> list[str]:
    """Return which samples have the very same input: those with several labels, then those with the same one."""
    contradictions: list[str] = []
    repeats: list[str] = []
    for group in suspects.duplicates:
        labels = suspects.given[suspects.rows(group)]
        several = len(set(labels.tolist())) > 1
        members = [
            f"{index} ({class_name(suspects, label)})" if several else str(index)
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


def percent(share: float) -> str:
    """Return a share in per cent.

    >>> percent(0.123), percent(0.012), percent(1.0)
    ('12 %', '1.2 %', '100 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1f} %"
