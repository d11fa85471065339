"""How a long factorisation reports where it is, and how a caller stops it."""

from collections.abc import Callable

OnProgress = Callable[[float, str], None]


class Cancelled(Exception):
    """Raise it from an `on_progress` callback to stop the work; it passes through unchanged."""


class Progress:
    """A fraction of work done that never falls.

    `Progress` guards the callback's promise: fractions lie in [0, 1], never decrease, and the last one is 1.
    A solver hands out parts of its own range with `part`. Whatever the callback raises goes to the caller at once.

    Args:
        on_progress: called with the fraction done and one line of text; None for silence.
        start: the fraction at which this part begins.
        stop: the fraction at which it ends.
    """

    def __init__(self, on_progress: OnProgress | None, start: float = 0.0, stop: float = 1.0) -> None:
        self._call = on_progress
        self._start, self._stop = start, stop
        self._done = start

    def __call__(self, fraction: float, message: str) -> None:
        """Report that `fraction` (0 to 1) of this part is done."""
        at = self._start + min(max(fraction, 0.0), 1.0) * (self._stop - self._start)
        self._done = max(self._done, at)
        if self._call is not None:
            self._call(self._done, message)

    def part(self, start: float, stop: float) -> "Progress":
        """Return the reporter of the share of this part between two fractions."""
        width = self._stop - self._start
        return Progress(self._call, self._start + start * width, self._start + stop * width)
