"""Many readers of one dashboard at once: ``python benchmarks/reliability/sessions.py [MINUTES] [SESSIONS]``.

Starts a server of its own with an empty cache. Its visitors change widgets and go from page to page, while the server computes what they
ask for. Prints errors, pages that were about somebody else's choice, results that were computed twice, times, and the server's memory;
``--out`` gets a line for each session. Ends with code 1 if anything of these is wrong.
"""

import argparse
import asyncio
import csv
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

import visitors
from dashboard_server import log_errors, serve
from visitors import Visit, visit_together

CHANGE_SECONDS = 1.0
"""What 95 % of the changes of a widget are to take at most."""
SHARE_LEFT, MIB_LEFT = 0.2, 100
"""By how much the memory may be larger when all have left than before they came."""
FORGETS_SECONDS = 130
"""Streamlit keeps a session for two minutes after its tab was closed."""


def main() -> int:
    """Visit, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=10)
    parser.add_argument("sessions", nargs="?", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=FORGETS_SECONDS, help="seconds before the memory is read again")
    parser.add_argument("--out", type=Path, default=Path("bench-results/sessions.csv"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key_file = folder / "told"
        with serve(folder, {visitors.KEY_FILE_VARIABLE: str(key_file)}, visitors.PROGRAM) as (base, process):
            visit_once(base)  # imports torch, and all that the pages need
            before = resident(process.pid)
            visits, during = asyncio.run(visit_and_watch(base, process.pid, arguments))
            time.sleep(arguments.pause)
            visit_once(base)  # Streamlit drops old sessions when one comes or goes
            after = resident(process.pid)
        keys, log = visitors.read_keys(key_file), log_errors(folder)
    write(arguments.out, visits)
    return report(visits, keys, log, (before, during, after))


def visit_once(base: str) -> None:
    """Let one visitor come and go."""
    asyncio.run(visit_together(base, 1, stay_for(5.0), seed=1_000_000))


def stay_for(seconds: float) -> Callable[[int], bool]:
    """Return a check that is true for this many seconds from now on."""
    until = time.monotonic() + seconds
    return lambda steps: time.monotonic() < until


async def visit_and_watch(base: str, process: int, arguments: argparse.Namespace) -> tuple[list[Visit], float]:
    """Let all visitors come; return their visits and the largest memory meanwhile."""
    largest = 0.0
    task = asyncio.create_task(
        visit_together(base, arguments.sessions, stay_for(60 * arguments.minutes), seed=arguments.seed)
    )
    while not task.done():
        largest = max(largest, resident(process))
        await asyncio.wait([task], timeout=1.0)
    return task.result(), largest


def resident(process: int) -> float:
    """Return the memory of a process in MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def percentile(seconds: list[float], share: float) -> float:
    """Return a percentile by linear interpolation, 0 of no values."""
    return (
        statistics.quantiles(seconds, n=100, method="inclusive")[round(100 * share) - 1]
        if len(seconds) > 1
        else sum(seconds)
    )


def write(out: Path, visits: list[Visit]) -> None:
    """Write a line for each session."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            "session last_choice loads changes change_p50 change_p95 change_most load_p95 errors crossed".split()
        )
        for i, visit in enumerate(visits):
            numbers = [
                percentile(visit.changes, 0.5),
                percentile(visit.changes, 0.95),
                max(visit.changes, default=0.0),
                percentile(visit.loads, 0.95),
            ]
            counts = [len(visit.loads), len(visit.changes)]
            row = [
                i,
                visit.choice.subject,
                *counts,
                *(f"{x:.3f}" for x in numbers),
                len(visit.errors),
                len(visit.crossed),
            ]
            table.writerow(row)


def report(visits: list[Visit], keys: list[str], log: str, memory: tuple[float, float, float]) -> int:
    """Print the results and return the exit code."""
    changes, loads = ([s for visit in visits for s in getattr(visit, attribute)] for attribute in ("changes", "loads"))
    errors, crossed = (
        [message for visit in visits for message in getattr(visit, attribute)] for attribute in ("errors", "crossed")
    )
    twice, slow = len(keys) - len(set(keys)), percentile(changes, 0.95)
    before, during, after = memory
    most_left = before * (1 + SHARE_LEFT) + MIB_LEFT
    print(
        f"{len(visits)} sessions, {len(loads)} pages opened, {len(changes)} widgets changed, {len(set(keys))} results computed"
    )
    print(
        f"change of a widget: p50 {percentile(changes, 0.5):.2f} s, p95 {slow:.2f} s, longest {max(changes, default=0):.2f} s"
    )
    print(
        f"page opened: p50 {percentile(loads, 0.5):.2f} s, p95 {percentile(loads, 0.95):.2f} s, longest {max(loads, default=0):.2f} s"
    )
    print(
        f"memory: {before:.0f} MiB before, {during:.0f} at most, {after:.0f} after (up to {most_left:.0f} is as it was)"
    )
    wrong = {
        "errors": errors, "pages about somebody else's choice": crossed, "the server's log": [log] if log else [],
        "results computed more than once": [str(twice)] if twice else [],
        f"changes of a widget over {CHANGE_SECONDS:g} s at p95": [f"{slow:.2f} s"] if slow > CHANGE_SECONDS else [],
        "memory that was kept, MiB": [f"{after - before:.0f}"] if after > most_left else [],
    }  # fmt: skip
    for attribute, message in wrong.items():
        print(f"{attribute}: {len(message) or 'none'}", *message[:5], sep="\n    ")
    return int(any(wrong.values()))


if __name__ == "__main__":
    sys.exit(main())
