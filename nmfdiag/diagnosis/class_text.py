"""Sentences on classes: their names, how low each lies, and which are memorised most."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from nmfdiag import text
from nmfdiag.diagnosis.class_ranking import ClassReading
from nmfdiag.measures.stats.summary import SMALLEST_DIFFERENCE
from nmfdiag.text import plural

NAMED_CLASSES = 3
"""Classes that a summary names at most."""


def class_name(class_idx: int | None, names: Sequence[str] = ()) -> str:
    """Return a class's name if it has one, else its number."""
    return "mixture" if class_idx is None else text.class_name(class_idx, names)


def is_lower(reading: ClassReading) -> bool:
    """Return whether a class lies far enough below the classes' mean to be named."""
    return reading.gap.mean < -SMALLEST_DIFFERENCE


def class_text(reading: ClassReading, names: Sequence[str] = ()) -> str:
    """Return a sentence on one class beside the others."""
    auc = f"{reading.auc.mean:.3f}" + (f" ± {reading.auc.sem:.3f}" if reading.auc.n > 1 else "")
    side = "below" if reading.gap.mean < 0 else "above"
    layer, lowest = reading.lowest
    text = (
        f"{_title(reading.class_idx, names)}: AuC {auc} over {plural(reading.layers, 'layer')}, "
        f"{abs(reading.gap.mean):.3f} {side} the classes' mean (below it at {reading.below} of {reading.layers}); "
        f"lowest at {layer}, {lowest:.3f}."
    )
    if reading.gap.mean < 0 and reading.clear is not None:
        text += " Clearly lower." if reading.clear else " Not clearly lower over the draws."
    return text


def classes_text(readings: Sequence[ClassReading], names: Sequence[str] = ()) -> str:
    """Return sentences on the classes that are memorised most, as far as the draws can tell."""
    if not readings:
        return ""
    lowest = ", ".join(
        f"{class_name(r.class_idx, names)} ({r.auc.mean:.2f})" for r in readings[:NAMED_CLASSES] if is_lower(r)
    )
    if not lowest:
        return f"No class lies more than {SMALLEST_DIFFERENCE:g} below the classes' mean."
    text = f"Lowest AuC over the unsaturated layers: {lowest}; the classes' mean is {fmean(r.auc.mean for r in readings):.2f}."
    if readings[0].clear is None:
        return f"{text} From one draw of each class it can't be said how sure that is: draw again (n_draws)."
    clear = [class_name(r.class_idx, names) for r in readings if r.clear]
    if not clear:
        return f"{text} Over the draws no class is clearly lower than the mean."
    return f"{text} Clearly lower than the mean over {readings[0].gap.n} draws: {', '.join(clear)}."


def _title(class_idx: int, names: Sequence[str]) -> str:
    name = class_name(class_idx, names)
    return f"Class {name}" if name == str(class_idx) else f"Class {class_idx} ({name})"


def reading_record(reading: ClassReading, names: Sequence[str]) -> dict[str, Any]:
    """Return the JSON record of a class, whose name is one of these."""
    has_spread = reading.auc.n > 1
    return {
        "class": reading.class_idx,
        "name": class_name(reading.class_idx, names),
        "auc": reading.auc.mean,
        "auc_standard_error": reading.auc.sem if has_spread else None,
        "gap": reading.gap.mean,
        "gap_standard_error": reading.gap.sem if has_spread else None,
        "n_draws": reading.auc.n,
        "clear": reading.clear,
        "layers": reading.layers,
        "below": reading.below,
        "lowest_layer": reading.lowest[0],
        "lowest_auc": reading.lowest[1],
        "n_samples": reading.n_samples,
    }
