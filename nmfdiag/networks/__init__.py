"""Architectures, their ReLU layers, and cutting a network at one of them."""

from nmfdiag.lazy_names import lazy_getattr

_HOMES = {
    "ARCHITECTURES": "architectures",
    "Architecture": "architectures",
    "Cut": "split",
    "ReluLayer": "layers",
    "SplitNetwork": "split",
    "build": "architectures",
    "find_relu_layers": "split",
    "fold": "matrix_fold",
    "relu_layers": "split",
    "unfold": "matrix_fold",
}

__getattr__ = lazy_getattr(__name__, _HOMES)
