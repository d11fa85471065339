"""Sentences of the page *Suspects*."""

from collections.abc import Mapping

from nmfdiag.diagnosis.suspects_text import n_look_wrong
from nmfdiag.measures.suspects.result import Reasons, Suspects
from nmfdiag.text import join, percent, plural
from nmfdiag.views.suspects.marks import Mark, precision_of
from nmfdiag.zoo.pool_rows import has_numbers
from nmfdiag.zoo.registry import ZooEntry

SESSION_NOTE = (
    "Marks stay in this tab, also when you look at another page; a reload of the tab loses them, an export keeps them."
)

NOTHING_MARKED = "Nothing is marked yet. Mark samples as wrong, fine or unsure, by button or by key (W, F, U): the share of wrong ones will appear here."


def list_sentence(n_listed: int, n_samples: int, sort: str) -> str:
    """Return how many samples are listed, by what they are sorted, and what the cards say."""
    return f"{n_listed:,} of {n_samples:,} samples, the highest {sort} first. On a card: given → suggested, score · layers against."


def empty_sentence(list_name: str, suspects: Suspects) -> str:
    """Return why no sample is listed."""
    if list_name == "look wrong" and not n_look_wrong(suspects):
        return "By the rate no label looks wrong for certain. Choose *all* to look at the most suspicious ones."
    reasons = {
        "marked": "Nothing is marked yet.",
        "not marked": "All of these are marked.",
        "repeated": "No input occurs twice.",
    }
    return reasons.get(list_name, "No sample of this class is in this list.")


def sample_sentence(suspects: Suspects, row: int, reasons: Reasons) -> str:
    """Return a sample's score, its rank and the layers against its label."""
    against = f"{reasons.layers_against} of {plural(reasons.layers, 'layer')}"
    return (
        f"Score {suspects.score[row]:.2f}, rank {suspects.ranks[row]:,} of {len(suspects.given):,}. {against} "
        f"{'speaks' if reasons.layers_against == 1 else 'speak'} against the given label. "
        f"Probability of the suggestion {percent(float(suspects.confidence[row]))}."
    )


def repeat_sentence(suspects: Suspects, reasons: Reasons) -> str:
    """Return which samples have the very same input, and their labels; empty for none."""
    group = next((group for group in suspects.duplicates if reasons.index in group), ())
    same = [index for index in group if index != reasons.index]
    if not same:
        return ""
    if reasons.contradicts:
        rows = suspects.rows(list(reasons.contradicts))
        labels = join(
            f"{index:,} ({suspects.class_name(suspects.given[row])})"
            for index, row in zip(reasons.contradicts[:5], rows, strict=False)
        )
        return f"The same input has another label: sample {labels}. One of them must be wrong."
    return f"The same input, with the same label: sample {join(f'{index:,}' for index in same[:5])}."


def precision_sentence(marks: Mapping[int, Mark], suspects: Suspects) -> str:
    """Return the share of wrong labels among marked samples, beside what the swap control expects as deep in the list."""
    precision = precision_of(marks)
    if precision is None:
        n = len(marks)
        return f"{plural(n, 'sample')} marked unsure, none wrong or fine." if n else NOTHING_MARKED
    n_unsure = len(marks) - precision.n_decided
    unsure = f", {n_unsure:,} unsure" if n_unsure else ""
    text = (
        f"**Marked wrong: {precision.n_wrong:,} of {precision.n_decided:,}, {percent(precision.share)}** "
        f"(95\u00a0%: {percent(precision.low)} to {percent(precision.high)}){unsure}. "
    )
    return text + depth_sentence(marks, suspects)


def depth_sentence(marks: Mapping[int, Mark], suspects: Suspects) -> str:
    """Return the expected precision among as many of the most suspicious samples as lie above the last one that was marked."""
    rate = suspects.noise_rate
    if not rate.is_known:
        return "What to expect is not known, since the rate isn't."
    if not rate.is_clear:
        return "The swap control gives no clear share to expect."
    deepest = int(suspects.ranks[suspects.rows(sorted(marks))].max())
    expected = percent(suspects.expected_precision(deepest))
    if deepest == len(marks):
        return f"The swap control expects {expected} of the {f'{deepest:,} ' if deepest > 1 else ''}most suspicious."
    return f"The swap control expects {expected} of the {deepest:,} most suspicious, as far down as you have marked."


def scope_sentence(entry: ZooEntry, n: int) -> str:
    """Return which samples are scored, and what their numbers count."""
    numbers = (
        "Their numbers are those in the training data, from 0."
        if has_numbers(entry)
        else "They are numbered among themselves, from 0."
    )
    if entry.called:
        return (
            f"Scored are the {n:,} samples that were kept when the network was opened, at most {entry.pool_per_class:,} per class. {numbers} "
            "To keep more of each class: nmfdiag zoo open with --per-class."
        )
    return f"Scored are the {n:,} training samples that the zoo keeps of this network. {numbers}"
