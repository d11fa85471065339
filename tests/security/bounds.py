"""How much memory and time a hostile file may take."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = 3 * 2**29
SECONDS = 20


@contextmanager
def bounded() -> Iterator[None]:
    """Allow 1.5 GiB of memory more than there is in use, and some seconds."""
    pages = int(Path("/proc/self/statm").read_text().split()[5]) if Path("/proc/self/statm").exists() else 0
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(
        resource.RLIMIT_DATA, (pages * os.sysconf("SC_PAGE_SIZE") + MEMORY, before[1]) if pages else before
    )
    began = time.monotonic()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    assert time.monotonic() - began < SECONDS
