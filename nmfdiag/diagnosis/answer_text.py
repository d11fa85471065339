"""The three answers as the page, the report and the shell show them: as figures, and beside what reference networks say.

Where a network memorises is said only of one that memorises: phases exist in any network.
"""

from collections.abc import Mapping

from nmfdiag.diagnosis.answers import (
    GENERALISES,
    INCONCLUSIVE,
    LABELS,
    MEMORISES,
    MEMORISING,
    NOISY_LABELS,
    RIGHT,
    UNKNOWN,
    WHERE,
    Answer,
)
from nmfdiag.diagnosis.comparison import Comparison
from nmfdiag.diagnosis.comparison_text import range_text
from nmfdiag.diagnosis.expected_error import ExpectedError
from nmfdiag.diagnosis.verdict import CLEAN, UNDECIDED, finding
from nmfdiag.text import percent

QUESTION_TEXTS = {
    LABELS: "Are labels wrong?",
    MEMORISING: "Does it memorise?",
    WHERE: "Where does it memorise?",
}
EXPECTED_ERROR = "Expected error"
"""Name of the error that is expected on new samples."""
SECOND_OPINION = "Second opinion: reference networks"
NOT_KNOWN = "–"
"""Figure of what can't be told."""


def answers_to_show(answer_by_name: Mapping[str, Answer]) -> dict[str, Answer]:
    """Return the answers without *where*, unless the network memorises: else there is nothing to locate."""
    has_place = answer_by_name[MEMORISING].code == MEMORISES
    return {name: answer for name, answer in answer_by_name.items() if name != WHERE or has_place}


def dip_name(answer_by_name: Mapping[str, Answer]) -> str:
    """Return what plots call the layers at which AuC dips."""
    return "dip" if answer_by_name[MEMORISING].code == GENERALISES else "memorisation"


def share_figure(answer: Answer) -> str:
    """Return the share of an answer with its interval; only the upper end where the answer is that it is small.

    >>> share_figure(Answer("wrong", 0.31, 0.24, 0.4, ""))
    '31 % (24 to 40 %)'
    >>> share_figure(Answer("right", 0.0, 0.0, 0.012, "")), share_figure(Answer("unknown", None, None, None, ""))
    ('at most 1.2 %', '–')
    """
    if answer.code == UNKNOWN or answer.estimate is None or answer.low is None or answer.high is None:
        return NOT_KNOWN
    if answer.code in (RIGHT, GENERALISES):
        return f"at most {percent(answer.high)}"
    return f"{percent(answer.estimate)} ({percent(answer.low).removesuffix(' %')} to {percent(answer.high)})"


def error_figure(error: ExpectedError | None) -> str:
    """Return the expected error with its interval.

    >>> error_figure(ExpectedError(0.071, 0, 0.22)), error_figure(None)
    ('0.07 (0.00 to 0.22)', '–')
    """
    return NOT_KNOWN if error is None else f"{error.estimate:.2f} ({error.low:.2f} to {error.high:.2f})"


def second_opinion_text(code: str, comparison: Comparison | None) -> str:
    """Return whether reference networks agree with a diagnosis of this code, and which label noise matches."""
    if comparison is None:
        return "None: there was no comparison with reference networks."
    if comparison.place is None:
        return comparison.reason if comparison.is_outside else f"None. {comparison.reason}"
    opinion, compatible = finding(comparison.place), range_text(comparison.place)
    if opinion == UNDECIDED:
        return "Inconclusive: it matches networks with clean labels and networks with random ones."
    if code == INCONCLUSIVE:
        return compatible
    if (opinion == CLEAN) == (code not in (NOISY_LABELS, MEMORISES)):
        return f"Agrees. {compatible}"
    return f"Disagrees. {compatible} The answers above come from this network's own samples, and count."
