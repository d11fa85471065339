"""Data sets, label randomisation, probe batches and the audio front end."""

from nmfdiag.data.datasets import DATASETS, Dataset, DatasetInfo, load
from nmfdiag.data.labels import NoisyLabels, check_labels, randomize_labels
from nmfdiag.data.normalization import NORMALIZATIONS, Normalization
from nmfdiag.data.probe import (
    ProbeBatch,
    multi_class_batch,
    single_class_batch,
    single_class_batches,
    stratified_subset,
)

__all__ = [
    "DATASETS",
    "NORMALIZATIONS",
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
