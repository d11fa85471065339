"""Keep long-lived objects out of the garbage collector's way.

Once enough new objects have come, Python searches all objects for garbage: with torch, plots and results in memory that takes a fifth of
a second, in which no reader is served. Survivors are therefore set aside from time to time, where these searches don't reach them.
Streamlit's own search after each run of a page, each poll of a progress bar included, is switched off (``.streamlit/config.toml``).
"""

import gc
import threading
import time

THREAD_NAME = "garbage"
EVERY = 30.0
"""Seconds between two collections."""
COLLECTING = threading.Lock()
"""Held while nothing is set aside."""
_STARTING = threading.Lock()


def start() -> threading.Thread:
    """Collect and set aside regularly, in a thread that ends with the process; one thread, however often this is called."""
    with _STARTING:
        running = next((thread for thread in threading.enumerate() if thread.name == THREAD_NAME), None)
        if running:
            return running
        thread = threading.Thread(target=_collect_regularly, name=THREAD_NAME, daemon=True)
        thread.start()
        return thread


def set_aside() -> None:
    """Collect everything, earlier survivors included, and set aside what is still in use."""
    with COLLECTING:
        gc.unfreeze()
        gc.collect()
        gc.freeze()


def _collect_regularly() -> None:
    while True:
        set_aside()
        time.sleep(EVERY)
