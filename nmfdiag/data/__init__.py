"""Data sets, label randomisation, probe batches and the audio front end.

To add a data set, write its loader in ``sources.py`` and its record in ``catalogue.py``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nmfdiag.data.catalogue import DATASETS, DatasetInfo
    from nmfdiag.data.datasets import Dataset, load
    from nmfdiag.data.labels import NoisyLabels, check_labels, randomize_labels
    from nmfdiag.data.normalization import Normalization
    from nmfdiag.data.probe import ProbeBatch, multi_class_batch, single_class_batch, single_class_batches
    from nmfdiag.data.subsets import stratified_subset

_HOMES = {
    "DATASETS": "nmfdiag.data.catalogue",
    "Dataset": "nmfdiag.data.datasets",
    "DatasetInfo": "nmfdiag.data.catalogue",
    "NoisyLabels": "nmfdiag.data.labels",
    "Normalization": "nmfdiag.data.normalization",
    "ProbeBatch": "nmfdiag.data.probe",
    "check_labels": "nmfdiag.data.labels",
    "load": "nmfdiag.data.datasets",
    "multi_class_batch": "nmfdiag.data.probe",
    "randomize_labels": "nmfdiag.data.labels",
    "single_class_batch": "nmfdiag.data.probe",
    "single_class_batches": "nmfdiag.data.probe",
    "stratified_subset": "nmfdiag.data.subsets",
}

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetInfo",
    "NoisyLabels",
    "Normalization",
    "ProbeBatch",
    "check_labels",
    "load",
    "multi_class_batch",
    "randomize_labels",
    "single_class_batch",
    "single_class_batches",
    "stratified_subset",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: a list of the data sets must not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nmfdiag.data' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
