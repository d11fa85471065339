"""Fuzz every parser, each in a process of its own: ``python benchmarks/fuzz/run.py [SECONDS]`` (default: 600 in all).

Prints a table of examples and findings; exit code 1 where there is one. ``--only NAME`` takes one parser, ``--seed N`` other examples.
"""

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fuzzing import Found, fuzz
from targets import TARGETS

MEMORY = 4 * 2**30


def one(name: str, seconds: float, seed: int) -> None:
    """Fuzz one parser in this process, with bounded memory; print what was found as JSON."""
    [target] = [each for each in TARGETS if each.name == name]
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    print(json.dumps(asdict(fuzz(target, seconds=seconds, first_seed=seed))))


def each(seconds: float, seed: int) -> list[Found]:
    """Fuzz all parsers, one after the other."""
    found = []
    for target in TARGETS:
        share = seconds / len(TARGETS)
        command = [sys.executable, __file__, str(share), "--only", target.name, "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=share + 300, check=False)
        if done.returncode:
            found.append(
                Found(target.name, findings={f"the process ended with {done.returncode}": done.stderr[-2000:]})
            )
        else:
            found.append(Found(**json.loads(done.stdout.splitlines()[-1])))
        row = found[-1]
        print(f"{row.name:26} {row.examples:8,} {row.refused:8,} {row.seconds:6.0f} s  {len(row.findings)}", flush=True)
        for what, example in row.findings.items():
            print(f"    {what}\n        {example}", flush=True)
    return found


def main() -> int:
    """Fuzz one parser, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=600)
    parser.add_argument("--only", choices=[target.name for target in TARGETS])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.only:
        one(arguments.only, arguments.seconds, arguments.seed)
        return 0
    print(f"{'parser':26} {'examples':>8} {'refused':>8} {'time':>8}  findings")
    found = each(arguments.seconds, arguments.seed)
    print(f"{'all':26} {sum(each.examples for each in found):8,} {sum(each.refused for each in found):8,}")
    return int(any(each.findings for each in found))


if __name__ == "__main__":
    sys.exit(main())
