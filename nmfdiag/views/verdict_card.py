"""A network's answers as figures on a card, beside the truth where that is known."""

from dataclasses import dataclass

from nmfdiag.diagnosis.answer_text import EXPECTED_ERROR, NOT_KNOWN, error_figure, share_figure
from nmfdiag.diagnosis.answers import LABELS, MEMORISES, MEMORISING, NOISY, UNKNOWN, WRONG
from nmfdiag.measures.memorised import MEMORISED, memorised_share
from nmfdiag.measures.suspects.controls import NETWORK, Controls
from nmfdiag.text import label_kind, percent
from nmfdiag.views.answers import AnswersSoFar
from nmfdiag.zoo.pool_rows import wrong_share
from nmfdiag.zoo.registry import ZooEntry

NAMES = "Wrong labels", "Memorised", EXPECTED_ERROR
"""Of the figures."""
CHECK_HELP = (
    "From true labels and test samples, which the estimates have not seen. Of random labels some are right by chance, so fewer are wrong. "
    "Memorised is the accuracy on the given labels less that on new samples labelled in the same way, wrong labels and all."
)
UNTESTED = "The truth is not known here."


@dataclass(frozen=True)
class Figure:
    """An answer as a figure.

    Attributes:
        name: Of the answer.
        text: The figure, with its interval.
        truth: What is true, empty where that is not known.
        is_right: Whether the answer is right; None where that can't be said.
    """

    name: str
    text: str
    truth: str = ""
    is_right: bool | None = None


@dataclass(frozen=True)
class Truth:
    """What is true of a network of the zoo.

    Attributes:
        wrong: Share of wrong labels among the samples that were scored.
        memorised: Accuracy on the given labels less that on equally labelled samples that it has never seen.
        error: Share of test samples that it gets wrong.
    """

    wrong: float
    memorised: float
    error: float


def truth_of(network: ZooEntry, controls: Controls) -> Truth | None:
    """Return what is true of a network; None where that is not known, as of a user's.

    Raises:
        NmfdiagError: If its labels can't be read.
    """
    wrong = wrong_share(network)
    if wrong is None or network.test_accuracy is None:
        return None
    memorised = memorised_share(controls.accuracies[NETWORK], wrong, network.test_accuracy)
    return Truth(wrong, memorised, 1 - network.test_accuracy)


def truth_text(network: ZooEntry) -> str:
    """Return how a network of the zoo was trained, and its test accuracy."""
    if network.called or network.test_accuracy is None:
        return UNTESTED
    return f"True: {label_kind(network.label_noise)}, test accuracy {network.test_accuracy:.2f}."


def figures(state: AnswersSoFar, truth: Truth | None) -> tuple[Figure, ...]:
    """Return the figures of a card: wrong labels, memorised answers, expected error."""
    if not state.answers:
        return tuple(Figure(name, NOT_KNOWN) for name in NAMES)
    labels, memorising, error = state.answers[LABELS], state.answers[MEMORISING], state.error
    texts = (share_figure(labels), share_figure(memorising), error_figure(error))
    if truth is None:
        return tuple(Figure(name, text) for name, text in zip(NAMES, texts, strict=True))
    truths = (percent(truth.wrong), percent(truth.memorised), f"{truth.error:.2f}")
    is_right = (
        None if labels.code == UNKNOWN else (labels.code == WRONG) == (truth.wrong >= NOISY),
        None if memorising.code == UNKNOWN else (memorising.code == MEMORISES) == (truth.memorised >= MEMORISED),
        None
        if error is None
        else round(error.low, 2) <= round(truth.error, 2) <= round(error.high, 2),  # as they are shown
    )
    return tuple(Figure(*parts) for parts in zip(NAMES, texts, truths, is_right, strict=True))
