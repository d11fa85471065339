"""What removing directions does, in words computed from the curves on the screen."""

from collections.abc import Iterable, Mapping

from nmfdiag.measures.ablation import ByClass, ablation_spread, cost
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.stats.summary import Spread, clearly_above

Layer = Mapping[tuple[float, str], ByClass]

HOW_TO_READ = """
**Figure 7**, the opposite of compression. The k leading NMF or PCA directions (not centred: the mean is one of them) are projected **out** of the
layer's activations, or k random channels are set to zero (mean over draws), and the rest of the network runs on what is left. Dotted:
random channels; solid: NMF (signed NMF, of a network whose activations can be negative: dashes and dots); dashed: PCA; colour is p; the band is one standard error over classes. **k = 0** is the network as it is.
With all directions removed every sample gets the same answer, right for one class in all.

**A line that falls early**: these directions are needed. **AuC** is the mean height of the line from k = 1 to the number of channels,
for every method: where a batch has fewer rows than channels, its directions are used up before, and the line stays where zeros put it.

**What this cannot tell.** Leading directions carry most of the activation, a random channel its share: NMF and PCA lie lower at the same
k for that alone. What is left after a projection has negative entries, which no ReLU gives. Where the lines of all p lie on the floor,
their difference to random ablation is random ablation's own: the answer says so, and the rank axis set to log gives small k their due. With random channels,
removing k is keeping the others: the same networks as on *k vs accuracy*, read from the right."""


def ablation_answer(layer: str, curves: Layer, axis: str = "linear") -> str:
    """One layer: which p suffers most without random channels, and whom removing leading directions hurts more than that.

    Args:
        layer: Its name.
        curves: For each (p, method), its curves by class.
        axis: The axis that areas are taken over.
    """
    words = []
    if by_noise := _of("random", curves):
        words.append(_random(layer, by_noise, axis))
    leading = next((m for m in ("nmf", "signed", "pca") if _of(m, curves)), None)
    if leading is not None:
        words.append(_leading(layer, leading, curves, axis))
    return " ".join(words) or f"No curve of {layer} is there to answer with."


def ablation_by_layer(by_layer: Mapping[str, Layer], axis: str = "linear") -> str:
    """All layers: at how many of them the least or the most noisy network is clearly hurt more; empty for a single p."""
    parts, low, high = [], 0.0, 1.0
    for method, name in ((m.name, m.removed) for m in METHODS.values()):
        compared = {layer: v for layer, curves in by_layer.items() if (v := _hurt_more(method, curves, axis))}
        if not compared:
            continue
        low, high = _ends({key for curves in by_layer.values() for key in curves}, method)
        verdicts = list(compared.values())
        borrowed = sum(_borrowed(method, by_layer[layer], verdict, axis) for layer, verdict in compared.items())
        beyond = (
            ", beyond random ablation" if method != "random" and _of("random", next(iter(by_layer.values()))) else ""
        )
        counts = f"p = {low:g} at {verdicts.count('low')} and p = {high:g} at {verdicts.count('high')} of {len(verdicts)} layers"
        only = f" ({borrowed} only because random ablation differs)" if borrowed else ""
        parts.append(f"- removing **{name}**{beyond}: {counts}{only}")
    return (
        "\n".join([f"Layers at which p = {low:g} or p = {high:g} is clearly hurt more than the other:", "", *parts])
        if parts
        else ""
    )


def _random(layer: str, by_noise: Mapping[float, ByClass], axis: str) -> str:
    auc = {p: ablation_spread(some, axis) for p, some in by_noise.items()}
    worst, best = min(auc, key=lambda p: auc[p].mean), max(auc, key=lambda p: auc[p].mean)
    if len(auc) == 1:
        return f"Without random channels of {layer}, AuC is {auc[worst]}."
    if clearly_above(auc[best], auc[worst]):
        return f"Removing random channels of {layer} hurts p = {worst:g} most: AuC {auc[worst]} against {auc[best]} at p = {best:g}."
    return (
        f"Removing random channels of {layer} hurts no p clearly most: AuC lies between {auc[worst]} (p = {worst:g}) and "
        f"{auc[best]} (p = {best:g})."
    )


def _leading(layer: str, method: str, curves: Layer, axis: str) -> str:
    by_noise, random = _of(method, curves), _of("random", curves)
    low, high = _ends(curves, method)
    levels = [low] if low == high else [low, high]
    auc = " and ".join(f"{ablation_spread(by_noise[p], axis)} at p = {p:g}" for p in levels)
    words = f"Without {METHODS[method].removed} " + (f"it is {auc}" if random else f"of {layer} AuC is {auc}")
    costs = [c for p in levels if p in random and (c := cost(random[p], by_noise[p], axis)) is not None]
    if costs and len(costs) == len(levels):
        words += f", {' and '.join(map(_against, costs))} than without random channels"
    found = _hurt_more(method, curves, axis)
    if found:
        beyond = " beyond random ablation" if costs else ""
        words += {
            "low": f": p = {low:g} is hurt more{beyond}",
            "high": f": p = {high:g} is hurt more{beyond}",
            "alike": f": neither is clearly hurt more{beyond}",
        }[found]
        if _borrowed(method, curves, found, axis):
            words += f", but only because random ablation differs: without {METHODS[method].removed} both do alike"
    return f"{words}."


def _hurt_more(method: str, curves: Layer, axis: str) -> str:
    """Which of the least and the most noisy network loses more, beyond random ablation where that is measured.

    ``"low"``, ``"high"``, ``"alike"``, or nothing where there are no two.
    """
    by_noise, random = _of(method, curves), _of("random", curves)
    if len(by_noise) < 2:
        return ""
    low, high = _ends(curves, method)
    if method != "random" and low in random and high in random:
        costs = cost(random[low], by_noise[low], axis), cost(random[high], by_noise[high], axis)
        if costs[0] is not None and costs[1] is not None:
            return _verdict(costs[0], costs[1])
    # A higher area is a smaller loss.
    return _verdict(ablation_spread(by_noise[high], axis), ablation_spread(by_noise[low], axis))


def _verdict(low: Spread, high: Spread) -> str:
    return "low" if clearly_above(low, high) else "high" if clearly_above(high, low) else "alike"


def _of(method: str, curves: Layer) -> dict[float, ByClass]:
    return {p: some for (p, m), some in curves.items() if m == method}


def _ends(keys: Iterable[tuple[float, str]], method: str) -> tuple[float, float]:
    levels = [p for p, m in keys if m == method]
    return min(levels), max(levels)


def _borrowed(method: str, curves: Layer, verdict: str, axis: str) -> bool:
    """Whether a verdict beyond random ablation is random ablation's alone: it differs, the area without leading ones does not."""
    if method == "random" or verdict == "alike" or _hurt_more("random", curves, axis) in ("", "alike", verdict):
        return False
    low, high = (ablation_spread(curves[p, method], axis) for p in _ends(curves, method))
    return _verdict(low, high) == "alike"


def _against(difference: Spread) -> str:
    size = Spread(abs(difference.mean), difference.sd, difference.sem, difference.n)
    return f"{size} {'lower' if difference.mean >= 0 else 'higher'}"
