"""Detect memorisation in ReLU networks without a validation set (Collins, Bigdeli, Suesstrunk 2018)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from nmfdiag.factorize import Factorization, nmf
    from nmfdiag.measures.compression import ablation_curve, compression_curve
    from nmfdiag.measures.curve import CompressionCurve
    from nmfdiag.measures.profile import LayerProfile, layer_profile
    from nmfdiag.networks.split import relu_layers
    from nmfdiag.runs.monitor import MemorizationMonitor
    from nmfdiag.views.diagnosis import Diagnosis, diagnose

__version__ = "0.1.0"

_HOMES = {
    "CompressionCurve": "nmfdiag.measures.curve",
    "Diagnosis": "nmfdiag.views.diagnosis",
    "Factorization": "nmfdiag.factorize",
    "LayerProfile": "nmfdiag.measures.profile",
    "MemorizationMonitor": "nmfdiag.runs.monitor",
    "ablation_curve": "nmfdiag.measures.compression",
    "compression_curve": "nmfdiag.measures.compression",
    "diagnose": "nmfdiag.views.diagnosis",
    "layer_profile": "nmfdiag.measures.profile",
    "nmf": "nmfdiag.factorize",
    "relu_layers": "nmfdiag.networks.split",
}

__all__ = [
    "CompressionCurve",
    "Diagnosis",
    "Factorization",
    "LayerProfile",
    "MemorizationMonitor",
    "NmfdiagError",
    "ablation_curve",
    "compression_curve",
    "diagnose",
    "layer_profile",
    "nmf",
    "relu_layers",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: ``import nmfdiag`` must not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nmfdiag' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
