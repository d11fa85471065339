"""The claims and what our records say about them, in words and tables."""

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from nmfdiag.evidence.all_records import Records
from nmfdiag.evidence.claims import Claim
from nmfdiag.evidence.findings import HOLDS, IN_PART, NOT, RULE, UNMEASURED, Finding
from nmfdiag.text import join
from nmfdiag.views.help_text import help_text

Findings = Mapping[Claim, Finding]

VERDICTS = {HOLDS: "green", IN_PART: "orange", NOT: "red", UNMEASURED: "gray"}
"""Each verdict and the colour of its badge."""


def how_to_read() -> str:
    """Return the page's text on how to read it."""
    return help_text("evidence", rule=RULE)


def heading_of(claim: Claim, finding: Finding) -> str:
    """A claim's line: figure, claim, verdict, how many units show it."""
    count = f" · {finding.counted}" if finding.units else ""
    return f"**{claim.figure}** {claim.claim} :{VERDICTS[finding.verdict]}-badge[{finding.verdict}{count}]"


def evidence_answer(found: Findings) -> str:
    """How many claims hold, hold in part and don't, and which don't."""
    counts = Counter(finding.verdict for finding in found.values())
    parts = [f"{counts[verdict]} {words}" for verdict, words in _PLURALS.items() if counts[verdict]]
    failed = dict.fromkeys(claim.figure for claim, finding in found.items() if finding.verdict == NOT)
    where = f" What does not hold belongs to {join(list(failed))}." if failed else ""
    return f"Of {len(found)} claims, {join(parts)}.{where}"


_PLURALS = {HOLDS: "hold", IN_PART: "hold in part", NOT: "do not hold", UNMEASURED: "are not measured"}


def subject(found: Findings) -> str:
    """What the claims were measured on."""
    records = Records()
    networks = records.curves["network"].nunique() if len(records.curves) else 0
    runs = len(records.watched) + len(records.few_shot)
    return (
        f"{len(found)} claims · {networks} networks of the zoo · {len(records.networks)} networks of figure 5 · "
        f"{runs} watched training runs"
    )


def claims_table(found: Findings) -> pd.DataFrame:
    """One row a claim."""
    return pd.DataFrame(
        [
            {
                "figure": claim.figure,
                "claim": claim.claim,
                "paper": claim.paper,
                "measured here": finding.measured,
                "verdict": finding.verdict,
                "units": finding.counted if finding.units else "",
                "a unit is": claim.unit,
                "why it differs": claim.why,
                "recorded by": claim.command,
            }
            for claim, finding in found.items()
        ]
    )


def units_table(finding: Finding) -> pd.DataFrame:
    """One row a network, family or run."""
    return pd.DataFrame([{"unit": u.name, "shows it": u.shows, **u.values} for u in finding.units])


def claims_markdown(found: Findings) -> str:
    """The table for the reproduction log."""
    lines = ["| | claim | paper | here | verdict | why it differs |", "|---|---|---|---|---|---|"]
    for claim, finding in found.items():
        verdict = f"**{finding.verdict}** ({finding.counted})" if finding.units else finding.verdict
        cells = (claim.figure, claim.claim, claim.paper, finding.measured, verdict, claim.why)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)


def settings() -> dict[str, str]:
    """What the records were made with."""
    records = Records()
    rows = {"records": "shipped with nmfdiag; `nmfdiag record NAME` makes them again", "rule": RULE}
    if records.networks:
        first = next(iter(records.networks.values())).provenance
        rows |= {what: str(first.get(what, "")) for what in ("nmfdiag", "torch", "processor", "date")}
    return rows
