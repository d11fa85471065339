"""What lives long is out of the collector's way, and what dies is still freed."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from nmfdiag.ui import gc_pauses


class Knot:
    """Refers to itself: only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_lives_is_not_looked_at_again() -> None:
    kept = Knot()
    gc_pauses.set_aside()
    assert gc.get_freeze_count() > 1000 and not any(each is kept for each in gc.get_objects())


def test_what_died_is_freed_next_time() -> None:
    kept = Knot()
    seen = weakref.ref(kept)
    gc_pauses.set_aside()
    del kept
    gc.collect()
    assert seen() is not None  # out of reach of the looks in between
    gc_pauses.set_aside()
    assert seen() is None


def test_it_goes_on_in_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_pauses, "EVERY", 0.01)
    times: list[float] = []
    monkeypatch.setattr(gc_pauses, "set_aside", lambda: times.append(1.0))
    thread = gc_pauses.start()
    assert thread.daemon
    while len(times) < 3:
        thread.join(0.01)
        assert thread.is_alive()
