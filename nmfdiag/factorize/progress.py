"""How long work reports itself and is stopped."""

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the share done, in [0, 1], and a few words; may raise :class:`Cancelled` to stop the work."""


class Cancelled(Exception):  # noqa: N818  (a request, not an error)
    """Raised by a progress callback to stop the work; passes through unchanged and leaves nothing behind."""
