"""The memory and CPU time that a hostile file may take, above what the process has taken before."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY_BYTES = 3 * 2**29
SECONDS = 60
"""Of CPU time."""


@contextmanager
def limit_resources(seconds: float = SECONDS) -> Iterator[None]:
    """Limit memory to 1.5 GiB more than is in use, and CPU time, which does not depend on the machine's load."""
    pages = int(Path("/proc/self/statm").read_text().split()[5]) if Path("/proc/self/statm").exists() else 0
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(
        resource.RLIMIT_DATA, (pages * os.sysconf("SC_PAGE_SIZE") + MEMORY_BYTES, before[1]) if pages else before
    )
    start = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    assert time.process_time() - start < seconds
