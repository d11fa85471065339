"""Scores of a probe of several layers together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.suspects.features import BATCH
from nmfdiag.measures.suspects.kernel_probe import KernelMoments, landmark_rows
from nmfdiag.measures.suspects.probe import finite, margins, temperature
from nmfdiag.measures.suspects.views import ViewFeatures

SKETCH = 64
"""Numbers kept of each sample for finding its neighbours."""
SHARPEST = 10.0
"""Factor of the probe's values, which lie between 0 and 1, before their temperature is fitted, .001 to 10."""
RATE_LANDMARKS = 2
"""The probes that the rate is read from take one landmark in so many."""
KERNEL_BYTES = 64 * 2**20
"""Largest size of the kernel's values of all samples that is kept; above it they are computed again."""
SEED = 0


@dataclass(frozen=True)
class JointScores:
    """What one probe of several layers says of each sample (n,): arrays as in :class:`Suspects`, margins against the given labels.

    ``moved_accuracy`` is the share of given labels that the network predicts for moved copies.
    """

    margin: np.ndarray
    moved_margin: np.ndarray
    moved_accuracy: float
    suggested: np.ndarray
    confidence: np.ndarray
    sketch: np.ndarray


def leave_one_out_log_probabilities(features: Tensor, columns: Tensor, labels: Tensor, n_classes: int) -> np.ndarray:
    """Return ``log P`` (s, K) of one probe of some columns of features (s, d), each without the sample itself."""
    landmarks = features[landmark_rows(len(labels), SEED)[::RATE_LANDMARKS]][:, columns]
    moments = KernelMoments(landmarks, torch.bincount(labels, minlength=n_classes))
    batches = zip(features.split(BATCH), labels.split(BATCH), strict=True)
    kernels = [moments.add(batch[:, columns], given_labels) for batch, given_labels in batches]
    probe = moments.fit()
    values = [probe.leave_one_out(*batch) for batch in zip(kernels, labels.split(BATCH), strict=True)]
    return log_probabilities(SHARPEST * torch.cat(values), labels)


def joint_scores(
    views: ViewFeatures, labels: Tensor, counts: Tensor, layers: Sequence[str], report: Progress
) -> JointScores:
    """Fit and ask one probe of several layers together, on features averaged over each sample and its copies.

    Args:
        views: The features.
        labels: Given labels (n,).
        counts: Samples of each class (K,).
        layers: Names of the layers.
        report: Called with the share done and a few words; may raise to cancel.
    """
    n, rows, columns = len(labels), landmark_rows(len(labels), SEED), views.columns(layers)
    landmarks = views.sampled(rows, columns)
    moments = KernelMoments(landmarks, counts)
    kernels: list[Tensor] = []
    keeps_kernels = 4 * n * len(rows) <= KERNEL_BYTES
    for view in views:
        kernel = moments.add(view.features[:, columns], labels[view.rows])
        if keeps_kernels:
            kernels.append(kernel)
        report(0.5 * view.rows.stop / n, "probe of all layers")
    probe = moments.fit()
    sharpness = temperature(SHARPEST * probe.values(landmarks, labels[rows]), labels[rows])
    projection = torch.randn(len(columns), SKETCH, generator=torch.Generator().manual_seed(SEED))
    margin, moved_margin, answered_as_given, confidence = torch.empty(4, n)
    suggested, sketch = torch.empty(n, dtype=torch.long), torch.empty(n, SKETCH)
    for i, view in enumerate(views):
        features, given_labels = view.features[:, columns], labels[view.rows]
        if keeps_kernels:
            values = probe.leave_one_out(kernels[i], given_labels)
        else:
            values = probe.values(features, given_labels)
        margin[view.rows], moved_margin[view.rows] = margins(values, given_labels).float(), view.margins
        answered_as_given[view.rows] = view.answered_as_given
        probability = torch.softmax(SHARPEST * sharpness * values, 1)
        values[torch.arange(len(values)), given_labels] = -torch.inf
        best_other = values.argmax(1)
        suggested[view.rows] = best_other
        confidence[view.rows] = probability.gather(1, best_other[:, None])[:, 0].float()
        sketch[view.rows] = probe.standardised(features) @ projection
        report(0.5 + 0.5 * view.rows.stop / n, "scores")
    return JointScores(
        margin.numpy(),
        moved_margin.numpy(),
        float(answered_as_given.mean()),
        suggested.numpy(),
        confidence.numpy(),
        sketch.numpy(),
    )


def log_probabilities(values: Tensor, labels: Tensor) -> np.ndarray:
    """Return ``log P`` (m, K) of a probe's values, at the temperature that fits the labels (m,) best."""
    values = finite(values)
    return np.asarray(torch.log_softmax(temperature(values, labels) * values, 1).numpy())


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks (n,) in (0, 1]."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.nan_to_num(values, nan=0.0)) / len(values))
