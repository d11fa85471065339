"""Detect memorisation in ReLU networks without a validation set (Collins, Bigdeli, Suesstrunk 2018)."""

from typing import TYPE_CHECKING

from nmfdiag.errors import NmfdiagError
from nmfdiag.lazy_names import lazy_getattr
from nmfdiag.version import __version__

if TYPE_CHECKING:
    from nmfdiag.diagnosis.diagnose import Diagnosis, diagnose
    from nmfdiag.factorize import Factorization, nmf
    from nmfdiag.measures.compression import ablation_curve, compression_curve
    from nmfdiag.measures.compute_profile import LayerProfile, layer_profile
    from nmfdiag.measures.curve import CompressionCurve
    from nmfdiag.measures.suspects.history import TrainingHistory
    from nmfdiag.measures.suspects.result import Suspects
    from nmfdiag.measures.suspects.suspects import suspects
    from nmfdiag.monitor.callback import MemorizationMonitor
    from nmfdiag.networks.split import relu_layers
    from nmfdiag.zoo.batch_norm import re_estimate_batch_norm

_HOMES = {
    "CompressionCurve": "measures.curve",
    "Diagnosis": "diagnosis.diagnose",
    "Factorization": "factorize",
    "LayerProfile": "measures.compute_profile",
    "MemorizationMonitor": "monitor.callback",
    "Suspects": "measures.suspects.result",
    "TrainingHistory": "measures.suspects.history",
    "ablation_curve": "measures.compression",
    "compression_curve": "measures.compression",
    "diagnose": "diagnosis.diagnose",
    "layer_profile": "measures.compute_profile",
    "nmf": "factorize",
    "re_estimate_batch_norm": "zoo.batch_norm",
    "relu_layers": "networks.split",
    "suspects": "measures.suspects.suspects",
}

__all__ = [
    "CompressionCurve",
    "Diagnosis",
    "Factorization",
    "LayerProfile",
    "MemorizationMonitor",
    "NmfdiagError",
    "Suspects",
    "TrainingHistory",
    "__version__",
    "ablation_curve",
    "compression_curve",
    "diagnose",
    "layer_profile",
    "nmf",
    "re_estimate_batch_norm",
    "relu_layers",
    "suspects",
]

__getattr__ = lazy_getattr(__name__, _HOMES)
