"""The result of a command for :func:`nmfdiag.cli.main`, and its messages and progress on stderr."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from nmfdiag.errors import printable

if TYPE_CHECKING:
    from nmfdiag.factorize.progress import Progress

OK, WRONG = 0, 1
"""Exit codes: success, or a failed check."""

Outcome = tuple[int, Any, str]
"""Exit code, record for ``--json``, and text without it."""

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""argparse's object that commands are added to."""


def accuracy_text(value: float | None) -> str:
    """Return an accuracy as text; "?" if unknown."""
    return "?" if value is None else f"{value:.3f}"


def say(text: str) -> None:
    """Print text to stderr, apart from the answer."""
    print("\n".join(map(printable, text.split("\n"))), file=sys.stderr, flush=True)


@contextmanager
def progress_bar(layout: str = "{percentage:3.0f}% |{bar}| {elapsed} {desc}", title: str = "") -> "Iterator[Progress]":
    """Show a progress bar; yields a function of the share done and a short text.

    Args:
        layout: tqdm's ``bar_format``.
        title: Fixed title in place of the text.
    """
    from tqdm import tqdm

    with tqdm(total=1, file=sys.stderr, bar_format=layout, desc=title) as bar:

        def show(share: float, text: str) -> None:
            if not title:
                bar.set_description_str(text)
            bar.update(share - bar.n)

        yield show
