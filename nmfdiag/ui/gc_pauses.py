"""Keep what lives long out of the garbage collector's way.

Python looks for garbage among all objects that there are when enough new ones have come: with torch, plots and results in memory a fifth of
a second in which no reader is served. What survived is therefore set aside from time to time, where those looks don't reach it.
Streamlit's own look after each run of a page, each poll of a progress bar included, is switched off (``.streamlit/config.toml``).
"""

import gc
import threading
import time

EVERY = 30.0
"""Seconds."""


def start() -> threading.Thread:
    """Set aside what lives, again and again, in a thread that ends with the process."""
    thread = threading.Thread(target=_work, name="garbage", daemon=True)
    thread.start()
    return thread


def set_aside() -> None:
    """Look at everything once, what was set aside before included, and set aside what is still in use."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _work() -> None:
    while True:
        set_aside()
        time.sleep(EVERY)
