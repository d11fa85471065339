"""The one error class for what the caller can mend."""


class NmfdiagError(ValueError):
    """The caller's mistake: says what was wrong, what was got and what is accepted."""
