"""The error class for mistakes of the caller, the request to stop, and names of files as printable text."""

import re

LONGEST = 5000
NO_TEXT = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Control characters, marks that change the writing direction, and bytes that are not UTF-8."""
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""Memory address of an object in other libraries' messages."""
NO_MARKUP = str.maketrans("<>[]`", "‹›()'")


def printable(text: str) -> str:
    r"""Return text with control characters, and characters without an encoding, as escape sequences.

    >>> print(printable("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return NO_TEXT.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def harmless(name: str) -> str:
    """Return a name from a file as text without markup, which pages and plots would read.

    >>> harmless("![x](https:y) <b>")
    '!(x)(https:y) ‹b›'
    """
    return printable(name).translate(NO_MARKUP)


class NmfdiagError(ValueError):
    """A mistake of the caller: one printable line on what was wrong, what was got and what is accepted."""

    def __init__(self, message: str):
        line = printable(ADDRESS.sub("", message[: LONGEST + 1]).replace("\n", " "))
        super().__init__(line if len(message) <= LONGEST else f"{line[:LONGEST]}...")


class Cancelled(Exception):
    """Raised by a progress callback to stop the work; passes through unchanged and leaves nothing behind."""
