"""A comparison with reference networks in words: where the network lies, at which layers, and how sure that is."""

from collections.abc import Sequence

from nmfdiag.diagnosis.comparison import CLEAN, MEMORISING, PARTLY, UNDECIDED, Comparison, finding
from nmfdiag.diagnosis.place import ALIKE, Place
from nmfdiag.diagnosis.reference_checks import Check, check
from nmfdiag.diagnosis.references import AXES, GROUPS
from nmfdiag.measures.auc_sentences import listed

OPENINGS = {
    MEMORISING: "It looks like memorising",
    CLEAN: "No sign of memorising",
    PARTLY: "It looks like memorising some of its labels",
    UNDECIDED: "Whether it memorises can't be told from this",
}


def place_words(comparison: Comparison) -> str:
    """Where the network lies: ``mean AuC 0.82 ± 0.02 over 10 layers, below all 7 references with clean labels (...) ...``."""
    at = comparison.place
    if at is None:
        return ""
    clean, random = comparison.group(GROUPS[0]), comparison.group(GROUPS[2])
    return (
        f"mean AuC {at.value:.3f} ± {at.error:.3f} over {len(comparison.layers)} layers, "
        f"{_beside(at.value, clean, 'references with clean labels')} and {_beside(at.value, random, 'with random ones')}"
    )


def told_words(comparison: Comparison) -> str:
    """How often this tells apart the references themselves, in one sentence; empty where that isn't known."""
    found = next((c for c in comparison.checks if c.axis == "linear" and c.left_out == "data set"), None)
    if found is None or not found.ends:
        return ""
    return (
        f"In this way {found.told} of {found.ends} references at p = 0 or 1 are told right, each compared with other data sets "
        "only."
    )


def agreement_words(comparison: Comparison) -> str:
    """What AuC over log k says, where it says something else; empty where it agrees."""
    at, log = comparison.places.get("linear"), comparison.places.get("log")
    if at is None or log is None or finding(at) == finding(log):
        return ""
    return f"AuC over log k does not agree: {OPENINGS[finding(log)].lower()}."


def range_words(at: Place) -> str:
    """Which levels of p are compatible."""
    if not at.ranged:
        return "One data set alone can't say which p are compatible."
    fits = at.compatible
    if not fits:
        return "No single p of the references is compatible with it."
    if len(fits) == 1:
        return f"Of the references' p, only {fits[0]:g} is compatible with it."
    between = [level.level for level in at.levels if fits[0] <= level.level <= fits[-1]]
    if list(fits) == between and len(fits) > 2:
        return f"References of p from {fits[0]:g} to {fits[-1]:g} are compatible with it."
    return f"References of p = {', '.join(f'{p:g}' for p in fits[:-1])} and {fits[-1]:g} are compatible with it."


def layers_below(comparison: Comparison) -> list[str]:
    """The layers at which it lies below every reference with clean labels at the same depth."""
    return [at.layer for at in comparison.layers if at.auc < at.clean[0] - ALIKE]


def layers_words(comparison: Comparison) -> str:
    """:func:`layers_below` in a sentence."""
    every, below = [at.layer for at in comparison.layers], layers_below(comparison)
    if not below:
        return "At no layer does it lie below every reference with clean labels at the same depth."
    return (
        f"At {len(below)} of {len(every)} layers it lies below every reference with clean labels at the same depth: "
        f"{listed(below, every)}."
    )


def sure_words(comparison: Comparison) -> list[str]:
    """How sure the comparison is, one sentence a source of doubt."""
    at = comparison.place
    if at is None:
        return []
    words = [range_words(at)]
    if at.between_families is not None:
        seeds = f", between seeds by ± {at.within_family:.3f}" if at.within_family is not None else ""
        words.append(
            f"References of one p differ between data sets by ± {at.between_families:.3f} (standard deviation){seeds}"
            + (
                ": that, more than this network's own error, limits the answer."
                if at.error < at.between_families
                else "."
            )
        )
    if comparison.batches is not None and comparison.batches.drawn:
        words.append(
            f"Other samples of the same classes move the mean AuC by ± {comparison.batches.drawn:.3f} "
            f"(measured on {comparison.batches.networks} reference networks)."
        )
    by_axis = {c.axis: c for c in comparison.checks if c.left_out == "data set"}
    if "linear" in by_axis:
        words.append(check_words(by_axis["linear"]))
    log = comparison.places.get("log")
    if log is not None:
        agrees = agreement_words(comparison) or "That agrees."
        words.append(
            f"Over log k, which weighs small ranks more, its mean AuC is {log.value:.3f} ± {log.error:.3f}. {range_words(log)} "
            f"{agrees} {check_words(by_axis['log']) if 'log' in by_axis else ''}".rstrip()
        )
    return words


def check_words(found: Check) -> str:
    """What the comparison is worth on the references themselves."""
    axis = "" if found.axis == "linear" else " over log k"
    words = (
        f"Of the references themselves{axis}, each compared with those of other data sets only"
        if found.left_out == "data set"
        else f"Of the references themselves{axis}, each compared with all others"
    )
    words += f", {found.told} of {found.ends} at p = 0 or 1 are nearer to their own p"
    if found.ranged:
        words += f", and {found.covered} of {found.ranged} at any p lie between the compatible ones, which span {found.width:.2f} on average"
    else:
        words += "; which p are compatible can't be tested, since too few data sets are left"
    return f"{words}. Rank correlation of AuC and p: {found.correlation:.2f}.".replace(": -", ": −")


def worth(kind: str) -> str:
    """What comparisons with references of a kind are worth, as a paragraph; computed from the records.

    Args:
        kind: One of :data:`nmfdiag.networks.architectures.KINDS`.

    Raises:
        NmfdiagError: If a record can't be read.
    """
    return " ".join(check_words(check(kind, axis=axis)) for axis in AXES)


def _beside(value: float, group: Sequence[float], what: str) -> str:
    low, high = group[0], group[-1]
    alike = high - low <= ALIKE
    span = f"({low:.3f})" if alike else f"({low:.3f} to {high:.3f})"
    every = f"all {len(group)}" if len(group) > 1 else "the one"
    if value < low - ALIKE:
        side = f"below {every}"
    elif value > high + ALIKE:
        side = f"above {every}"
    else:
        side = f"as high as {every}" if alike else f"among the {len(group)}"
    return f"{side} {what} {span}"
