"""The page *Evidence*: the paper's claims, ours about suspects, and the findings of our records, in sentences and tables."""

from collections import Counter
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from nmfdiag.evidence.all_records import Records
from nmfdiag.evidence.claim import Claim
from nmfdiag.evidence.findings import HOLDS, IN_PART, NOT, RULE, UNMEASURED, Finding
from nmfdiag.plots.theme import set_layout
from nmfdiag.text import join
from nmfdiag.views.help_text import help_text

Findings = Mapping[Claim, Finding]

VERDICTS = {HOLDS: "green", IN_PART: "orange", NOT: "red", UNMEASURED: "gray"}
"""Verdict -> colour of its badge."""
COLOURS = {HOLDS: "#2e7d4f", IN_PART: "#a85f0c", NOT: "#b8323a", UNMEASURED: "#68737d"}
"""Verdict -> colour of its bar: white is read on it, and it is seen on white and on black."""
TITLES = {"For your own networks": True, "About the paper's figures": False}
"""Title of a group of claims -> whether they matter for a user's own network."""
PHRASES = ("that matter for your own network", "about the paper's figures alone")
"""What the claims of each group are, in a sentence."""
NOT_ASKED = "Not asked"
"""What the paper says of a question that it does not ask."""


def how_to_read() -> str:
    """Return the page's text on how to read it."""
    return help_text("evidence", rule=RULE)


def groups(results: Findings) -> dict[str, Findings]:
    """Return the claims that matter for a user's own network, and those about the paper alone."""
    return {
        title: {c: f for c, f in results.items() if c.useful is useful} for title, useful in TITLES.items()
    }  # fmt: skip


def badge(finding: Finding) -> str:
    """Return a claim's verdict as a badge."""
    return f":{VERDICTS[finding.verdict]}-badge[{finding.verdict}]"


def claim_line(claim: Claim, finding: Finding) -> str:
    """Return a claim, and how many units show it."""
    return f"{claim.claim} :gray[{finding.counted}]" if finding.units else claim.claim


def source(claim: Claim) -> str:
    """Return where a claim is from: a figure of the paper, a question beyond one, or ours."""
    if not claim.is_of_a_figure:
        return f"ours, {claim.figure}"
    return f"{'beyond ' if claim.paper == NOT_ASKED else ''}figure {claim.figure[1:]}"


def count_sentences(results: Findings) -> list[str]:
    """Return how many claims of each group hold, a sentence each."""
    return [
        f"{_count(part, HOLDS)} of {len(part)} claims {phrase} hold here."
        for part, phrase in zip(groups(results).values(), PHRASES, strict=True)
        if part
    ]


def evidence_answer(results: Findings) -> str:
    """Return how many claims hold, and which figures' claims fail."""
    return " ".join(filter(None, [*count_sentences(results), failing_text(results)]))


def failing_text(results: Findings) -> str:
    """Return the figures of the paper whose claims fail; empty if none does."""
    figures = [c.figure[1:] for c, f in results.items() if c.is_of_a_figure and f.verdict == NOT]
    noun = "figure" if len(set(figures)) == 1 else "figures"
    return f"Claims that do not hold: {noun} {join(dict.fromkeys(figures))}." if figures else ""


def count_figure(results: Findings) -> go.Figure:
    """Draw how many claims of each group have each verdict, as a stacked bar."""
    parts, figure = groups(results), go.Figure()
    for verdict, colour in COLOURS.items():
        counts = [_count(part, verdict) for part in parts.values()]
        if any(counts):
            figure.add_bar(
                x=counts, y=list(parts), orientation="h", name=verdict, marker_color=colour,
                text=[str(n) if n else "" for n in counts], textposition="inside", insidetextanchor="middle", textangle=0,
                textfont={"color": "#ffffff", "size": 14}, hovertemplate=f"%{{x}} claims: {verdict}<extra></extra>",
            )  # fmt: skip
    figure.update_xaxes(visible=False)
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    set_layout(figure, "")
    return figure.update_layout(
        barmode="stack", bargap=0.35, height=170, margin={"l": 10, "r": 10, "t": 10, "b": 10}, title=None,
        legend={"traceorder": "normal", "y": -0.1},
    )  # fmt: skip


def _count(results: Findings, verdict: str) -> int:
    return Counter(finding.verdict for finding in results.values())[verdict]


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
                "verdict": finding.verdict,
                "units": finding.counted if finding.units else "",
                "claim": claim.claim,
                "paper": claim.paper,
                "measured here": finding.measured,
                "a unit is": claim.unit,
                "why it differs": claim.why,
                "recorded by": claim.command,
                "source": source(claim),
                "code": claim.figure,
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
