"""A comparison with reference networks as text: the network's place, its layers, and the certainty of the comparison."""

from collections.abc import Sequence

from nmfdiag.diagnosis.comparison import Comparison
from nmfdiag.diagnosis.place import ALIKE, Place
from nmfdiag.diagnosis.reference_checks import Check
from nmfdiag.diagnosis.references import GROUPS
from nmfdiag.diagnosis.verdict import CLEAN, MEMORISING, PARTLY, UNDECIDED, finding
from nmfdiag.measures.auc_sentences import listed
from nmfdiag.text import join, label_kind, percent

OPENINGS = {
    MEMORISING: "It looks like memorising",
    CLEAN: "No sign of memorising",
    PARTLY: "It looks like memorising some of its labels",
    UNDECIDED: "Inconclusive",
}


def place_text(comparison: Comparison) -> str:
    """Return the place: ``mean AuC 0.82 ± 0.02 over 10 layers, below all 7 references with clean labels (...) ...``."""
    place = comparison.place
    if place is None:
        return ""
    clean, random = comparison.group(GROUPS[0]), comparison.group(GROUPS[2])
    return (
        f"mean AuC {place.value:.3f} ± {place.error:.3f} over {len(comparison.layers)} layers, "
        f"{_side_text(place.value, clean, 'references with clean labels')} and {_side_text(place.value, random, 'with random ones')}"
    )


def check_summary(comparison: Comparison) -> str:
    """Return a sentence on how often such a comparison classifies the references correctly; empty without a check."""
    check_result = next((c for c in comparison.checks if c.axis == "linear" and c.left_out == "data set"), None)
    if check_result is None or not check_result.ends:
        return ""
    return (
        f"Tested on {check_result.ends} networks with clean or fully random labels, each judged by other data sets only: "
        f"{check_result.told} correct."
    )


def agreement_text(comparison: Comparison) -> str:
    """Return a sentence on the finding of AuC over log k if it differs; else empty."""
    linear, log = comparison.places.get("linear"), comparison.places.get("log")
    if linear is None or log is None or finding(linear) == finding(log):
        return ""
    disagreement = "is inconclusive" if finding(log) == UNDECIDED else f"disagrees: {OPENINGS[finding(log)].lower()}"
    return f"A second measure, AuC over log k, {disagreement}."


def range_text(place: Place) -> str:
    """Return a sentence on the levels of label noise that match."""
    if not place.ranged:
        return "References of a single data set can't say which label noise matches."
    compatible = place.compatible
    if not compatible:
        return "Matches none of the references' levels of label noise."
    if len(compatible) == 1:
        return f"Matches only networks trained on {label_kind(compatible[0])}."
    between = [level.level for level in place.levels if compatible[0] <= level.level <= compatible[-1]]
    if list(compatible) == between and len(compatible) > 2:
        return f"Matches networks with {100 * compatible[0]:g} to {percent(compatible[-1])} random labels."
    return f"Matches networks with {join(f'{100 * p:g}' for p in compatible)} % random labels."


def layers_below(comparison: Comparison) -> list[str]:
    """Return the layers at which it lies below every reference with clean labels at the same depth."""
    return [layer.layer for layer in comparison.layers if layer.auc < layer.clean[0] - ALIKE]


def layers_text(comparison: Comparison) -> str:
    """Return :func:`layers_below` as a sentence."""
    layers, low_layers = [layer.layer for layer in comparison.layers], layers_below(comparison)
    if not low_layers:
        return "No layer falls below the clean references at the same depth."
    return (
        f"{len(low_layers)} of {len(layers)} layers {'falls' if len(low_layers) == 1 else 'fall'} below all clean references at the same depth: "
        f"{listed(low_layers, layers)}."
    )


def certainty_sentences(comparison: Comparison) -> list[str]:
    """Return sentences on the certainty of the comparison, one per source of doubt."""
    place = comparison.place
    if place is None:
        return []
    sentences = [range_text(place)]
    if place.between_families is not None:
        seeds = f", between seeds by ± {place.within_family:.3f}" if place.within_family is not None else ""
        sentences.append(
            f"References of one p differ between data sets by ± {place.between_families:.3f} (standard deviation){seeds}"
            + (
                ": that, more than this network's own error, limits the answer."
                if place.error < place.between_families
                else "."
            )
        )
    if comparison.batches is not None and comparison.batches.drawn:
        sentences.append(
            f"Other samples of the same classes move the mean AuC by ± {comparison.batches.drawn:.3f} "
            f"(measured on {comparison.batches.networks} reference networks)."
        )
    by_axis = {c.axis: c for c in comparison.checks if c.left_out == "data set"}
    if "linear" in by_axis:
        sentences.append(check_text(by_axis["linear"]))
    log = comparison.places.get("log")
    if log is not None:
        agrees = agreement_text(comparison) or "That agrees."
        sentences.append(
            f"Over log k, which weighs small ranks more, its mean AuC is {log.value:.3f} ± {log.error:.3f}. {range_text(log)} "
            f"{agrees} {check_text(by_axis['log']) if 'log' in by_axis else ''}".rstrip()
        )
    return sentences


def check_text(check: Check) -> str:
    """Return the accuracy of comparisons of the references themselves."""
    axis = "" if check.axis == "linear" else " over log k"
    text = (
        f"Of the references themselves{axis}, each compared with those of other data sets only"
        if check.left_out == "data set"
        else f"Of the references themselves{axis}, each compared with all others"
    )
    text += f", {check.told} of {check.ends} at p = 0 or 1 are nearer to their own p"
    if check.ranged:
        text += f", and {check.covered} of {check.ranged} at any p lie between the compatible ones, which span {check.width:.2f} on average"
    else:
        text += "; which p are compatible can't be tested, since too few data sets are left"
    return f"{text}. Rank correlation of AuC and p: {check.correlation:.2f}.".replace(": -", ": −")


def _side_text(value: float, group: Sequence[float], noun: str) -> str:
    low, high = group[0], group[-1]
    is_one_value = high - low <= ALIKE
    span = f"({low:.3f})" if is_one_value else f"({low:.3f} to {high:.3f})"
    all_of_group = f"all {len(group)}" if len(group) > 1 else "the one"
    if value < low - ALIKE:
        side = f"below {all_of_group}"
    elif value > high + ALIKE:
        side = f"above {all_of_group}"
    else:
        side = f"as high as {all_of_group}" if is_one_value else f"among the {len(group)}"
    return f"{side} {noun} {span}"
