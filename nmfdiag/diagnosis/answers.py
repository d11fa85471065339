"""The three answers on a network, from controls on its own samples: are labels wrong, does it memorise, and where.

1. **labels**: the swap control's noise rate (:mod:`nmfdiag.measures.suspects.noise_rate`). From
   :data:`~nmfdiag.measures.suspects.noise_rate.NOISY` on labels count as wrong.
2. **memorising**: the share of the given labels that the network predicts for no other reason than that it was trained on them. It is its accuracy on
   them less that on equally labelled samples that it has never seen, ``(1 - rate) (1 - expected error)``. From :data:`~nmfdiag.measures.memorised.MEMORISED` on it counts as memorising.
3. **where**: the layer at which given labels become readable, by the probe of each (:mod:`nmfdiag.measures.suspects.probe_depth`), and the phases by AuC.

No reference network takes part.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nmfdiag.diagnosis.expected_error import ExpectedError
from nmfdiag.measures.memorised import MEMORISED, memorised_share
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.suspects.controls import MOVED, NETWORK, PROBE, Controls
from nmfdiag.measures.suspects.noise_rate import NOISY
from nmfdiag.measures.suspects.probe_depth import depth_of
from nmfdiag.text import percent, span

LABELS, MEMORISING, WHERE = QUESTIONS = "labels", "memorising", "where"
"""Names of the answers."""
GENERALISES, NOISY_LABELS, MEMORISES, INCONCLUSIVE = CODES = "generalises", "noisy_labels", "memorises", "inconclusive"
"""Codes of a diagnosis."""
RIGHT, WRONG, UNKNOWN = "right", "wrong", "unknown"
"""Codes of the answer on labels; every answer may be unknown."""
AT_A_LAYER, GRADUALLY = "at_a_layer", "gradually"
"""Codes of the answer on where."""
NOT_MEASURED = "The labels of this network's samples were not measured."
LEARNT = 0.3
"""Share of the labels that are right by the estimate that a network must predict before it is said what it memorises."""

LABELS_LIMITS = (
    "Errors between look-alike classes count in part only: a label swapped at random is easier to tell.",
    "Where classes overlap, right labels look swapped, too: then the share is too high, though its lower end allows for that.",
)
MEMORISING_LIMITS = (
    "How a network's controls tell its error was learnt from other networks, small ones of images, sounds and tables: elsewhere it may be wrong.",
    "New samples are taken to be like the training samples.",
)
WHERE_LIMITS = (
    "A probe is linear: what a layer holds in another form it does not see.",
    "Labels that become readable gradually may be wrong in part: the right ones among them hide the jump of the wrong ones.",
)


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    Attributes:
        code: Of the labels ``"right"`` or ``"wrong"``, of memorising ``"generalises"`` or ``"memorises"``, of where ``"at_a_layer"`` or
            ``"gradually"``; of each also ``"unknown"``.
        estimate: Share of wrong labels, of memorised answers, or of the layers before the one that is named; None where it is unknown.
        low: Lower end of its interval, of wrong labels 95 %, of memorised answers from that and the expected error's of 90 %; None where there is none.
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


def labels_answer(controls: Controls) -> Answer:
    """Return whether labels are wrong, and how many."""
    rate = controls.noise_rate
    if rate.reason or not rate.is_known:
        return Answer(UNKNOWN, None, None, None, rate.statement, limits=LABELS_LIMITS)
    probe = controls.accuracies[PROBE]
    evidence = [
        f"Labels swapped at random show what wrong ones look like; with the samples that are surely of a class"
        f"{' and inputs that occur with several labels' if controls.has_contradictions else ''}, the estimate is {percent(rate.estimate)} "
        f"({rate.n_samples:,} samples).",
        f"A probe that has not seen a sample's label contradicts {percent(1 - probe)} of the labels.",
    ]
    code = WRONG if rate.estimate >= NOISY else RIGHT
    return Answer(code, rate.estimate, rate.low, rate.high, rate.statement, tuple(evidence), LABELS_LIMITS)


def memorising_answer(controls: Controls, error: ExpectedError | None) -> Answer:
    """Return whether the network memorises, and which share of its answers.

    Args:
        controls: Those of the network.
        error: Its expected error on new samples.
    """
    rate, accuracy = controls.noise_rate, controls.accuracies[NETWORK]
    if error is None:
        reason = "how many labels are wrong can't be told" if not rate.is_known else "what it predicts was not kept"
        return Answer(
            UNKNOWN, None, None, None, f"Whether it memorises can't be told: {reason}.", limits=MEMORISING_LIMITS
        )
    if accuracy < LEARNT * (1 - rate.estimate):
        text = f"Whether it memorises can't be told: it predicts only {percent(accuracy)} of the given labels."
        return Answer(UNKNOWN, None, None, None, text, limits=MEMORISING_LIMITS)
    estimate, low, high = (
        memorised_share(accuracy, wrong, 1 - share)
        for wrong, share in (
            (rate.estimate, error.estimate),
            (rate.low, error.low),
            (max(rate.estimate, rate.swapped_high), error.high),
        )
    )
    code = MEMORISES if estimate >= MEMORISED else GENERALISES
    spread = f"{percent(low)} to {percent(high)}"
    text = (
        f"It memorises: about {percent(estimate)} of the given labels it predicts only because it was trained on them ({spread})."
        if code == MEMORISES
        else f"It generalises: about {percent(estimate)} of the given labels it predicts only because it was trained on them ({spread})."
    )
    evidence = [
        f"It predicts {percent(accuracy)} of the given labels; a probe of its layers that has not seen a sample's label predicts "
        f"{percent(controls.accuracies[PROBE])}, and both predict the same for {percent(controls.agreement or 0.0)} of the samples.",
        f"On new samples with right labels {percent(error.low)} to {percent(error.high)} of its predictions are expected to be wrong.",
    ]
    if MOVED in controls.accuracies:
        evidence.append(f"Of moved copies of the samples it predicts {percent(controls.accuracies[MOVED])} as given.")
    return Answer(code, estimate, low, high, text, tuple(evidence), MEMORISING_LIMITS)


def where_answer(controls: Controls, phases: Phases) -> Answer:
    """Return at which layer given labels become readable.

    Args:
        controls: Those of the network.
        phases: Phases by AuC.
    """
    depth = depth_of(controls)
    evidence = (
        f"AuC dips at {span(phases.memorisation)}." if phases.clear else f"No clear phases by AuC: {phases.reason}.",
    )
    if not depth.clear:
        return Answer(UNKNOWN, None, None, None, depth.text, evidence, WHERE_LIMITS)
    share = depth.layers.index(depth.jump) / len(depth.layers)
    return Answer(AT_A_LAYER if depth.is_sudden else GRADUALLY, share, None, None, depth.text, evidence, WHERE_LIMITS)


def answers(controls: Controls | None, error: ExpectedError | None, phases: Phases) -> dict[str, Answer]:
    """Return the three answers by name."""
    if controls is None:
        return dict.fromkeys(QUESTIONS, Answer(UNKNOWN, None, None, None, NOT_MEASURED))
    return {
        LABELS: labels_answer(controls),
        MEMORISING: memorising_answer(controls, error),
        WHERE: where_answer(controls, phases),
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
    expected = (
        f"expected error {error.low:.2f} to {error.high:.2f}" if error else "its error on new samples can't be told"
    )
    if labels.code == UNKNOWN:
        return f"Can't tell. {labels.text}"
    share = labels.estimate or 0.0
    if labels.code == WRONG:
        amount = f"At least {percent(labels.low)}" if labels.low else f"About {percent(share)}"
        deed = {MEMORISES: "memorises", GENERALISES: "has not memorised them"}.get(memorising.code)
        return f"{amount} of the labels look wrong{f', and the network {deed}' if deed else ''}; {expected}."
    limit = f" (at most {percent(labels.high)})" if labels.high is not None else ""
    opening = f"Few labels look wrong (about {percent(share)})" if share else f"No sign of wrong labels{limit}"
    if memorising.code == MEMORISES:
        return f"{opening}; it generalises less than its training accuracy says: {expected}."
    return f"{opening}; {'it generalises: ' if memorising.code == GENERALISES else ''}{expected}."
