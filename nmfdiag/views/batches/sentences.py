"""Whether layers are more linear on one class than on a mixture, in words computed from the curves on the screen."""

from collections.abc import Sequence

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.stats.summary import Spread, clearly_above, spread
from nmfdiag.views.selection import Choice, Curves

CONSTANT = 0.5
"""From this accuracy on, the mean row alone is taken to carry a class."""

HOW_TO_READ = """
**Figure 4.** One column a data set and architecture, the sidebar's first, all on one axis; above, batches whose samples share a given label (the band
is one standard error over classes); below, batches of the same size that mix all classes (the band is over draws of the batch). Colour
is p. A family without the chosen p is shown at its nearest. **High**: the layer can be compressed to few directions without harm. Click
a point of the first column to open its curve.

**At k = 0** nothing of the layer is left and every sample gets the same answer. The thin grey line is all channels zero; the short
strokes are every row replaced by the batch's mean row. On a single-class batch a constant answer is right for all samples or for none,
so the mean row alone can score 1 there, while on a mixture it is right for one class. **Part of the difference between above and below
is this**, and not that the layer is more linear: compare a line with its strokes."""


def batches_answer(choices: Sequence[Choice], results: Curves) -> str:
    """For how many networks the AuC, averaged over layers, is higher on single-class batches; the widest and narrowest gap."""
    pairs = {
        (one.family, p): (single, multi)
        for one in choices
        for p, single in averaged(one, results, multi=False).items()
        if (multi := averaged(one, results, multi=True).get(p)) is not None
    }
    if not pairs:
        return "To compare, both kinds of batches are needed: one is still missing."
    more = [key for key, (single, multi) in pairs.items() if clearly_above(single, multi)]
    less = [key for key, (single, multi) in pairs.items() if clearly_above(multi, single)]
    by_gap = sorted(pairs, key=lambda key: pairs[key][0].mean - pairs[key][1].mean)
    examples = [
        f"{pairs[key][0]} against {pairs[key][1]} in {_network(key)}" for key in dict.fromkeys((by_gap[-1], by_gap[0]))
    ]
    count = f"{len(more)} of {len(pairs)} networks" if more else f"none of {len(pairs)} networks"
    words = f"Layers are more linear on one class than on a mixture in {count}: AuC averaged over layers "
    words += examples[0] if len(examples) == 1 else f"{examples[0]} (widest gap), {examples[1]} (narrowest)"
    if less:
        words += f"; the other way round in {', '.join(map(_network, less))}"
    return f"{words}."


def chance_words(choices: Sequence[Choice], results: Curves) -> str:
    """What a constant answer scores on either kind of batch, and how much of the difference is left where it scores little."""
    parts = [[c for one in choices for c in one.part(results, multi=multi).values()] for multi in (False, True)]
    if not all(parts):
        return ""
    zero, mean = (
        [f"{spread([of(c) for c in part]).mean:.2f}" for part in parts] for of in (zero_accuracy, mean_accuracy)
    )
    words = (
        f"Part of the difference is there by construction. At k = 0, with all channels zero, the constant answer scores {zero[0]} "
        f"on single-class batches (1 on one class, 0 on the others) and {zero[1]} on mixtures; with every row the batch's mean "
        f"row, {mean[0]} and {mean[1]}."
    )
    gaps: dict[bool, list[float]] = {False: [], True: []}
    for one in choices:
        rows = [one.spreads(one.part(results, multi=False), mean_accuracy, one.method)]
        rows += [one.spreads(one.part(results, multi=multi), one.area, one.method) for multi in (False, True)]
        constant, single, multi_class = rows
        for p, by_layer in single.items():
            for layer, s in by_layer.items():
                if layer in multi_class.get(p, {}):
                    gaps[constant[p][layer].mean >= CONSTANT].append(s.mean - multi_class[p][layer].mean)
    if all(gaps.values()):
        few, many = spread(gaps[False]), spread(gaps[True])
        words += (
            f" Layers at which the mean row of one class scores under {CONSTANT}: AuC differs by {few} ({few.n} layers of all "
            f"networks); the other {many.n}: by {many}."
        )
    return words


def subject(choices: Sequence[Choice]) -> str:
    """The networks of all families in words."""
    levels = sorted({n.recipe.label_noise for one in choices for n in one.networks})
    seed = choices[0].networks[0].recipe.seed
    names = ", ".join(one.family for one in choices)
    return f"{names} · p = {', '.join(f'{p:g}' for p in levels)} · seed {seed} · {choices[0].batch_words}"


def averaged(choice: Choice, results: Curves, *, multi: bool) -> dict[float, Spread]:
    """For each p the AuC averaged over layers, with its spread over batches."""
    areas: dict[float, dict[tuple[int, int], list[float]]] = {}
    for request, curve in choice.part(results, multi=multi).items():
        batches = areas.setdefault(choice.label_noise(request), {})
        batches.setdefault((request.class_idx, request.seed), []).append(choice.area(curve))
    return {p: spread([sum(some) / len(some) for some in areas[p].values()]) for p in sorted(areas)}


def _network(key: tuple[str, float]) -> str:
    return f"{key[0]} at p = {key[1]:g}"


def zero_accuracy(curve: CompressionCurve) -> float:
    """Of all channels zero."""
    return curve.zero_accuracy


def mean_accuracy(curve: CompressionCurve) -> float:
    """Of every row replaced by the mean row."""
    return curve.mean_accuracy
