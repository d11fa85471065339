"""The three answers on a network, from controls on its own samples: are labels wrong, does it memorise, and where.

1. **labels**: the swap control's noise rate (:mod:`nmfdiag.measures.suspects.noise_rate`). From :data:`NOISY` on labels count as wrong.
2. **memorising**: the share of the given labels that the network predicts for no other reason than that it was trained on them. It is its accuracy on
   them less that on equally labelled samples that it has never seen, ``(1 - rate) (1 - expected error)``. From :data:`MEMORISED` on it counts as memorising.
3. **where**: the layer at which given labels become readable, by the probe of each layer, and the phases by AuC.

No reference network takes part.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nmfdiag.diagnosis.expected_error import ExpectedError
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.text import percent

LABELS, MEMORISING, WHERE = QUESTIONS = "labels", "memorising", "where"
"""Names of the answers."""
GENERALISES, NOISY_LABELS, MEMORISES, INCONCLUSIVE = CODES = "generalises", "noisy_labels", "memorises", "inconclusive"
"""Codes of a diagnosis."""
RIGHT, WRONG, UNKNOWN = "right", "wrong", "unknown"
"""Codes of the answer on labels; every answer may be unknown."""
AT_A_LAYER, GRADUALLY = "at_a_layer", "gradually"
"""Codes of the answer on where."""
NOT_MEASURED = "The labels of this network's samples were not measured."
NOISY = 0.1
"""Estimated share of wrong labels from which on labels count as wrong."""
MEMORISED = 0.15
"""Estimated share of memorised answers from which on the network counts as memorising."""


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    Attributes:
        code: Of the labels ``"right"`` or ``"wrong"``, of memorising ``"generalises"`` or ``"memorises"``, of where ``"at_a_layer"`` or
            ``"gradually"``; of each also ``"unknown"``.
        estimate: Share of wrong labels, of memorised answers, or of the layers before the one that is named; None where it is unknown.
        low: Lower end of its 95 % interval; None where there is none.
        high: Its upper end.
        text: A sentence.
        evidence: What it rests on, a sentence each.
        limits: What it can't see, a sentence each.
    """

    code: str
    estimate: float | None
    low: float | None
    high: float | None
    text: str
    evidence: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


def labels_answer(suspects: Suspects) -> Answer:
    """Return whether labels are wrong, and how many."""
    rate = suspects.noise_rate
    limits = (
        "Errors between look-alike classes count in part only: a label swapped at random is easier to tell.",
        "Where classes overlap, right labels look like wrong ones and the share is too high.",
    )
    if rate.reason or not rate.is_known:
        return Answer(UNKNOWN, None, None, None, rate.statement, limits=limits)
    code = WRONG if rate.estimate >= NOISY else RIGHT
    return Answer(code, rate.estimate, rate.low, rate.high, rate.statement, (), limits)


def memorising_answer(suspects: Suspects, error: ExpectedError | None) -> Answer:
    """Return whether the network memorises, and which share of its answers.

    Args:
        suspects: What it says about the labels of its training samples.
        error: Its expected error on new samples.
    """
    rate, accuracy = suspects.noise_rate, suspects.accuracies["network"]
    limits = (
        "The expected error was learnt from other networks' controls: of other kinds of samples it may be wrong.",
    )
    if error is None:
        return Answer(
            UNKNOWN,
            None,
            None,
            None,
            "Whether it memorises can't be told: how many labels are wrong isn't known.",
            limits=limits,
        )
    estimate, low, high = (
        min(1.0, max(0.0, accuracy - (1 - wrong) * (1 - share)))
        for wrong, share in ((rate.estimate, error.estimate), (rate.low, error.low), (rate.high, error.high))
    )
    spread = f"{percent(low)} to {percent(high)}"
    text = (
        f"It memorises: about {percent(estimate)} of the given labels it predicts only since it was trained on them ({spread})."
        if estimate >= MEMORISED
        else f"It generalises: at most {percent(high)} of the given labels it predicts only since it was trained on them."
    )
    evidence = (
        f"It predicts {percent(accuracy)} of the given labels; on new samples with right labels {percent(1 - error.high)} to {percent(1 - error.low)} are expected.",
    )
    return Answer(MEMORISES if estimate >= MEMORISED else GENERALISES, estimate, low, high, text, evidence, limits)


def where_answer(suspects: Suspects, phases: Phases) -> Answer:
    """Return at which layer given labels become readable.

    Args:
        suspects: What the network says about the labels of its training samples.
        phases: Phases by AuC.
    """
    layers = phases.memorisation
    if not layers:
        return Answer(UNKNOWN, None, None, None, f"Where it memorises can't be told: {phases.reason}.")
    names = list(suspects.accuracy_by_layer)
    estimate = names.index(layers[0]) / len(names) if layers[0] in names else None
    return Answer(AT_A_LAYER, estimate, None, None, f"By AuC it memorises from {layers[0]} on.")


def answers(suspects: Suspects | None, error: ExpectedError | None, phases: Phases) -> dict[str, Answer]:
    """Return the three answers by name."""
    if suspects is None:
        return dict.fromkeys(QUESTIONS, Answer(UNKNOWN, None, None, None, NOT_MEASURED))
    return {
        LABELS: labels_answer(suspects),
        MEMORISING: memorising_answer(suspects, error),
        WHERE: where_answer(suspects, phases),
    }


def code_of(answer_by_name: Mapping[str, Answer]) -> str:
    """Return the code of the diagnosis: wrong labels first, then whether the network memorises."""
    labels, memorising = answer_by_name[LABELS], answer_by_name[MEMORISING]
    if labels.code == WRONG:
        return NOISY_LABELS
    return INCONCLUSIVE if UNKNOWN in (labels.code, memorising.code) else memorising.code


def headline(answer_by_name: Mapping[str, Answer], error: ExpectedError | None) -> str:
    """Return the one sentence above the answers."""
    labels, memorising = answer_by_name[LABELS], answer_by_name[MEMORISING]
    if labels.code == UNKNOWN or memorising.code == UNKNOWN or error is None:
        return f"Can't tell. {labels.text}"
    expected = f"expected error {error.low:.2f} to {error.high:.2f}"
    if labels.code == WRONG:
        fitted = "has fitted them" if memorising.code == MEMORISES else "has not memorised them"
        return f"At least {percent(labels.low or 0.0)} of the labels look wrong, and the network {fitted}; {expected}."
    opening = f"No sign of wrong labels (at most {percent(labels.high or 0.0)})"
    if memorising.code == MEMORISES:
        return f"{opening}; it generalises less than its training accuracy says: {expected}."
    return f"{opening}; it generalises: {expected}."
