"""Data sets, label randomisation, probe batches and the audio front end."""

from nmfdiag.lazy_names import lazy_getattr

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

__getattr__ = lazy_getattr(__name__, _HOMES)
