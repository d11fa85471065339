"""Sentences of the page *Report*."""

import shlex
from collections.abc import Sequence

from nmfdiag.jobs.requests import CurveRequest, SuspectsRequest
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


def shell_command(choice: Choice) -> str:
    """Return the command that makes the last network's report in a shell."""
    name = choice.networks[-1].name
    return f"nmfdiag report {shlex.quote(name)} --per-class {choice.per_class} --solver {choice.solver} --html {shlex.quote(f'{name}_report.html')}"
