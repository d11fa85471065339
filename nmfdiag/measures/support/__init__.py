"""Rectangle covers of a layer's support (figure 1)."""

from nmfdiag.lazy_names import lazy_getattr

_HOMES = {
    "SupportCover": "cover",
    "support_cover": "cover",
}

__getattr__ = lazy_getattr(__name__, _HOMES)
