"""Remarks beside a verdict that decide nothing: the limits of a profile, and the meaning of its error bars."""

from collections.abc import Sequence
from statistics import fmean

from nmfdiag.diagnosis.class_text import class_name
from nmfdiag.diagnosis.verdict import FEWEST_SAMPLES
from nmfdiag.measures.auc import SATURATED
from nmfdiag.measures.auc_sentences import FEW_CLASSES, few_classes_text, listed
from nmfdiag.measures.layer_profile import LayerProfile, ProfileCurve
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.phases import FEWEST_LAYERS
from nmfdiag.text import plural
from nmfdiag.zoo.recipes import FITTED

MUCH_OVERLAP = 0.5
"""Share of a class's samples per draw above which draws share many samples."""
LISTED_CLASSES = 5
"""Classes that a remark names at most."""


def remarks_on(profile: LayerProfile, method: str = "nmf", names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what a profile can't tell, or only with care, a sentence each."""
    profile_curves = [m for m in profile.measured if m.curve.method == method]
    classes, by_layer = {m.class_idx for m in profile_curves}, profile.auc_by_layer(method)
    remarks = list(profile.remarks)
    if method != "nmf":
        phrase = METHODS[method].phrase + ("" if METHODS[method].in_paper else ", an extension of ours")
        remarks.append(f"Read from {phrase}: the paper's reading, and phases, use NMF of ReLU layers.")
    baseline = fmean(m.curve.baseline_accuracy for m in profile_curves)
    if baseline < FITTED:
        remarks.append(
            f"The network gets {baseline:.0%} of these samples right by their given labels. Either it has not fitted them yet, or "
            "they are not prepared as in training (normalisation, labels): a low AuC may reflect only that."
        )
    unfitted = sorted({c for c in classes if c is not None and _baseline(profile_curves, c) < FITTED})
    if unfitted and baseline >= FITTED:
        remarks.append(f"Not fitted: class {_listed(unfitted, names)}. A low AuC may reflect only that.")
    fewest = min(m.curve.n_samples for m in profile_curves)
    if fewest < FEWEST_SAMPLES:
        remarks.append(
            f"The smallest batch has {plural(fewest, 'sample')}; with fewer than {FEWEST_SAMPLES} the curves of a class are coarse, and the network is "
            "not compared with references."
        )
    if classes == {None}:
        remarks.append(
            "Measured on a mixture of classes: the paper's reading, and phases, use batches of a single class."
        )
    elif len(classes) < FEW_CLASSES:
        remarks.append(few_classes_text(len(classes)))
    saturated_layers = [layer for layer, s in by_layer.items() if s.mean >= SATURATED]
    if len(saturated_layers) == len(by_layer):
        remarks.append(
            "Every layer keeps full accuracy with one direction: layers and classes can't be told apart, and this says little about memorising."
        )
    elif saturated_layers:
        remarks.append(
            f"{_from_layer(saturated_layers, list(by_layer))} one direction is enough for full accuracy. "
            + ("This layer says" if len(saturated_layers) == 1 else f"These {len(saturated_layers)} layers say")
            + " nothing about memorising; classes are compared at the others."
        )
    if len(by_layer) < FEWEST_LAYERS:
        remarks.append("Phases need at least three layers.")
    if overlap := _overlap(profile, method):
        remarks.append(overlap)
    open_ranks = sum(not all(m.curve.converged) for m in profile_curves)
    if open_ranks:
        remarks.append(
            f"In {open_ranks} of {len(profile_curves)} curves the factorisation did not converge at some rank, which makes AuC too low."
        )
    return tuple(remarks)


def error_bar_text(profile: LayerProfile, method: str = "nmf") -> str:
    """Return what the error bars of a profile cover."""
    by_class = next(iter(profile.auc_by_class(method).values()))
    n_draws = profile.n_draws
    if len(by_class) > 1:
        over = f"over {len(by_class)} classes" + (f", each averaged over {n_draws} draws first" if n_draws > 1 else "")
    elif n_draws > 1:
        over = f"over {n_draws} draws of one batch"
    else:
        return "One batch alone has no error bars: measure more classes, or draw it again (n_draws)."
    text = f"Error bars are 95 % intervals of the mean {over} (Student's t)."
    if n_draws == 1:
        text += " They hold for these classes, not for the choice of samples: for that, draw again (n_draws)."
    return f"{text} There is no bootstrap over samples, since those of a batch are factorised together."


def _from_layer(layers: Sequence[str], order: Sequence[str]) -> str:
    """Return where some of the layers are: from one on, or by name."""
    last = list(order[-len(layers) :])
    return f"From {layers[0]} on," if list(layers) == last and len(layers) > 1 else f"At {listed(layers, order)}"


def _listed(classes: Sequence[int], names: Sequence[str]) -> str:
    listed = ", ".join(class_name(c, names) for c in classes[:LISTED_CLASSES])
    return listed + (f" and {len(classes) - LISTED_CLASSES} more" if len(classes) > LISTED_CLASSES else "")


def _baseline(profile_curves: Sequence[ProfileCurve], class_idx: int) -> float:
    return fmean(m.curve.baseline_accuracy for m in profile_curves if m.class_idx == class_idx)


def _overlap(profile: LayerProfile, method: str) -> str:
    """Return a remark if draws share most of their samples: they differ less than new samples would."""
    if profile.n_draws < 2 or not profile.class_sizes:
        return ""
    drawn_sizes = {m.class_idx: m.curve.n_samples for m in profile.measured if m.curve.method == method}
    n_all = sum(profile.class_sizes.values())
    class_sizes = {c: n_all if c is None else profile.class_sizes.get(c, n) for c, n in drawn_sizes.items()}
    n_overlapping = sum(n > MUCH_OVERLAP * class_sizes[c] for c, n in drawn_sizes.items())
    if not n_overlapping:
        return ""
    return (
        f"In {n_overlapping} of {len(drawn_sizes)} classes a draw takes more than half of the samples that there are, so that draws share "
        "samples: their spread is smaller than that of new samples would be."
    )
