"""A diagnosis in words: is the network memorising, where and how sure; which classes; and what can't be said."""

from collections.abc import Sequence
from statistics import fmean

from nmfdiag.diagnosis.class_ranking import ClassReading, unsaturated
from nmfdiag.diagnosis.comparison import CLEAN, Comparison, finding
from nmfdiag.diagnosis.comparison_text import OPENINGS, agreement_words, place_words, told_words
from nmfdiag.measures.auc import SATURATED
from nmfdiag.measures.auc_sentences import reading
from nmfdiag.measures.layer_profile import LayerProfile
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.stats.summary import SMALLEST_DIFFERENCE
from nmfdiag.zoo.recipes import FITTED

FEW_SAMPLES, FEW_CLASSES, FEW_LAYERS = 10, 3, 3
MUCH_OVERLAP = 0.5
NAMED_CLASSES = 3


def class_name(class_idx: int | None, names: Sequence[str] = ()) -> str:
    """A class's name where it has one, else its number."""
    if class_idx is None:
        return "mixture"
    return str(names[class_idx]) if 0 <= class_idx < len(names) else str(class_idx)


def verdict_words(profile: LayerProfile, found: Phases, comparison: Comparison | None, method: str = "nmf") -> str:
    """Is it memorising, where, and how sure."""
    where = reading(profile.auc_by_layer(method), found)
    at = comparison.place if comparison else None
    if comparison is None or at is None:
        return where
    what = finding(at)
    if what == CLEAN and not unsaturated(profile, method):
        opening = "No layer shows memorising, but every layer is right from one direction on, which says little"
    else:
        opening = OPENINGS[what]
    if what == CLEAN:  # phases are of any network: that of memorisation has its name from those that do
        by_layer = profile.auc_by_layer(method)
        lowest = min(by_layer, key=lambda layer: by_layer[layer].mean)
        where = f"{lowest} is the least linear layer: AuC {by_layer[lowest]}."
    parts = [f"{opening}: {place_words(comparison)}.", told_words(comparison), agreement_words(comparison), where]
    return " ".join(filter(None, parts))


def is_lower(reading: ClassReading) -> bool:
    """Whether a class lies so far below the classes' mean that it is worth naming."""
    return reading.gap.mean < -SMALLEST_DIFFERENCE


def class_words(reading: ClassReading, names: Sequence[str] = ()) -> str:
    """One class beside the others, in a sentence."""
    auc = f"{reading.auc.mean:.3f}" + (f" ± {reading.auc.sem:.3f}" if reading.auc.n > 1 else "")
    side = "below" if reading.gap.mean < 0 else "above"
    layer, lowest = reading.lowest
    words = (
        f"{_titled(reading.class_idx, names)}: AuC {auc} over {reading.layers} layer{'s' * (reading.layers != 1)}, "
        f"{abs(reading.gap.mean):.3f} {side} the classes' mean (below it at {reading.below} of {reading.layers}); "
        f"lowest at {layer}, {lowest:.3f}."
    )
    if reading.gap.mean < 0 and reading.clear is not None:
        words += " Clearly lower." if reading.clear else " Not clearly lower over the draws."
    return words


def classes_words(readings: Sequence[ClassReading], names: Sequence[str] = ()) -> str:
    """Which classes are memorised most, as far as the draws can say."""
    if not readings:
        return ""
    named = ", ".join(
        f"{class_name(r.class_idx, names)} ({r.auc.mean:.2f})" for r in readings[:NAMED_CLASSES] if is_lower(r)
    )
    if not named:
        return f"No class lies more than {SMALLEST_DIFFERENCE:g} below the classes' mean."
    words = f"Lowest AuC over the unsaturated layers: {named}; the classes' mean is {fmean(r.auc.mean for r in readings):.2f}."
    if readings[0].clear is None:
        return f"{words} From one draw of each class it can't be said how sure that is: draw again (n_draws)."
    clear = [class_name(r.class_idx, names) for r in readings if r.clear]
    if not clear:
        return f"{words} Over the draws no class is clearly lower than the mean."
    return f"{words} Clearly lower than the mean over {readings[0].gap.n} draws: {', '.join(clear)}."


