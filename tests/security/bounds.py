"""How much memory and time of the processor a hostile file may take: both apart from what the process has taken before."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = 3 * 2**29
SECONDS = 60


@contextmanager
def bounded(seconds: float = SECONDS) -> Iterator[None]:
    """Allow 1.5 GiB of memory more than there is in use, and a minute of the processor, which no machine's load changes."""
    pages = int(Path("/proc/self/statm").read_text().split()[5]) if Path("/proc/self/statm").exists() else 0
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(
        resource.RLIMIT_DATA, (pages * os.sysconf("SC_PAGE_SIZE") + MEMORY, before[1]) if pages else before
    )
    began = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    assert time.process_time() - began < seconds
