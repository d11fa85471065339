"""One network's diagnosis on a card: whether it memorises, where, how sure, and its test accuracy."""

from dataclasses import dataclass

from nmfdiag.diagnosis.comparison_text import OPENINGS, agreement_text, layers_below, range_text
from nmfdiag.diagnosis.diagnose import Diagnosis
from nmfdiag.diagnosis.verdict import CLEAN, MEMORISING, PARTLY, UNDECIDED, finding
from nmfdiag.measures.auc_sentences import listed
from nmfdiag.zoo.registry import ZooEntry

ICONS = {
    MEMORISING: ":material/error:",
    PARTLY: ":material/rule:",
    CLEAN: ":material/check_circle:",
    UNDECIDED: ":material/help:",
}
TESTED_HELP = "Of samples that the network has never seen. Nothing above has seen one of them either."
UNTESTED = "Its test accuracy is not known: it was opened without test samples."


@dataclass(frozen=True)
class Verdict:
    """The sentences of the card.

    Attributes:
        icon: The answer as an icon.
        answer: Whether it memorises.
        where: At which layers.
        sure: Limits of the answer.
    """

    icon: str
    answer: str
    where: str
    sure: str


def verdict(diagnosis: Diagnosis) -> Verdict:
    """Return the diagnosis in three short sentences."""
    layer, auc = diagnosis.lowest
    least = f"least linear at {layer}: AuC {auc}"
    comparison = diagnosis.comparison
    if comparison is None or comparison.place is None:
        reason = comparison.reason if comparison else "It was compared with no reference networks."
        return Verdict(ICONS[UNDECIDED], "Not compared", f"{least[0].upper()}{least[1:]}.", reason)
    code, below = finding(comparison.place), layers_below(comparison)
    location = "At no layer below all references with clean labels"
    if below:
        location = f"Below every clean reference at {listed(below, [layer.layer for layer in comparison.layers])}"
    doubts = [range_text(comparison.place), agreement_text(comparison)]
    return Verdict(ICONS[code], OPENINGS[code], f"{location}; {least}.", " ".join(filter(None, doubts)))


def unseen_text(network: ZooEntry) -> str:
    """Return the test accuracy and its distance below the training accuracy."""
    tested, gap = network.test_accuracy, network.generalization_error
    if tested is None:
        return UNTESTED
    gap_text = f", {gap:.2f} below training" if gap is not None and gap >= 0.005 else ""
    return f"Test accuracy {tested:.2f}{gap_text}."
