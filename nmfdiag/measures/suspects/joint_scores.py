"""Scores of the probe of all unsaturated layers together."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.suspects.kernel_probe import fit_kernel_probe, landmark_rows
from nmfdiag.measures.suspects.probe import margins, temperature
from nmfdiag.measures.suspects.views import ViewFeatures

SKETCH = 64
"""Numbers kept of each sample for finding its neighbours."""
SHARPEST = 10.0
"""Factor of the probe's values, which lie between 0 and 1, before their temperature is fitted, .001 to 10."""
SEED = 0


@dataclass(frozen=True)
class JointScores:
    """What the probe of all unsaturated layers says of each sample (n,): arrays as in :class:`Suspects`, margins against the given labels."""

    margin: np.ndarray
    moved_margin: np.ndarray
    suggested: np.ndarray
    confidence: np.ndarray
    sketch: np.ndarray


def joint_scores(views: ViewFeatures, labels: Tensor, counts: Tensor, report: Progress) -> JointScores:
    """Fit and ask the probe of all unsaturated layers together, on features averaged over each sample and its copies."""
    n = len(labels)
    rows = landmark_rows(n, SEED)
    if views.can_be_kept:
        for view in views:
            report(0.7 * view.rows.stop / n, "features of moved copies")
    landmarks = views.sampled(rows)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for view in views:
            yield view.features, labels[view.rows]
            report(0.7 + 0.1 * view.rows.stop / n, "probe of all layers")

    probe = fit_kernel_probe(landmarks, batches(), counts)
    sharpness = temperature(SHARPEST * probe.values(landmarks, labels[rows]), labels[rows])
    generator = torch.Generator().manual_seed(SEED)
    projection = torch.randn(landmarks.shape[1], SKETCH, generator=generator)
    margin, moved_margin, confidence = torch.empty(3, n)
    suggested, sketch = torch.empty(n, dtype=torch.long), torch.empty(n, SKETCH)
    for view in views:
        given_labels, values = labels[view.rows], probe.values(view.features, labels[view.rows])
        margin[view.rows], moved_margin[view.rows] = margins(values, given_labels).float(), view.margins
        probability = torch.softmax(SHARPEST * sharpness * values, 1)
        values[torch.arange(len(values)), given_labels] = -torch.inf
        best_other = values.argmax(1)
        suggested[view.rows] = best_other
        confidence[view.rows] = probability.gather(1, best_other[:, None])[:, 0].float()
        sketch[view.rows] = probe.standardised(view.features) @ projection
        report(0.8 + 0.2 * view.rows.stop / n, "scores")
    return JointScores(*(values.numpy() for values in (margin, moved_margin, suggested, confidence, sketch)))


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks (n,) in (0, 1]."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.nan_to_num(values, nan=0.0)) / len(values))
