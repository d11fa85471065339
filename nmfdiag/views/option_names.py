"""Words of ours among names of a user: a class may be called "both", a layer "all layers"."""

from collections.abc import Iterable
from typing import Any


class Reserved(str):
    """A word that stands for something of ours; it is equal to no name, even if that reads the same.

    >>> both = Reserved("both")
    >>> both == "both", both == Reserved("both"), f"{both} batches"
    (False, True, 'both batches')
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Reserved) and str.__eq__(self, other)

    def __ne__(self, other: Any) -> bool:
        return not self == other


def options_of(reserved: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Options of a widget and of a link, each with what it stands for: a name that reads like one of our words is put in quotes.

    >>> options_of([Reserved("both")], ["left", "both"])
    {'both': 'both', 'left': 'left', '"both"': 'both'}
    """
    options, names = {str(word): word for word in reserved}, list(names)
    for name in names:
        label = name
        while label in options or (label != name and label in names):
            label = f'"{label}"'
        options[label] = name
    return options