def remarks_on(profile: LayerProfile, method: str = "nmf", names: Sequence[str] = ()) -> tuple[str, ...]:
    """What can't be said of a profile, or only with care."""
    some = [m for m in profile.measured if m.curve.method == method]
    classes, by_layer = {m.class_idx for m in some}, profile.auc_by_layer(method)
    remarks = list(profile.remarks)
    if method != "nmf":
        phrase = METHODS[method].phrase + ("" if METHODS[method].in_paper else ", an extension of ours")
        remarks.append(f"Read from {phrase}: the paper's reading, and phases, go by NMF of ReLU layers.")
    baseline = fmean(m.curve.baseline_accuracy for m in some)
    if baseline < FITTED:
        remarks.append(
            f"The network gets {baseline:.0%} of these samples right by their given labels. Either it has not fitted them yet, or "
            "they are not prepared as in training (normalisation, labels): a curve can't be higher than this."
        )
    wrong = sorted({c for c in classes if c is not None and _baseline(some, c) < FITTED})
    if wrong and baseline >= FITTED:
        remarks.append(
            f"Not fitted: class {_listed(wrong, names)}. Its AuC can't be higher than the share that is right."
        )
    fewest = min(m.curve.n_samples for m in some)
    if fewest < FEW_SAMPLES:
        remarks.append(
            f"The smallest batch has {fewest} samples, so one sample is worth {1 / fewest:.2f} of an accuracy. Give {FEW_SAMPLES} or more a class."
        )
    if classes == {None}:
        remarks.append(
            "Measured on a mixture of classes: the paper's reading, and phases, go by batches of a single class."
        )
    elif len(classes) < FEW_CLASSES:
        remarks.append(
            f"Only {len(classes)} class{'es' * (len(classes) > 1)} measured: classes differ, and the error bars rest on them."
        )
    full = [layer for layer, s in by_layer.items() if s.mean >= SATURATED]
    if len(full) == len(by_layer):
        remarks.append(
            "Every layer is right from one direction on: layers and classes can't be told apart, and of memorising this tells little."
        )
    elif full:
        remarks.append(
            f"{len(full)} of {len(by_layer)} layers are right from one direction on ({full[0]}{' and on' * (len(full) > 1)}): "
            "they tell nothing of memorising, and classes are compared at the others."
        )
    if len(by_layer) < FEW_LAYERS:
        remarks.append("Phases need at least three layers.")
    if overlap := _overlap(profile, method):
        remarks.append(overlap)
    open_ranks = sum(not all(m.curve.converged) for m in some)
    if open_ranks:
        remarks.append(
            f"In {open_ranks} of {len(some)} curves the factorisation did not converge at some rank, which makes AuC too low."
        )
    return tuple(remarks)


def error_bar_words(profile: LayerProfile, method: str = "nmf") -> str:
    """What the error bars hold for."""
    by_class = next(iter(profile.auc_by_class(method).values()))
    n_draws = profile.n_draws
    if len(by_class) > 1:
        over = f"over {len(by_class)} classes" + (f", each averaged over {n_draws} draws first" if n_draws > 1 else "")
    elif n_draws > 1:
        over = f"over {n_draws} draws of one batch"
    else:
        return "One batch alone has no error bars: measure more classes, or draw it again (n_draws)."
    words = f"Error bars are 95 % intervals of the mean {over} (Student's t)."
    if n_draws == 1:
        words += " They hold for these classes, not for the choice of samples: for that, draw again (n_draws)."
    return f"{words} There is no bootstrap over samples, since those of a batch are factorised together."


def _titled(class_idx: int, names: Sequence[str]) -> str:
    name = class_name(class_idx, names)
    return f"Class {name}" if name == str(class_idx) else f"Class {class_idx} ({name})"


def _listed(classes: Sequence[int], names: Sequence[str]) -> str:
    shown = [class_name(c, names) for c in classes[:5]]
    return ", ".join(shown) + (f" and {len(classes) - 5} more" if len(classes) > 5 else "")


def _baseline(some: Sequence, class_idx: int) -> float:
    return fmean(m.curve.baseline_accuracy for m in some if m.class_idx == class_idx)


def _overlap(profile: LayerProfile, method: str) -> str:
    """Draws that share most of their samples differ less than new samples would."""
    if profile.n_draws < 2 or not profile.class_sizes:
        return ""
    taken = {m.class_idx: m.curve.n_samples for m in profile.measured if m.curve.method == method}
    everyone = sum(profile.class_sizes.values())
    there = {c: everyone if c is None else profile.class_sizes.get(c, n) for c, n in taken.items()}
    much = [c for c, n in taken.items() if n > MUCH_OVERLAP * there[c]]
    if not much:
        return ""
    return (
        f"In {len(much)} of {len(taken)} classes a draw takes more than half of the samples that there are, so that draws share "
        "samples: their spread is smaller than that of new samples would be."
    )
