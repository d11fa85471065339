"""A leave-one-out probe of the inputs themselves, which no network can have memorised."""

import numpy as np
import torch
from torch import Tensor

from nmfdiag.measures.suspects.joint_scores import log_probabilities
from nmfdiag.measures.suspects.probe import Moments

COMPONENTS, SAMPLES_PER_COMPONENT = 64, 10
"""Principal components of the inputs at most, and samples per component."""
LARGEST_SIDE, MOST_VALUES = 32, 3072
"""Pixels of a side that larger images are averaged to, and values of a sample of which, evenly, no more are taken."""
CHUNK = 1000
"""Samples that are made small at once."""
SEED = 0


def input_log_probabilities(inputs: Tensor, labels: Tensor, n_classes: int) -> np.ndarray:
    """Return ``log P`` (m, K) of a linear probe on principal components of the inputs, each without the sample itself."""
    z = _principal_components(inputs, min(COMPONENTS, max(1, len(labels) // SAMPLES_PER_COMPONENT)))
    moments = Moments(n_classes)
    moments.add(z, labels)
    return log_probabilities(moments.fit().values(z, labels), labels)


def _principal_components(inputs: Tensor, n_components: int) -> Tensor:
    from sklearn.decomposition import PCA

    flat = _small(inputs).numpy()
    n_components = min(n_components, *flat.shape)
    with np.errstate(divide="ignore", invalid="ignore"):  # all samples are the same
        return torch.from_numpy(PCA(n_components, copy=False, random_state=SEED).fit_transform(flat))


def _small(inputs: Tensor) -> Tensor:
    """Return samples (m, d) of few values, in float64."""
    small = torch.empty(len(inputs), _few_values(inputs[:1]).shape[1], dtype=torch.float64)
    for rows, batch in zip(small.split(CHUNK), inputs.split(CHUNK), strict=True):
        rows.copy_(_few_values(batch))
    return small


def _few_values(inputs: Tensor) -> Tensor:
    """Return samples (m, d) of at most :data:`MOST_VALUES` values, of averaged pixels where images are large."""
    values = inputs.cpu().float()
    if inputs.ndim == 4 and max(inputs.shape[2:]) > LARGEST_SIDE:
        height, width = (min(side, LARGEST_SIDE) for side in inputs.shape[2:])
        values = torch.nn.functional.adaptive_avg_pool2d(values, (height, width))
    flat = values.flatten(1)
    return flat[:, :: -(-flat.shape[1] // MOST_VALUES)]
