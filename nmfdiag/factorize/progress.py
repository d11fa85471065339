"""The type of the functions that long work reports its progress to."""

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Function of the share done, in [0, 1], and a short text; may raise :class:`nmfdiag.errors.Cancelled` to stop the work."""
