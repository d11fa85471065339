"""Waiting for a state, never for a fixed time: machines differ, and a busy one is slower."""

import time
from collections.abc import Callable

CEILING = 480.0
"""Seconds until waiting is given up: a guard against hanging, shorter than pytest's own, not a measure of speed."""


def wait_until(reached: Callable[[], object], pause: float = 0.02) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: If it does not hold in time.
    """
    end = time.monotonic() + CEILING
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError(f"The condition did not hold within {CEILING:g} s.")
        time.sleep(pause)
