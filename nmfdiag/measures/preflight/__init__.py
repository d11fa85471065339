"""Check a network before it is measured: its layers, its accuracy on the samples, and what a measurement costs."""

from nmfdiag.lazy_names import lazy_getattr

_HOMES = {
    "Preflight": "network_check",
    "preflight": "network_check",
}

__getattr__ = lazy_getattr(__name__, _HOMES)
