"""The same questions from a shell. Exit codes: 0 all well, 1 something checked is wrong, 2 the caller's mistake."""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from nmfdiag.commands import benching, cache, diagnosing, info, sweeping, zoo
from nmfdiag.commands.outcome import OK, WRONG
from nmfdiag.errors import NmfdiagError, printable

__all__ = ["INTERRUPTED", "MISTAKE", "OK", "WRONG", "main"]

MISTAKE, INTERRUPTED = 2, 130
LONGEST_WORDS = 300
GROUPS = (info, zoo, diagnosing, sweeping, cache, benching)
"""In the order in which ``--help`` lists them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        return _run(_parser().parse_args(argv))
    finally:
        _let_go()


def _run(arguments: argparse.Namespace) -> int:
    try:
        code, record, text = arguments.run(arguments)
    except (NmfdiagError, OSError, MemoryError, RuntimeError) as error:
        words = _words(error)
        print(json.dumps({"error": words}) if arguments.json else f"nmfdiag: {words}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("nmfdiag: interrupted; curves that are in the cache are kept.", file=sys.stderr)
        return INTERRUPTED
    try:
        print(json.dumps(record, indent=1) if arguments.json else "\n".join(map(printable, text.split("\n"))))
    except BrokenPipeError:
        _let_go()
    return code


def _words(error: Exception) -> str:
    """What a caller can do something about, on one line.

    Raises:
        RuntimeError: The error itself, if it is of another kind.
    """
    if isinstance(error, NmfdiagError):
        return str(error)
    if isinstance(error, OSError):
        return printable(str(error))
    from nmfdiag.runs.memory import out_of_memory

    if not out_of_memory(error):
        raise error
    return printable(f"there is not enough memory for this ({error}).")[:LONGEST_WORDS].replace("\n", " ")


def _let_go() -> None:
    """Print what is left; where nobody reads on, as after ``| head``, drop it quietly."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # or the interpreter tries again at its end, and complains
        os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON document")
    parser = argparse.ArgumentParser("nmfdiag", description="Detect memorisation in ReLU networks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add_to(commands, common)
    return parser
