"""What a claim is: a statement with its measure on our records."""

from collections.abc import Callable
from dataclasses import dataclass, field

from nmfdiag.evidence.all_records import Records
from nmfdiag.evidence.findings import Finding

OURS = "S"
"""First letter of the figure of our own claims about suspects."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Claim:
    """One claim of the paper, or one of our own about suspects.

    Attributes:
        figure: The paper's figure; for our own claims :data:`OURS` and a number.
        claim: Its statement, in one sentence.
        paper: The figures that the paper reports, if any.
        measure: Function from our records to the finding.
        unit: Description of a unit of the finding.
        page: Name of the page that shows it, without folder and suffix.
        command: Command that makes the records behind it.
        why: Known reason for a difference from the paper, or what a reader should know of the measurement.
        link: Settings of the page that show it as in the paper.
        useful: Whether it matters for a user's own network, and not for the paper's figures alone.
    """

    figure: str
    claim: str
    paper: str
    measure: Callable[[Records], Finding]
    unit: str
    page: str
    command: str
    why: str
    link: dict[str, str | list[str]] = field(default_factory=dict)
    useful: bool = False

    @property
    def is_of_a_figure(self) -> bool:
        """Whether it belongs to a figure of the paper."""
        return not self.figure.startswith(OURS)
