"""Detect memorisation in ReLU networks without a validation set (Collins, Bigdeli, Suesstrunk 2018)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.version import __version__

if TYPE_CHECKING:
    from nmfdiag.diagnosis.diagnose import Diagnosis, diagnose
    from nmfdiag.factorize import Factorization, nmf
    from nmfdiag.measures.compression import ablation_curve, compression_curve
    from nmfdiag.measures.compute_profile import LayerProfile, layer_profile
    from nmfdiag.measures.curve import CompressionCurve
    from nmfdiag.measures.suspects.result import Suspects
    from nmfdiag.measures.suspects.suspects import suspects
    from nmfdiag.monitor.callback import MemorizationMonitor
    from nmfdiag.networks.split import relu_layers

_HOMES = {
    "CompressionCurve": "nmfdiag.measures.curve",
    "Diagnosis": "nmfdiag.diagnosis.diagnose",
    "Factorization": "nmfdiag.factorize",
    "Suspects": "nmfdiag.measures.suspects.result",
    "LayerProfile": "nmfdiag.measures.compute_profile",
    "MemorizationMonitor": "nmfdiag.monitor.callback",
    "ablation_curve": "nmfdiag.measures.compression",
    "compression_curve": "nmfdiag.measures.compression",
    "diagnose": "nmfdiag.diagnosis.diagnose",
    "layer_profile": "nmfdiag.measures.compute_profile",
    "nmf": "nmfdiag.factorize",
    "relu_layers": "nmfdiag.networks.split",
    "suspects": "nmfdiag.measures.suspects.suspects",
}

__all__ = [
    "CompressionCurve",
    "Diagnosis",
    "Factorization",
    "LayerProfile",
    "MemorizationMonitor",
    "NmfdiagError",
    "Suspects",
    "__version__",
    "ablation_curve",
    "compression_curve",
    "diagnose",
    "layer_profile",
    "nmf",
    "relu_layers",
    "suspects",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: ``import nmfdiag`` must not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nmfdiag' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
