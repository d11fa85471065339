"""The one error class for what the caller can mend, and the request to stop."""


class NmfdiagError(ValueError):
    """The caller's mistake: says what was wrong, what was got and what is accepted."""


class Cancelled(Exception):
    """Raised by a progress callback to stop the work; passes through unchanged and leaves nothing behind."""
