"""The one error class for what the caller can mend, and the request to stop; names of files as text that can be printed."""

import re

LONGEST = 5000
NO_TEXT = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Control characters, marks that turn the direction of writing, and bytes of a name that are no UTF-8."""
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""Of an object in memory, in messages of other libraries."""
NO_MARKUP = str.maketrans("<>[]`", "‹›()'")


def printable(text: str) -> str:
    r"""Text with what a terminal would obey, or no encoding takes, written as an escape sequence.

    >>> print(printable("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return NO_TEXT.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def harmless(name: str) -> str:
    """A name from a file as text that no page takes for markup either: pages and plots read some of it.

    >>> harmless("![x](https:y) <b>")
    '!(x)(https:y) ‹b›'
    """
    return printable(name).translate(NO_MARKUP)


class NmfdiagError(ValueError):
    """The caller's mistake: says on one printable line what was wrong, what was got and what is accepted."""

    def __init__(self, words: str):
        line = printable(ADDRESS.sub("", words[: LONGEST + 1]).replace("\n", " "))
        super().__init__(line if len(words) <= LONGEST else f"{line[:LONGEST]}...")


class Cancelled(Exception):
    """Raised by a progress callback to stop the work; passes through unchanged and leaves nothing behind."""
