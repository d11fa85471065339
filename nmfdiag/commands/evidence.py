"""``evidence``: the paper's claims and ours, and whether they hold on our records."""

import argparse

from nmfdiag.commands.outcome import OK, Commands, Outcome


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    evidence = commands.add_parser(
        "evidence",
        parents=[common],
        help="list the paper's claims, and ours about wrong labels, and whether they hold on our records",
    )
    evidence.add_argument("--markdown", action="store_true", help="print the table of the reproduction log")
    evidence.set_defaults(run=_evidence)


def _evidence(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.evidence.claims import findings
    from nmfdiag.views.evidence import claims_markdown, claims_table, evidence_answer

    results = findings()
    lines = [f"{c.figure:6} {f.verdict} ({f.counted}): {c.claim}\n       {f.measured}" for c, f in results.items()]
    text = claims_markdown(results) if arguments.markdown else "\n".join([*lines, evidence_answer(results)])
    return OK, claims_table(results).to_dict("records"), text
