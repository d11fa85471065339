"""Threads that each compute on one core: whole shares of the work run side by side, which wastes less than dividing every product."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier

import torch


@lru_cache(maxsize=2)
def single_threads(n: int) -> ThreadPoolExecutor:
    """A pool of n threads in which torch's operations use one thread each; those of other threads are left as they are."""
    ready = Barrier(n + 1)

    def begin() -> None:
        torch.set_num_threads(1)  # of this thread, and of threads that are yet to begin
        ready.wait()

    pool = ThreadPoolExecutor(n, "nmfdiag-hals", initializer=begin)
    for _ in range(n):
        pool.submit(int)  # a thread begins with its first task, and waits for the others
    ready.wait()
    torch.set_num_threads(n)  # what threads that are yet to begin get, as it was
    return pool
