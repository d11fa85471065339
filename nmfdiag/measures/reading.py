"""Plain words for AuC by layer. Says only what the figures carry."""

from collections.abc import Mapping, Sequence

from nmfdiag.measures.phases import Phases
from nmfdiag.measures.summary import Spread, separating_layers


def span(layers: Sequence[str]) -> str:
    """``conv1_2 to conv2_2``, or the one layer."""
    return layers[0] if len(layers) == 1 else f"{layers[0]} to {layers[-1]}"


def reading(auc_by_layer: Mapping[str, Spread], found: Phases) -> str:
    """One network: where AuC is lowest, and its phases."""
    lowest = min(auc_by_layer, key=lambda layer: auc_by_layer[layer].mean)
    words = f"{lowest} is the least linear layer on single-class batches: AuC {auc_by_layer[lowest]}"
    if found.clear:
        return f"{words}. Memorisation shows from {span(found.memorisation)}; from {found.clustering[0]} on, classes cluster."
    return f"{words}. No clear phases: {found.reason}."


def comparison(by_noise: Mapping[float, Mapping[str, Spread]]) -> str:
    """Several networks that differ in p: which layers separate the least from the most noisy one."""
    low, high = min(by_noise), max(by_noise)
    layers = separating_layers(by_noise)
    if not layers:
        return f"No layer separates p = {low:g} from p = {high:g} by more than two standard errors over classes."
    gap = max(layers, key=lambda layer: by_noise[low][layer].mean - by_noise[high][layer].mean)
    return (
        f"{_listed(layers, list(by_noise[low]))} separate{'s' if len(layers) == 1 else ''} p = {low:g} from p = {high:g}; "
        f"the widest gap is at {gap}: AuC {by_noise[low][gap]} against {by_noise[high][gap]}."
    )


def _listed(layers: Sequence[str], order: Sequence[str]) -> str:
    """Layers as runs of neighbours: ``conv1_1 to conv2_1 and conv3_1``."""
    runs: list[list[str]] = []
    for layer in layers:
        if runs and order.index(runs[-1][-1]) + 1 == order.index(layer):
            runs[-1].append(layer)
        else:
            runs.append([layer])
    spans = [span(run) for run in runs]
    return spans[0] if len(spans) == 1 else f"{', '.join(spans[:-1])} and {spans[-1]}"
