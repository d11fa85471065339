"""The command line.

Exit codes: 0 success, 1 a check failed, 2 the caller's mistake, 3 the answer could not be written, 130 interrupted.
"""

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

from nmfdiag.commands import bench, cache, check, diagnose, evidence, info, record, report, suspects, sweep, zoo
from nmfdiag.commands.outcome import OK, WRONG
from nmfdiag.errors import NmfdiagError, printable
from nmfdiag.version import __version__

__all__ = ["INTERRUPTED", "MISTAKE", "OK", "UNWRITTEN", "WRONG", "main"]

MISTAKE, UNWRITTEN, INTERRUPTED = 2, 3, 130
MOST_CHARACTERS = 300
"""Of a message."""
COMMANDS = (info, zoo, diagnose, report, check, suspects, sweep, record, evidence, cache, bench)
"""Modules of the commands, in the order of ``--help``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    is_closed = _open_streams()
    help_output = io.StringIO()
    try:
        with redirect_stdout(help_output):  # of --help and --version
            arguments = _parser().parse_args(argv)
    except SystemExit:
        if (help_text := help_output.getvalue().rstrip("\n")) and not _write(help_text, is_closed):
            return UNWRITTEN
        raise
    code, answer = _run(arguments)
    return code if answer is None or _write(answer, is_closed) else UNWRITTEN


def _run(arguments: argparse.Namespace) -> tuple[int, str | None]:
    """Return the exit code and the answer to be printed, None after an error."""
    if (
        arguments.run.__module__ != bench.__name__ and "torch" not in sys.modules
    ):  # as the server: threads that wait for a busy core cost more than they give
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))
    try:
        code, record, text = arguments.run(arguments)
    except (NmfdiagError, OSError, MemoryError, RuntimeError) as error:
        message = _message(error)
        print(json.dumps({"error": message}) if arguments.json else f"nmfdiag: {message}", file=sys.stderr)
        return MISTAKE, None
    except KeyboardInterrupt:
        print("nmfdiag: interrupted; curves that are in the cache are kept.", file=sys.stderr)
        return INTERRUPTED, None
    return code, json.dumps(record, indent=1) if arguments.json else "\n".join(map(printable, text.split("\n")))


class _Lossy(io.FileIO):
    """A file that ignores failed writes: neither a message nor a progress bar may end the work."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _open_streams() -> bool:
    """Make both output streams usable and return whether stdout was closed.

    A closed stream is replaced; characters that an encoding lacks are escaped.
    """
    is_closed = sys.stdout is None
    for name in ("stdout", "stderr"):
        # Else print would write to the other stream, and the next file that is opened would get this one's number.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    original = sys.__stderr__
    if original is not None and sys.stderr is original:
        raw = _Lossy(original.fileno(), "w", closefd=False)
        sys.stderr = io.TextIOWrapper(raw, original.encoding, "backslashreplace", write_through=True)  # type: ignore[type-var]
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    return is_closed


def _write(text: str, is_closed: bool) -> bool:
    """Print an answer, to stderr if stdout fails, and return whether stdout took it. A closed pipe, as of ``| head``, is fine."""
    try:
        if is_closed:
            raise OSError("it is closed")
        print(text, flush=True)
    except BrokenPipeError:
        _discard_output()
    except OSError as error:
        _discard_output()
        print(
            f"nmfdiag: the answer can't be written to stdout ({error.strerror or error}); here it is:\n{text}",
            file=sys.stderr,
        )
        return False
    return True


def _message(error: Exception) -> str:
    """Return a message, on one line, about an error that the caller can do something about.

    Raises:
        RuntimeError: The error itself, if it is of another kind.
    """
    if isinstance(error, NmfdiagError):
        return str(error)
    if isinstance(error, OSError):
        return printable(str(error))
    from nmfdiag.jobs.memory_limits import out_of_memory

    if not out_of_memory(error):
        raise error
    return printable(f"there is not enough memory for this ({error}).")[:MOST_CHARACTERS].replace("\n", " ")


def _discard_output() -> None:
    """Discard what could not be printed: the interpreter would try again when it ends, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON document")
    parser = argparse.ArgumentParser("nmfdiag", description="Detect memorisation in ReLU networks.")
    parser.add_argument("--version", action="version", version=f"nmfdiag {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands, common)
    return parser
