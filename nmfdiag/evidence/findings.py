"""The result for one claim: the units that show it or don't, and the verdict, by one rule for all claims."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nmfdiag.measures.stats.summary import CLEAR_ERRORS, SMALLEST_DIFFERENCE, spread

HOLDS, IN_PART, NOT, UNMEASURED = "holds", "holds in part", "does not hold", "not measured"
HOLDS_SHARE, PART_SHARE = 0.75, 0.25
"""Least shares of units that show a claim which holds, and one which holds in part: three of four, one of four."""

RULE = (
    f"A unit (a network, a family of networks of one seed, or a training run, as its table says) shows a claim if the effect has "
    f"the claimed sign and exceeds {CLEAR_ERRORS:g} standard errors and {SMALLEST_DIFFERENCE}, or as the claim says. A claim "
    f"holds if at least {HOLDS_SHARE:.0%} of its units show it, holds in part from {PART_SHARE:.0%} on, and else does not hold."
)


@dataclass(frozen=True)
class Unit:
    """One network, family or run: its measured values, and whether they show the claim."""

    name: str
    shows: bool
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """Our result for one claim: a sentence with figures (``measured``) and the units behind it."""

    measured: str
    units: tuple[Unit, ...] = ()

    @property
    def n_showing(self) -> int:
        """Number of units that show the claim."""
        return sum(unit.shows for unit in self.units)

    @property
    def verdict(self) -> str:
        """The verdict by :data:`RULE`."""
        if not self.units:
            return UNMEASURED
        share = self.n_showing / len(self.units)
        return HOLDS if share >= HOLDS_SHARE else IN_PART if share >= PART_SHARE else NOT

    @property
    def counted(self) -> str:
        """Number of units that show the claim, of all."""
        return f"{self.n_showing} of {len(self.units)}"


NO_RECORD = Finding("No record.")


def summarise(quantity: str, units: Sequence[Unit], value: str) -> Finding:
    """Return the finding of a quantity: its mean over units, with the units; :data:`NO_RECORD` without units."""
    return Finding(f"{quantity}: {over_units(units, value)}", tuple(units)) if units else NO_RECORD


def over_units(units: Sequence[Unit], value: str) -> str:
    """Return a value's mean over units with a 95 % interval from its standard error, and its range."""
    numbers = [float(unit.values[value]) for unit in units]
    s = spread(numbers)
    if s.n == 1:
        return f"{s.mean:.2f}"
    return f"{s.mean:.2f} ± {1.96 * s.sem:.2f} (from {min(numbers):.2f} to {max(numbers):.2f})"
