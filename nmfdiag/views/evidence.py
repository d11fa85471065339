"""The claims and what our records say about them, in words and tables."""

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from nmfdiag.evidence.all_records import Records
from nmfdiag.evidence.claims import Claim
from nmfdiag.evidence.findings import HOLDS, IN_PART, NOT, RULE, UNMEASURED, Finding
from nmfdiag.text import join

Findings = Mapping[Claim, Finding]

VERDICTS = {HOLDS: "green", IN_PART: "orange", NOT: "red", UNMEASURED: "gray"}
"""Each verdict and the colour of its badge."""

HOW_TO_READ = f"""
Each line is one claim of the paper (Collins, Bigdeli, Süsstrunk 2018); opened, it shows what the paper reports, what our own networks
give, where we know why they differ, and every network or run behind it. *Open the view* leads to the page that draws it.

**The rule**, the same for all claims and fixed before the final runs: {RULE}

Everything on this page is computed from the records when it is opened; ± is a 95 % interval from the spread over units.
**What it cannot tell**: the networks are small and the images few, next to the paper's. A claim that does not hold here may hold at its
scale; one that holds here held without it."""


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
