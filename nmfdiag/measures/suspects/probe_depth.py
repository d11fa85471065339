"""At which layer a network's given labels become readable: gradually, as right labels do, or at once, as memorised ones do.

Read from the accuracy of each layer's leave-one-out linear probe (:attr:`nmfdiag.measures.suspects.result.Suspects.accuracy_by_layer`). This measure is ours,
not the paper's. The rule:

- a layer's **rise** is how far its accuracy lies above the highest one before it; of the first layer, above chance. All rises add up to the whole rise, from
  chance to the highest accuracy;
- the **jump** is the largest rise of a layer after the first, as a share of the whole rise;
- it is **sudden** if that share is at least :data:`SUDDEN`; otherwise the labels become readable gradually.

It *can't be told* with fewer than :data:`FEWEST_LAYERS` layers, if the whole rise is below :data:`SMALLEST_RISE`, or if the first layer alone has a sudden
rise: no layer before it shows whether the inputs tell these labels or the layer has memorised them.

What it can't see: labels that become readable gradually may be wrong in part, since the right ones among them hide the others' jump.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.suspects.controls import Controls
from nmfdiag.text import percent, plural

SUDDEN = 0.4
"""Least share of the whole rise, at one layer, that is sudden. Half was declared before a network was looked at; it missed 4 of 10 zoo networks with p = 1.
Set on the zoo and the jury's development half, of the networks where it can be told: .16 to .36 with at most 30 % of random labels (7 networks), .27 to .53 up
to half (5), .43 to .79 with p = 1 (10)."""
SMALLEST_RISE = 0.1
"""Least rise from chance to the highest accuracy of which it is told where it happens."""
FEWEST_LAYERS = 3
"""Layers that are needed to tell a jump from a gradual rise."""
SEPARATED = 0.95
"""Accuracy from which on a layer already separates the given labels."""


@dataclass(frozen=True)
class ProbeDepth:
    """Where given labels become readable.

    Attributes:
        layers: Names of the probed layers, from input to output (m,).
        accuracies: Accuracy of each one's probe on the given labels (m,).
        chance: Share of the largest class, which a probe without any information reaches.
        jump: The layer after the first at which the accuracy rises most; empty where there is none.
        before: Highest accuracy of the layers before it.
        after: Its accuracy.
        share: Its share of the whole rise from chance to the highest accuracy.
        reason: Why it can't be told whether that is sudden or gradual; empty where it can.
    """

    layers: tuple[str, ...]
    accuracies: tuple[float, ...]
    chance: float
    jump: str = ""
    before: float = 0.0
    after: float = 0.0
    share: float = 0.0
    reason: str = ""

    @property
    def clear(self) -> bool:
        """Whether it can be told."""
        return not self.reason

    @property
    def is_sudden(self) -> bool:
        """Whether the labels become readable at once, at :attr:`jump`; False also where it can't be told."""
        return self.clear and self.share >= SUDDEN

    @property
    def text(self) -> str:
        """One sentence."""
        if not self.clear:
            return f"Whether given labels become readable gradually or at once can't be told: {self.reason}."
        before, after = percent(self.before), percent(self.after)
        if self.is_sudden:
            return f"Given labels become readable at once at {self.jump}: {before} of them before, {after} there."
        return f"Given labels become readable gradually, most at {self.jump} ({before} to {after})."


def probe_depth(accuracy_by_layer: Mapping[str, float], chance: float) -> ProbeDepth:
    """Find where given labels become readable.

    Args:
        accuracy_by_layer: Accuracy of each layer's leave-one-out probe on the given labels, in [0, 1], from input to output.
        chance: Share of the largest class, in [0, 1].

    Raises:
        NmfdiagError: If there is no layer, or a value is not in [0, 1].

    >>> probe_depth({"a": 0.12, "b": 0.14, "c": 0.71, "d": 1.0}, 0.1).text
    'Given labels become readable at once at c: 14 % of them before, 71 % there.'
    >>> probe_depth({"a": 0.3, "b": 0.5, "c": 0.75, "d": 1.0}, 0.1).is_sudden
    False
    """
    if not accuracy_by_layer:
        raise NmfdiagError("No layer's probe accuracy was given: at least one is needed.")
    for name, value in [("chance", chance), *((f"the accuracy of {name}", a) for name, a in accuracy_by_layer.items())]:
        if not 0 <= value <= 1:
            raise NmfdiagError(f"For the probe by depth {name} is {value:g}: accepted are shares from 0 to 1.")
    layers, accuracies = tuple(accuracy_by_layer), tuple(map(float, accuracy_by_layer.values()))
    highest = list(accumulate((chance, *accuracies), max))
    rises = [after - before for before, after in pairwise(highest)]
    whole = highest[-1] - chance
    if whole < SMALLEST_RISE:
        reason = f"the best layer's probe names {percent(max(accuracies))} of them, and always naming the largest class {percent(chance)}"
        return ProbeDepth(layers, accuracies, chance, reason=reason)
    reason = ""
    if len(layers) < FEWEST_LAYERS:
        reason = f"only {plural(len(layers), 'layer')} could be probed, and it takes {FEWEST_LAYERS}"
    elif accuracies[0] >= SEPARATED:
        reason = f"the first layer, {layers[0]}, already separates them ({percent(accuracies[0])})"
    elif rises[0] >= SUDDEN * whole:
        reason = f"{percent(accuracies[0])} of them are readable at the first layer, {layers[0]}, already"
    if len(layers) == 1 or not max(rises[1:]):
        return ProbeDepth(layers, accuracies, chance, reason=reason)
    i = max(range(1, len(layers)), key=rises.__getitem__)
    return ProbeDepth(layers, accuracies, chance, layers[i], highest[i], accuracies[i], rises[i] / whole, reason)


def depth_of(controls: Controls) -> ProbeDepth:
    """Return where the given labels become readable in a network whose labels were scored."""
    return probe_depth(controls.accuracy_by_layer, controls.largest_class)
