"""Set how the processor computes: threads of one core each, without subnormal numbers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from threading import Barrier

import torch


@lru_cache(maxsize=2)
def single_threads(n: int) -> ThreadPoolExecutor:
    """Return a pool of n threads in which torch's operations use one thread each; other threads are not affected.

    Whole parts of the work run in parallel, which wastes less than dividing every product.
    """
    ready = Barrier(n + 1)

    def begin() -> None:
        torch.set_num_threads(1)  # of this thread, and of future threads
        torch.set_flush_denormal(True)
        ready.wait()

    pool = ThreadPoolExecutor(n, "nmfdiag-hals", initializer=begin)
    for _ in range(n):
        pool.submit(int)  # a thread starts with its first task, and waits for the others
    ready.wait()
    torch.set_num_threads(n)  # the previous value for future threads
    return pool


@contextmanager
def subnormals(*, keep: bool) -> Iterator[None]:
    """Keep subnormal numbers or flush them to zero on the CPU, in this thread; then restore the setting.

    Multiplicative updates produce so many that some processors take ten times as long.
    """
    kept_before = bool(torch.tensor([2e-39]) * 0.5 > 0)
    torch.set_flush_denormal(not keep)
    try:
        yield
    finally:
        torch.set_flush_denormal(not kept_before)
