"""Sentences of the page *Report*."""

import shlex
from collections.abc import Sequence

from nmfdiag.jobs.requests import GRIDS, CurveRequest, SuspectsRequest
from nmfdiag.text import for_markdown, join
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import ZooEntry


def missing_text(networks: Sequence[ZooEntry], missing: Sequence[CurveRequest | SuspectsRequest]) -> str:
    """Return what reports of these networks still lack, in Markdown; empty for nothing."""
    names = {n.name: for_markdown(n.called) or f"p = {n.label_noise:g}" for n in networks}
    unlisted = [names[r.entry] for r in missing if isinstance(r, SuspectsRequest)]
    unmeasured = list(dict.fromkeys(names[r.entry] for r in missing if not isinstance(r, SuspectsRequest)))
    return " ".join(
        [
            *([f"**{join(unmeasured)}**: the report needs all curves."] if unmeasured else []),
            *([f"**{join(unlisted)}**: the report does not list yet which labels look wrong."] if unlisted else []),
        ]
    )


def shell_commands(choice: Choice) -> str:
    """Return the commands that make the networks' reports in a shell, a line each; they take the full rank grid."""
    options = f"--per-class {choice.per_class} --solver {choice.solver}"
    lines = [
        f"nmfdiag report {shlex.quote(network.name)} {options} --html {shlex.quote(f'{network.name}_report.html')}"
        for network in choice.networks
    ]
    note = [] if choice.grid == GRIDS[0] else ["# with the full rank grid"]
    return "\n".join([*note, *lines])
