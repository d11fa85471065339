"""Read weights that others have written, and find the network that they fit."""

from nmfdiag.lazy_names import lazy_getattr

_HOMES = {
    "read_state_dict": "read",
}

__getattr__ = lazy_getattr(__name__, _HOMES)
