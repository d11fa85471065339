"""How long work reports itself."""

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the share done, in [0, 1], and a few words; may raise :class:`nmfdiag.errors.Cancelled` to stop the work."""
