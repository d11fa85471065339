"""A network's answers as far as they are known: those on labels and memorising come with its suspects, the others with its last curve."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nmfdiag.diagnosis.answer_text import answers_to_show, second_opinion_text
from nmfdiag.diagnosis.answers import (
    GENERALISES,
    INCONCLUSIVE,
    MEMORISES,
    NOISY_LABELS,
    Answer,
    answers,
    code_of,
    headline,
)
from nmfdiag.diagnosis.diagnose import Diagnosis
from nmfdiag.diagnosis.expected_error import ExpectedError, expected_error
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.suspects.controls import Controls

ICONS = {
    GENERALISES: ":green[:material/check_circle:]",
    NOISY_LABELS: ":red[:material/error:]",
    MEMORISES: ":orange[:material/warning:]",
    INCONCLUSIVE: ":gray[:material/help:]",
}
"""Of a diagnosis, by its code."""
WAITING_ICON = ":material/hourglass_empty:"
WAITING = "Not known yet: the labels are being scored."
OPINION_LATER = "It comes with the last curve."


@dataclass(frozen=True)
class AnswersSoFar:
    """What is known of a network.

    Attributes:
        icon: The answer as an icon.
        sentence: The answer in one sentence, or why there is none yet.
        answers: The answers that are shown, by name; empty while the labels are not scored.
        error: The error that is expected on new samples.
        opinion: What reference networks say.
    """

    icon: str
    sentence: str
    answers: Mapping[str, Answer] = field(default_factory=dict)
    error: ExpectedError | None = None
    opinion: str = OPINION_LATER


def answers_so_far(controls: Controls | None, diagnosis: Diagnosis | None, why_not: str = "") -> AnswersSoFar:
    """Return what is known of a network.

    Args:
        controls: What the answers are made from; None while that is not known.
        diagnosis: Its diagnosis from all curves; None while some are missing.
        why_not: Why its labels can't be scored.
    """
    if controls is None:
        opinion = second_opinion_text(INCONCLUSIVE, diagnosis.comparison) if diagnosis else OPINION_LATER
        if not why_not:
            return AnswersSoFar(WAITING_ICON, WAITING, opinion=opinion)
        sentence = f"Can't tell: its labels could not be scored. {why_not}"
        return AnswersSoFar(ICONS[INCONCLUSIVE], sentence, opinion=opinion)
    error = expected_error(controls)
    by_name = diagnosis.answers if diagnosis else answers(controls, error, Phases(reason="AuC is not known yet"))
    code, shown_answers = code_of(by_name), answers_to_show(by_name)
    opinion = second_opinion_text(code, diagnosis.comparison) if diagnosis else OPINION_LATER
    return AnswersSoFar(ICONS[code], headline(by_name, error), shown_answers, error, opinion)
