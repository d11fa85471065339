"""Scores of the probe of all unsaturated layers together."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.suspects.features import strided
from nmfdiag.measures.suspects.kernel_probe import KernelMoments, landmark_rows
from nmfdiag.measures.suspects.probe import finite, margins, temperature
from nmfdiag.measures.suspects.views import ViewFeatures

SKETCH = 64
"""Numbers kept of each sample for finding its neighbours."""
SHARPEST = 10.0
"""Factor of the probe's values, which lie between 0 and 1, before their temperature is fitted, .001 to 10."""
FIRST_LANDMARKS = 2
"""The probe of the first layers takes one landmark in so many: it reads a few features."""
SEED = 0


@dataclass(frozen=True)
class JointScores:
    """What the probe of all unsaturated layers says of each sample (n,): arrays as in :class:`Suspects`, margins against the given labels.

    ``moved_accuracy`` is the share of given labels that the network predicts for moved copies.
    ``log_probabilities`` (s, K) are the probe's of every ``step``-th sample, ``first_log_probabilities`` those of a second probe, of the first layers
    alone; None where there are none.
    """

    margin: np.ndarray
    moved_margin: np.ndarray
    moved_accuracy: float
    suggested: np.ndarray
    confidence: np.ndarray
    sketch: np.ndarray
    log_probabilities: np.ndarray
    first_log_probabilities: np.ndarray | None


def joint_scores(
    views: ViewFeatures, labels: Tensor, counts: Tensor, report: Progress, *, n_first: int = 0, step: int = 1
) -> JointScores:
    """Fit and ask the probe of all unsaturated layers together, on features averaged over each sample and its copies.

    Args:
        views: The features.
        labels: Given labels (n,).
        counts: Samples of each class (K,).
        report: Called with the share done and a few words; may raise to cancel.
        n_first: Number of first layers that are read by a second probe as well.
        step: The second probe is asked about every ``step``-th sample.
    """
    n = len(labels)
    rows = landmark_rows(n, SEED)
    if views.can_be_kept:
        for view in views:
            report(0.7 * view.rows.stop / n, "features of moved copies")
    landmarks = views.sampled(rows)

    width = views.width(n_first)
    moments = KernelMoments(landmarks, counts)
    first_moments = KernelMoments(landmarks[::FIRST_LANDMARKS, :width], counts) if n_first else None
    for view in views:
        moments.add(view.features, labels[view.rows])
        if first_moments is not None:
            first_moments.add(view.features[:, :width], labels[view.rows])
        report(0.7 + 0.2 * view.rows.stop / n, "probe of all layers")
    probe, first_probe = moments.fit(), None if first_moments is None else first_moments.fit()
    sharpness = temperature(SHARPEST * probe.values(landmarks, labels[rows]), labels[rows])
    projection = torch.randn(landmarks.shape[1], SKETCH, generator=torch.Generator().manual_seed(SEED))
    first_values: list[Tensor] = []
    joint_values: list[Tensor] = []
    margin, moved_margin, answered_as_given, confidence = torch.empty(4, n)
    suggested, sketch = torch.empty(n, dtype=torch.long), torch.empty(n, SKETCH)
    for view in views:
        given_labels, values = labels[view.rows], probe.values(view.features, labels[view.rows])
        margin[view.rows], moved_margin[view.rows] = margins(values, given_labels).float(), view.margins
        answered_as_given[view.rows] = view.answered_as_given
        selection = strided(step, view.rows)
        joint_values.append(values[selection].clone())
        if first_probe is not None:
            first_values.append(first_probe.values(view.features[selection, :width], given_labels[selection]))
        probability = torch.softmax(SHARPEST * sharpness * values, 1)
        values[torch.arange(len(values)), given_labels] = -torch.inf
        best_other = values.argmax(1)
        suggested[view.rows] = best_other
        confidence[view.rows] = probability.gather(1, best_other[:, None])[:, 0].float()
        sketch[view.rows] = probe.standardised(view.features) @ projection
        report(0.9 + 0.1 * view.rows.stop / n, "scores")
    return JointScores(
        margin.numpy(),
        moved_margin.numpy(),
        float(answered_as_given.mean()),
        suggested.numpy(),
        confidence.numpy(),
        sketch.numpy(),
        log_probabilities(SHARPEST * torch.cat(joint_values), labels[::step]),
        log_probabilities(SHARPEST * torch.cat(first_values), labels[::step]) if first_values else None,
    )


def log_probabilities(values: Tensor, labels: Tensor) -> np.ndarray:
    """Return ``log P`` (m, K) of a probe's values, at the temperature that fits the labels (m,) best."""
    values = finite(values)
    return np.asarray(torch.log_softmax(temperature(values, labels) * values, 1).numpy())


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks (n,) in (0, 1]."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.nan_to_num(values, nan=0.0)) / len(values))
