"""How the processor computes: threads of one core each, and without subnormal numbers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from threading import Barrier

import torch


@lru_cache(maxsize=2)
def single_threads(n: int) -> ThreadPoolExecutor:
    """A pool of n threads in which torch's operations use one thread each; those of other threads are left as they are.

    Whole shares of the work run side by side, which wastes less than dividing every product.
    """
    ready = Barrier(n + 1)

    def begin() -> None:
        torch.set_num_threads(1)  # of this thread, and of threads that are yet to begin
        torch.set_flush_denormal(True)
        ready.wait()

    pool = ThreadPoolExecutor(n, "nmfdiag-hals", initializer=begin)
    for _ in range(n):
        pool.submit(int)  # a thread begins with its first task, and waits for the others
    ready.wait()
    torch.set_num_threads(n)  # what threads that are yet to begin get, as it was
    return pool


@contextmanager
def subnormals(*, keep: bool) -> Iterator[None]:
    """Compute on the CPU with subnormal numbers or flush them to zero, in this thread; then as before.

    Multiplicative updates make so many of them that on some processors they take ten times as long.
    """
    kept = bool(torch.tensor([2e-39]) * 0.5 > 0)
    torch.set_flush_denormal(not keep)
    try:
        yield
    finally:
        torch.set_flush_denormal(not kept)
