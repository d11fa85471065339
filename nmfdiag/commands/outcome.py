"""What a command hands back to :func:`nmfdiag.cli.main`, and how far it is while it works."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from nmfdiag.errors import printable

if TYPE_CHECKING:
    from nmfdiag.factorize.progress import Progress

OK, WRONG = 0, 1
"""Exit codes: all well, or something checked is wrong."""

Outcome = tuple[int, Any, str]
"""Exit code, what ``--json`` prints, what is printed without it."""

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Where a group adds its commands, as argparse calls it."""


def share(value: float | None) -> str:
    """An accuracy, where it is known."""
    return "?" if value is None else f"{value:.3f}"


def say(words: str) -> None:
    """Print a line that is no part of the answer."""
    print("\n".join(map(printable, words.split("\n"))), file=sys.stderr, flush=True)


@contextmanager
def progress_bar(layout: str = "{percentage:3.0f}% |{bar}| {elapsed} {desc}", title: str = "") -> "Iterator[Progress]":
    """Show how far something is; yields what takes the share done and a few words.

    Args:
        layout: tqdm's ``bar_format``.
        title: Shown in place of the words.
    """
    from tqdm import tqdm

    with tqdm(total=1, file=sys.stderr, bar_format=layout, desc=title) as bar:

        def show(done: float, words: str) -> None:
            if not title:
                bar.set_description_str(words)
            bar.update(done - bar.n)

        yield show
