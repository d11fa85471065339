"""Fuzz every parser, each in a separate process: ``python benchmarks/fuzz/run.py [SECONDS]`` (default: 600 in all).

Prints a table of examples and findings; exit code 1 if there is a finding. ``--only NAME`` takes one parser, ``--seed N`` other examples.
"""

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from example_search import Report, fuzz
from targets import TARGETS

MEMORY_BYTES = 4 * 2**30


def fuzz_one(name: str, seconds: float, seed: int) -> None:
    """Fuzz one parser in this process, with limited memory; print the report as JSON."""
    [target] = [target for target in TARGETS if target.name == name]
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    print(json.dumps(asdict(fuzz(target, seconds=seconds, first_seed=seed))))


def fuzz_all(seconds: float, seed: int) -> list[Report]:
    """Fuzz all parsers, one after the other."""
    reports = []
    for target in TARGETS:
        share = seconds / len(TARGETS)
        command = [sys.executable, __file__, str(share), "--only", target.name, "--seed", str(seed)]
        process = subprocess.run(command, capture_output=True, text=True, timeout=share + 300, check=False)
        if process.returncode:
            reports.append(
                Report(target.name, findings={f"the process ended with {process.returncode}": process.stderr[-2000:]})
            )
        else:
            reports.append(Report(**json.loads(process.stdout.splitlines()[-1])))
        row = reports[-1]
        print(f"{row.name:26} {row.examples:8,} {row.refused:8,} {row.seconds:6.0f} s  {len(row.findings)}", flush=True)
        for finding, example in row.findings.items():
            print(f"    {finding}\n        {example}", flush=True)
    return reports


def main() -> int:
    """Fuzz one parser, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=600)
    parser.add_argument("--only", choices=[target.name for target in TARGETS])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.only:
        fuzz_one(arguments.only, arguments.seconds, arguments.seed)
        return 0
    print(f"{'parser':26} {'examples':>8} {'refused':>8} {'time':>8}  findings")
    reports = fuzz_all(arguments.seconds, arguments.seed)
    print(f"{'all':26} {sum(report.examples for report in reports):8,} {sum(report.refused for report in reports):8,}")
    return int(any(report.findings for report in reports))


if __name__ == "__main__":
    sys.exit(main())
