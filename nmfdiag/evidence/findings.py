"""What was found about a claim: units that show it or don't, and the verdict, by one rule for all claims."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nmfdiag.measures.ablation import CLEAR_ERRORS, SMALLEST_DIFFERENCE
from nmfdiag.measures.stats.summary import Spread, spread

HOLDS, IN_PART, NOT, UNMEASURED = "holds", "holds in part", "does not hold", "not measured"
MOST, SOME = 0.75, 0.25

RULE = (
    f"A unit (a network, a family of networks of one seed, or a training run, as its table says) shows a claim if the effect has "
    f"the claimed sign and exceeds {CLEAR_ERRORS:g} standard errors and {SMALLEST_DIFFERENCE}, or as the claim says. A claim "
    f"holds if at least {MOST:.0%} of its units show it, holds in part from {SOME:.0%} on, and else does not hold."
)


@dataclass(frozen=True)
class Unit:
    """One network, family or run: what was measured on it, and whether that is what the paper claims."""

    name: str
    shows: bool
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """What our runs say about one claim: ``measured`` in words with figures, and the units behind it."""

    measured: str
    units: tuple[Unit, ...] = ()

    @property
    def shown(self) -> int:
        """Units that show the claim."""
        return sum(unit.shows for unit in self.units)

    @property
    def verdict(self) -> str:
        """By :data:`RULE`."""
        if not self.units:
            return UNMEASURED
        share = self.shown / len(self.units)
        return HOLDS if share >= MOST else IN_PART if share >= SOME else NOT

    @property
    def counted(self) -> str:
        """How many units show it."""
        return f"{self.shown} of {len(self.units)}"


NOTHING = Finding("No record.")


def clear(difference: Spread) -> bool:
    """Whether a mean difference is positive beyond two standard errors and 0.02."""
    return difference.mean > max(CLEAR_ERRORS * difference.sem, SMALLEST_DIFFERENCE)


def over_units(units: Sequence[Unit], value: str) -> str:
    """A value's mean over units with a 95 % interval from its standard error, and its range."""
    found = [float(unit.values[value]) for unit in units]
    s = spread(found)
    if s.n == 1:
        return f"{s.mean:.2f}"
    return f"{s.mean:.2f} ± {1.96 * s.sem:.2f} (from {min(found):.2f} to {max(found):.2f})"
