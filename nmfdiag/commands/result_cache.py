"""The cache that a command looks results up in, and its option."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from nmfdiag.commands.outcome import say

if TYPE_CHECKING:
    from nmfdiag.jobs.cache import CurveCache


def add_cache_option(command: argparse.ArgumentParser) -> None:
    """Add ``--no-cache``."""
    command.add_argument(
        "--no-cache",
        action="store_true",
        help="compute everything again and keep nothing, as always with --model, whose code may change",
    )


@contextmanager
def result_cache(arguments: argparse.Namespace) -> "Iterator[CurveCache]":
    """Yield the cache of results; one that is deleted afterwards with ``--no-cache``, and for code of the user's own."""
    from nmfdiag.jobs.cache import CurveCache

    if arguments.no_cache or arguments.model:
        with TemporaryDirectory(prefix="nmfdiag-") as folder:
            cache = CurveCache(Path(folder))
            try:
                yield cache
            finally:
                cache.close()
        return
    cache = CurveCache()
    yield cache
    if cache.notice:
        say(f"nmfdiag: {cache.notice}")
