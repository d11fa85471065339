"""The verdict as text: is the network memorising, where, and with what certainty."""

from nmfdiag.diagnosis.comparison import Comparison
from nmfdiag.diagnosis.comparison_text import OPENINGS, agreement_text, check_summary, place_text
from nmfdiag.diagnosis.verdict import CLEAN, finding, is_weak
from nmfdiag.measures.auc_sentences import least_linear, reading
from nmfdiag.measures.layer_profile import LayerProfile
from nmfdiag.measures.phases import Phases


def verdict_text(profile: LayerProfile, phases: Phases, comparison: Comparison | None, method: str = "nmf") -> str:
    """Return the verdict in a few sentences; without a comparison only the least linear layer and the phases, or why AuC can't judge the network."""
    place = comparison.place if comparison else None
    if comparison and comparison.is_outside:
        return comparison.reason
    if comparison is None or place is None:
        return reading(profile.auc_by_layer(method), phases)
    if is_weak(profile, place, method):
        opening = (
            "No sign of memorising, but every layer keeps full accuracy with one direction, so the evidence is weak"
        )
    else:
        opening = OPENINGS[finding(place)]
    if finding(place) == CLEAN:  # phases exist in any network, but one is named after memorising
        layers_sentence = least_linear(profile.auc_by_layer(method))
    else:
        layers_sentence = reading(profile.auc_by_layer(method), phases)
    sentences = [
        f"{opening}: {place_text(comparison)}.",
        check_summary(comparison),
        agreement_text(comparison),
        layers_sentence,
    ]
    return " ".join(filter(None, sentences))
