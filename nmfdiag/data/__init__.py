"""Data sets, label randomisation, probe batches and the audio front end."""

from importlib import import_module
from typing import Any

_HOMES = {
    "DATASETS": "datasets",
    "Dataset": "datasets",
    "DatasetInfo": "datasets",
    "NORMALIZATIONS": "normalization",
    "NoisyLabels": "labels",
    "Normalization": "normalization",
    "ProbeBatch": "probe",
    "check_labels": "labels",
    "load": "datasets",
    "multi_class_batch": "probe",
    "randomize_labels": "labels",
    "single_class_batch": "probe",
    "single_class_batches": "probe",
    "stratified_subset": "probe",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: pages read parts of this room without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
