"""Long-lived objects are out of the collector's way, and dead ones are still freed."""

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from nmfdiag.ui import gc_pauses


class Knot:
    """Refers to itself: only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_survivors_are_not_searched_again() -> None:
    knot = Knot()
    gc_pauses.set_aside()
    with gc_pauses.COLLECTING:  # the thread of a page that was opened before may collect at any time
        assert gc.get_freeze_count() > 1000 and not any(candidate is knot for candidate in gc.get_objects())


def test_a_dead_survivor_is_freed_next_time() -> None:
    knot = Knot()
    reference = weakref.ref(knot)
    gc_pauses.set_aside()
    with gc_pauses.COLLECTING:
        del knot
        gc.collect()
        assert reference() is not None  # out of reach of the collections in between
    gc_pauses.set_aside()
    assert reference() is None


def test_it_goes_on_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start it twice, as a server whose cache is cleared does: each further thread would cost as much as the first."""
    n_left, third = 3, threading.Event()

    def collect() -> None:
        nonlocal n_left
        n_left -= 1
        if not n_left:
            third.set()
            threading.Event().wait()  # idle until the process ends

    monkeypatch.setattr(gc_pauses, "THREAD_NAME", "collector under test")
    monkeypatch.setattr(gc_pauses, "EVERY", 0.05)
    monkeypatch.setattr(gc_pauses, "set_aside", collect)
    thread = gc_pauses.start()
    assert thread.daemon and gc_pauses.start() is thread
    assert third.wait(60)
