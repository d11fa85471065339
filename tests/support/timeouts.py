"""Waiting for a state, never for seconds: how long it takes is another matter on each machine, and on a busy one."""

import time
from collections.abc import Callable

CEILING = 480.0
"""Seconds after which a state is given up that does not come: a guard against hanging, shorter than pytest's own; no measure of speed."""


def wait_until(reached: Callable[[], object], pause: float = 0.02) -> None:
    """Return once it is true.

    Raises:
        TimeoutError: If it never is.
    """
    end = time.monotonic() + CEILING
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError(f"It has not come in {CEILING:g} s.")
        time.sleep(pause)
