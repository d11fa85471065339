"""What ``nmfdiag.diagnose`` says of the jury's networks with defaults: the verdict of commit f5c73b9, a comparison with reference networks, judged before it is replaced.

``NMFDIAG_DATA=... python benchmarks/jury/before.py OUT [SECONDS]`` adds a line to ``OUT/before.jsonl`` for each network of both halves that ``train.py`` has made;
``before.py OUT table`` prints the confusion tables. A network that would take more than SECONDS (20) of CPU time is skipped with a note, and tried again when more
are allowed. Run it from a checkout of that commit: the package measured is the one imported.

Right is *clean* at p <= .05, *memorising* or *partly* at p >= .2; p = .1 has no rule. Refused, undecided and skipped are never right.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from open_network import opened
from recipe import HALVES, SHARES, JuryNetwork, networks

import nmfdiag
from nmfdiag.diagnosis.verdict import CLEAN, MEMORISING, PARTLY, UNDECIDED, finding
from nmfdiag.errors import NmfdiagError
from nmfdiag.provenance import provenance

REFUSED, SKIPPED = "refused", "skipped"
FINDINGS = (REFUSED, UNDECIDED, CLEAN, PARTLY, MEMORISING, SKIPPED)
SECONDS = 20.0
"""CPU time from which on a network is skipped."""


class TooSlow(Exception):
    """A network would take longer than is allowed."""


def row_of(folder: Path, network: JuryNetwork, allowed: float) -> dict[str, Any]:
    """Return a network's line; ``allowed`` is in CPU seconds."""
    model, inputs, labels, truth = opened(folder, network)
    start = time.process_time()

    def check_time(share: float, _step: str) -> None:
        elapsed = time.process_time() - start
        if elapsed > max(allowed / 2, allowed * share):  # the first seconds are a start's
            raise TooSlow

    line = {"name": network.name, "half": network.half, **asdict(network), "wrong": float(truth["wrong"])}
    try:
        diagnosis = nmfdiag.diagnose(model, inputs, labels, on_progress=check_time)
    except TooSlow:
        line |= {"finding": SKIPPED, "reason": f"more than {allowed:g} CPU seconds", "allowed": allowed}
    except NmfdiagError as error:
        line |= {"finding": REFUSED, "reason": str(error)}
    else:
        comparison = diagnosis.comparison
        place = comparison.place if comparison else None
        line |= {
            "finding": REFUSED if place is None else finding(place),
            "reason": comparison.reason if comparison else "",
            "compatible": list(place.compatible) if place is not None and place.ranged else None,
            "verdict": diagnosis.verdict,
        }
    return line | {"cpu_seconds": time.process_time() - start, **provenance("nmfdiag", "torch", "date")}


def lines_of(path: Path) -> dict[str, dict[str, Any]]:
    """Return the last line of each network by name; none if there is no file."""
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines()) if path.exists() else ()
    return {line["name"]: line for line in lines}


def main(path: Path, allowed: float) -> None:
    """Diagnose what is trained and not diagnosed yet."""
    earlier = lines_of(path)
    for network in networks():
        line = earlier.get(network.name)
        is_over = line is not None and (line["finding"] != SKIPPED or line["allowed"] >= allowed)
        if is_over or not (path.parent / f"{network.name}.npz").exists():
            continue
        line = row_of(path.parent, network, allowed)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(network.name, line["finding"], round(line["cpu_seconds"], 1), flush=True)


def is_right(p: float, verdict: str) -> bool | None:
    """Return whether a finding is right at a share p of wrong labels; None where the rule says nothing."""
    if 0.05 < p < 0.2:
        return None
    return verdict in ((CLEAN,) if p <= 0.05 else (MEMORISING, PARTLY))


def confusion(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the confusion table in Markdown: number of networks by p and finding, and how many are right."""
    rows = [f"| p | networks | {' | '.join(FINDINGS)} | right |", "|---" * (len(FINDINGS) + 3) + "|"]
    n_right = n_ruled = 0
    for p in SHARES:
        findings = [line["finding"] for line in lines if line["p"] == p]
        counts, outcomes = Counter(findings), [is_right(p, verdict) for verdict in findings]
        right = "-" if None in outcomes or not outcomes else f"{sum(map(bool, outcomes))} of {len(outcomes)}"
        n_right += outcomes.count(True)
        n_ruled += len(outcomes) - outcomes.count(None)
        rows.append(f"| {p:g} | {len(findings)} | {' | '.join(str(counts[name]) for name in FINDINGS)} | {right} |")
    counts = Counter(line["finding"] for line in lines)
    rows.append(
        f"| all | {len(lines)} | {' | '.join(str(counts[name]) for name in FINDINGS)} | {n_right} of {n_ruled} |"
    )
    return "\n".join(rows)


def tables(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the confusion tables of both halves together and of each, and the reasons of refusals."""
    by_half = [(half, [line for line in lines if line["half"] == half]) for half in HALVES]
    parts = [f"**{half}**\n\n{confusion(members)}" for half, members in (("both halves", lines), *by_half)]
    reasons = Counter(line["reason"] for line in lines if line["finding"] == REFUSED)
    return "\n\n".join([*parts, *(f"{n} x {reason}" for reason, n in reasons.most_common())])


if __name__ == "__main__":
    options = sys.argv[2:]
    is_seconds = len(options) == 1 and options[0].replace(".", "", 1).isdigit()
    if len(sys.argv) < 2 or not (options in ([], ["table"]) or is_seconds):
        sys.exit("Usage: python benchmarks/jury/before.py OUT [SECONDS | table]")
    torch.set_num_threads(1)
    lines_path = Path(sys.argv[1]) / "before.jsonl"
    try:
        if options == ["table"]:
            print(tables(list(lines_of(lines_path).values())) if lines_path.exists() else f"There is no {lines_path}.")
        else:
            main(lines_path, float(options[0]) if is_seconds else SECONDS)
    except (NmfdiagError, OSError) as error:
        sys.exit(str(error))
