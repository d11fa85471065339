"""Options of ours beside names of a user: a class may be called "both", a layer "all layers"."""

from collections.abc import Iterable
from typing import Any


class Reserved(str):
    """An option of ours; it equals no name, even one that reads the same.

    >>> both = Reserved("both")
    >>> both == "both", both == Reserved("both"), f"{both} batches"
    (False, True, 'both batches')
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, value: Any) -> bool:
        return isinstance(value, Reserved) and str.__eq__(self, value)

    def __ne__(self, value: Any) -> bool:
        return not self == value


def options_of(reserved: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return the options of a widget and of a link with their values; a name that reads like an option of ours is quoted.

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
