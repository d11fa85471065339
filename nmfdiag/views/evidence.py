"""The page *Evidence*: the paper's claims, ours about suspects, and the findings of our records, in sentences and tables."""

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from nmfdiag.evidence.all_records import Records
from nmfdiag.evidence.claim import Claim
from nmfdiag.evidence.findings import HOLDS, IN_PART, NOT, RULE, UNMEASURED, Finding
from nmfdiag.text import join
from nmfdiag.views.help_text import help_text

Findings = Mapping[Claim, Finding]

VERDICTS = {HOLDS: "green", IN_PART: "orange", NOT: "red", UNMEASURED: "gray"}
"""Verdict -> colour of its badge."""


def how_to_read() -> str:
    """Return the page's text on how to read it."""
    return help_text("evidence", rule=RULE)


def heading_of(claim: Claim, finding: Finding) -> str:
    """Return a claim's line: figure, claim, verdict, and how many units show it."""
    count = f" · {finding.counted}" if finding.units else ""
    return f"**{claim.figure}** {claim.claim} :{VERDICTS[finding.verdict]}-badge[{finding.verdict}{count}]"


def evidence_answer(results: Findings) -> str:
    """Return how many claims hold, hold in part and don't hold, and which don't: the paper's, then ours about suspects."""
    parts = [{c: f for c, f in results.items() if c.is_of_a_figure is is_paper} for is_paper in (True, False)]
    nouns = ("Of {} claims about the paper's figures", "Of {} claims of our own about wrong labels")
    return " ".join(_counted(noun.format(len(part)), part) for noun, part in zip(nouns, parts, strict=True) if part)


def _counted(intro: str, results: Findings) -> str:
    """Return how many claims have each verdict, and the figures of those that don't hold."""
    counts = Counter(finding.verdict for finding in results.values())
    parts = [f"{counts[verdict]} {phrase}" for verdict, phrase in _PLURALS.items() if counts[verdict]]
    failed = dict.fromkeys(claim.figure for claim, finding in results.items() if finding.verdict == NOT)
    suffix = f" What does not hold belongs to {join(list(failed))}." if failed else ""
    return f"{intro}, {join(parts)}.{suffix}"


_PLURALS = {HOLDS: "hold", IN_PART: "hold in part", NOT: "do not hold", UNMEASURED: "are not measured"}


def paper_text(claim: Claim) -> str:
    """Return what the paper reports."""
    return f"**The paper**{f' (figure {claim.figure[1:]})' if claim.is_of_a_figure else ''}: {claim.paper}."


def subject(results: Findings) -> str:
    """Return the networks and runs behind the claims."""
    records = Records()
    networks = records.curves["network"].nunique() if len(records.curves) else 0
    runs = len(records.watched) + len(records.few_shot)
    return (
        f"{len(results)} claims · {networks} networks of the zoo · {len(records.networks)} networks of figure 5 · "
        f"{runs} watched training runs · {records.suspects_rates['title'].nunique()} networks with known label errors"
    )


def claims_table(results: Findings) -> pd.DataFrame:
    """Return one row per claim."""
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
            for claim, finding in results.items()
        ]
    )


def units_table(finding: Finding) -> pd.DataFrame:
    """Return one row per network, family or run."""
    return pd.DataFrame([{"unit": u.name, "shows it": u.shows, **u.values} for u in finding.units])


def claims_markdown(results: Findings) -> str:
    """Return the claims as a Markdown table for the reproduction log."""
    lines = ["| | claim | paper | here | verdict | why it differs |", "|---|---|---|---|---|---|"]
    for claim, finding in results.items():
        verdict = f"**{finding.verdict}** ({finding.counted})" if finding.units else finding.verdict
        cells = (claim.figure, claim.claim, claim.paper, finding.measured, verdict, claim.why)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)


def settings() -> dict[str, str]:
    """Return the versions and machine behind the records."""
    records = Records()
    rows = {"records": "shipped with nmfdiag; `nmfdiag record NAME` makes them again", "rule": RULE}
    if records.networks:
        first = next(iter(records.networks.values())).provenance
        rows |= {key: str(first.get(key, "")) for key in ("nmfdiag", "torch", "processor", "date")}
    rows["claims about wrong labels"] = "`benchmarks/suspects` makes their records again; each row has its versions"
    return rows
